"""``tidemill map`` and ``merge``: the scan of ingest by any batch system, over stdin and stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.options import EngineOption, JsonOption, WaitOption, WorkspaceOption, existing
from tidemill.cli.running import show_summary
from tidemill.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidemill.contracts import Engine
    from tidemill.pipeline import StageRun
    from tidemill.stages import SplitLines
    from tidemill.storage import Workspace

__all__ = ["add_commands"]


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to ``app``."""
    app.command("map")(scan)
    app.command("merge")(merge)


def scan(
    workspace: WorkspaceOption = Path(),
    items: Annotated[
        bool, typer.Option("--items", help="Print a line for each split, and scan nothing.")
    ] = False,
    engine: EngineOption = None,
) -> None:
    """Scan the splits whose lines come on stdin; print a line for each that is done."""
    with _splits(existing(workspace), engine) as (lines, _):
        for line in lines.items() if items else lines.scan(sys.stdin):
            typer.echo(str(line))


def merge(
    workspace: WorkspaceOption = Path(),
    engine: EngineOption = None,
    wait: WaitOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Finish ingest, when the lines of all scanned splits come on stdin."""
    from tidemill.cli.observer import at_work
    from tidemill.pipeline import run_pipeline
    from tidemill.settings import load_settings

    screen = Screen(as_json=as_json)
    place = existing(workspace)
    with at_work(place, screen, wait=wait) as observer, _splits(place, engine) as (lines, opened):
        lines.require_all(sys.stdin)

        def execute(stage: str, call: Callable[[], StageRun]) -> StageRun:
            if stage == "ingest":  # one that is current needs them no longer
                lines.require_left()
            return call()

        summary = run_pipeline(
            place,
            settings=load_settings(engine=engine),
            engine=opened,
            execute=execute,
            observer=observer,
            until="ingest",
        )
    show_summary(screen, summary)


@contextmanager
def _splits(place: Workspace, engine: str | None) -> Iterator[tuple[SplitLines, Engine]]:
    from tidemill.config import load_params
    from tidemill.engines import open_engine
    from tidemill.pipeline import context_for
    from tidemill.settings import load_settings
    from tidemill.stages import SplitLines

    params = load_params(place.root)
    environment = load_settings(engine=engine)
    with open_engine(environment, preload=("tidemill.stages",), store=place.store()) as opened:
        context = context_for(place, params, environment, opened)
        yield SplitLines(context, dataset=params.dataset, ingestion=params.ingestion), opened
