"""The command: what is read from the workspace and asked of the monitor before rows are played."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidemill.config import Params, load_params
from tidemill.engines import open_engine
from tidemill.errors import UsageError
from tidemill.monitor_client import MonitorClient
from tidemill.schema import TableSchema
from tidemill.screen import Screen
from tidemill.settings import load_settings
from tidemill.storage import Workspace, hash_json, read_output
from tidemill_monitor.replay.player import Played, Player
from tidemill_monitor.replay.spool import Spool, spool

__all__ = ["replay"]

_LINE_SECONDS = 5.0


def replay(
    *,
    source: str,
    speed: float,
    label_delay_seconds: float,
    with_labels: bool,
    batch_rows: int,
    prediction: str | None,
    score: str | None,
    restart: bool,
    workspace: Path,
    client: MonitorClient,
    asked: MonitorClient,
    as_json: bool,
) -> dict[str, Any]:
    """Play a source to a monitor; returns what the monitor said of it.

    The workspace says how the table is written and what its columns are; which of them the
    champion reads, the monitor does. ``client`` waits long for a monitor that is busy or away
    for a while; ``asked``, which is asked first whether a model serves, does not.

    Raises
    ------
    UsageError
        If the workspace has no schema yet, or the monitor serves no model.
    """
    place = Workspace.at(workspace)
    params = load_params(place.root)
    with client, _Bar(as_json=as_json) as bar:
        schema = _schema(place)
        with asked:
            _require_champion(asked)
        bar.begin("reading the table")
        rows = _spooled(place, params, schema, source, client, prediction, score, bar.rows_read)
        folder = place.hidden / "monitor" / "replay"
        state = folder / f"{rows.key}-{hash_json([client.url, prediction])[:8]}.json"
        if restart:
            state.unlink(missing_ok=True)
        player = Player(
            client=client,
            rows=rows,
            speed=speed,
            label_delay_seconds=label_delay_seconds,
            batch_rows=batch_rows,
            state=state,
            prediction=prediction,
            score=score,
            with_labels=with_labels,
        )
        bar.begin("replay")
        told = player.play(bar.progress)
    return _facts(rows, told)


def _spooled(
    place: Workspace,
    params: Params,
    schema: TableSchema,
    source: str,
    client: MonitorClient,
    prediction: str | None,
    score: str | None,
    progress: Callable[[int], None],
) -> Spool:
    known = {item["name"] for item in client.get("/v1/features")["items"]}
    with open_engine(load_settings(), store=place.store()) as engine:
        return spool(
            params,
            schema,
            [column.name for column in schema.features if column.name in known],
            str(Path(source).absolute()),
            root=place.root,
            folder=place.hidden / "monitor" / "replay",
            engine=engine,
            given=source,
            also=[name for name in (prediction, score) if name is not None],
            progress=progress,
        )


def _require_champion(client: MonitorClient) -> None:
    """Say at once why no model serves, before a table is read and rows wait for one."""
    status = client.get("/v1/status")
    if status["champion"] is None:
        part = next(p for p in status["readiness"]["parts"] if p["name"] == "champion")
        raise UsageError(
            f"the monitor at {client.url} serves no model: {part['detail']}",
            remedy=part["remedy"],
            service="monitor",
        )


def _schema(place: Workspace) -> TableSchema:
    if not place.schema.is_file():
        raise UsageError(
            f"{place.root} has no data/schema.json, which says what the columns are",
            remedy="run `tidemill run` in the workspace first, or name it with --workspace",
            path=str(place.schema),
        )
    return read_output(place.schema, TableSchema.from_json)


def _facts(rows: Spool, told: Played) -> dict[str, Any]:
    return {
        "rows": rows.rows,
        "sent": told.sent,
        "duplicates": told.duplicates,
        "refused": told.refused,
        "labels": told.labels,
        "labels_repeated": told.labels_repeated,
        "labels_refused": told.labels_refused,
        **rows.left_out,
        "errors": told.errors,
    }


class _Bar:
    """A bar on a terminal; elsewhere a line at once and every few seconds."""

    def __init__(self, *, as_json: bool) -> None:
        self._screen = Screen(as_json=as_json)
        self._bars: Any = None
        self._task: Any = None
        self._what, self._said = "", 0.0

    def __enter__(self) -> _Bar:
        if self._screen.err.is_terminal:
            from rich.progress import Progress

            self._bars = Progress(console=self._screen.err)
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def begin(self, what: str) -> None:
        """What is done from here on."""
        self._what, self._said = what, 0.0
        if self._bars is not None:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task = self._bars.add_task(what, total=None)
        else:
            self._screen.note(what)

    def rows_read(self, rows: int) -> None:
        """So many rows of the table so far; how many it has is not known yet."""
        self._show(rows, None, f"{rows:,} rows")

    def progress(self, done: int, total: int) -> None:
        """So many events of so many."""
        self._show(done, total, f"{done:,} of {total:,} events")

    def _show(self, done: int, total: int | None, said: str) -> None:
        if self._bars is not None:
            self._bars.update(self._task, completed=done, total=total)
            return
        now = time.monotonic()
        if now - self._said >= _LINE_SECONDS or done == total:
            self._said = now
            self._screen.note(f"{self._what}: {said}")
