"""``tidemill monitor replay``: the rows of a table as live traffic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidemill.screen import Screen
from tidemill_monitor.cli.flags import Json, Key, Url, Workspace
from tidemill_monitor.cli.reaching import asked_monitor

__all__ = ["replay"]

_REPLAY_PATIENCE_SECONDS = 600.0


def replay(
    source: Annotated[str, typer.Option("--input", help="A file, folder or glob.")],
    speed: Annotated[
        float,
        typer.Option(min=0, help="Seconds of event time in a second; 0: as fast as accepted."),
    ] = 0.0,
    label_delay: Annotated[
        float, typer.Option(min=0, help="Seconds of event time from an event to its label.")
    ] = 0.0,
    labels: Annotated[bool, typer.Option(help="Whether to send the target as labels.")] = True,
    batch_rows: Annotated[int, typer.Option(min=1, max=50_000, help="Rows a request.")] = 1000,
    prediction: Annotated[
        str | None, typer.Option(help="Column of predictions made elsewhere.")
    ] = None,
    score: Annotated[str | None, typer.Option(help="Column of their scores.")] = None,
    restart: Annotated[bool, typer.Option(help="From the first row again.")] = False,
    workspace: Workspace = Path(),
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Play the rows of a table to the monitor, in order of their time; labels follow.

    Without --prediction the champion predicts each row. The same command again goes on where it
    was stopped.
    """
    from tidemill_monitor.replay.command import replay as play

    facts = play(
        source=source,
        speed=speed,
        label_delay_seconds=label_delay,
        with_labels=labels,
        batch_rows=batch_rows,
        prediction=prediction,
        score=score,
        restart=restart,
        workspace=workspace,
        client=asked_monitor(url, key, workspace, patience_seconds=_REPLAY_PATIENCE_SECONDS),
        asked=asked_monitor(url, key, workspace),
        as_json=as_json,
    )
    screen = Screen(as_json=as_json)
    # One below the other: in a row so many numbers would break at the edge of a terminal.
    if as_json:
        screen.document(facts)
    screen.facts("replayed", {k: v for k, v in facts.items() if k != "errors"})
    screen.table("first row errors", facts["errors"])
