"""``tidemill map`` and ``merge``: the scan of ingest by any batch system, over stdin and stdout."""

from __future__ import annotations

import sys
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
    from tidemill.settings import Settings
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
    from tidemill.engines import open_engine
    from tidemill.pipeline import refuse_overridden
    from tidemill.settings import load_settings
    from tidemill.stages import SplitLine

    place = existing(workspace)
    refuse_overridden(place)
    environment = load_settings(engine=engine)
    with open_engine(environment, preload=("tidemill.stages",), store=place.store()) as opened:
        lines = _lines(place, environment, opened)
        for line in lines.items() if items else lines.scan(SplitLine.read(sys.stdin)):
            typer.echo(str(line))


def merge(
    workspace: WorkspaceOption = Path(),
    engine: EngineOption = None,
    wait: WaitOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Finish ingest, when the lines of all scanned splits come on stdin."""
    from tidemill.cli.observer import at_work
    from tidemill.engines import open_engine
    from tidemill.pipeline import run_pipeline
    from tidemill.settings import load_settings
    from tidemill.stages import SplitLine

    screen = Screen(as_json=as_json)
    place = existing(workspace)
    environment = load_settings(engine=engine)
    # Nobody waits for the workspace while the others scan. Memory: a line a split.
    given = list(dict.fromkeys(SplitLine.read(sys.stdin)))
    with (
        at_work(place, screen, wait=wait) as observer,
        open_engine(environment, preload=("tidemill.stages",), store=place.store()) as opened,
    ):

        def execute(stage: str, call: Callable[[], StageRun]) -> StageRun:
            if stage == "ingest":  # as it would run now; one that is current needs no lines
                _lines(place, environment, opened).require_scanned(given)
            return call()

        summary = run_pipeline(
            place,
            settings=environment,
            engine=opened,
            execute=execute,
            observer=observer,
            until="ingest",
        )
    show_summary(screen, summary)


def _lines(place: Workspace, settings: Settings, engine: Engine) -> SplitLines:
    from tidemill.config import load_params
    from tidemill.pipeline import context_for
    from tidemill.stages import SplitLines

    params = load_params(place.root)
    context = context_for(place, params, settings, engine)
    return SplitLines(context, dataset=params.dataset, ingestion=params.ingestion)
