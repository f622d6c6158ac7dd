"""The commands, and what becomes of an error: a message, a remedy, an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

import tidemill
from tidemill.cli import champions, data, objects, running, spreading, starting
from tidemill.cli.plugins import WithPlugins
from tidemill.errors import StorageFailed, TidemillError
from tidemill.screen import Screen

__all__ = ["app", "main"]

INTERRUPTED = 130

app = typer.Typer(
    name="tidemill",
    cls=WithPlugins,
    help="Tables larger than memory into models that stay right.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tidemill {tidemill.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Tables larger than memory into models that stay right."""


starting.add_commands(app)
running.add_commands(app)
spreading.add_commands(app)
champions.add_commands(app)
data.add_commands(app)
objects.add_commands(app)


def main() -> None:
    """Run the command line; ends the process with the exit code of docs/cli.md."""
    # Or OpenMP's threads spin while they wait; read when scikit-learn or LightGBM is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    screen = Screen(as_json="--json" in sys.argv)
    try:
        app(standalone_mode=True)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Typer has turned Ctrl-C into this
            screen.note("stopped; finished work is kept, the same command goes on from there")
        raise
    except TidemillError as error:
        screen.failure(error)
        sys.exit(error.exit_code)
    except OSError as error:
        wrapped = StorageFailed(
            f"{error.filename or 'storage'}: {error.strerror or error}",
            remedy="check that the disk has space and can be written, then run the same again",
        )
        screen.failure(wrapped)
        sys.exit(wrapped.exit_code)
    except Exception as error:
        traceback.print_exc()
        screen.note(f"error: {type(error).__name__}: {error}")
        screen.note("this is a defect of tidemill; please report it with the lines above")
        sys.exit(1)
