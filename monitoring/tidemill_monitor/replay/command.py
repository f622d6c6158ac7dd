"""The command: what is read from the workspace and asked of the monitor before rows are played."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidemill.config import Params, load_params
from tidemill.engines import LocalEngine
from tidemill.errors import IntegrityError, UsageError
from tidemill.monitor_client import MonitorClient
from tidemill.schema import TableSchema
from tidemill.screen import Screen
from tidemill.settings import load_settings
from tidemill.storage import Workspace, hash_json, read_json
from tidemill_monitor.replay.player import Player, Told
from tidemill_monitor.replay.spool import Spool, spool

__all__ = ["replay"]


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
    as_json: bool,
) -> dict[str, Any]:
    """Play a source to a monitor; returns what the monitor said of it.

    The workspace says how the table is written and what its columns are; which of them the
    champion reads, the monitor does.

    Raises
    ------
    UsageError
        If the workspace has no schema yet.
    """
    place = Workspace.at(workspace)
    params = load_params(place.root)
    with client:
        rows = _spooled(place, params, source, client, prediction, score)
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
        with _Bar(as_json=as_json) as bar:
            told = player.play(bar.progress)
    return _facts(rows, told)


def _spooled(
    place: Workspace,
    params: Params,
    source: str,
    client: MonitorClient,
    prediction: str | None,
    score: str | None,
) -> Spool:
    schema = _schema(place)
    known = {item["name"] for item in client.get("/v1/features")["items"]}
    with LocalEngine(load_settings().workers) as engine:
        return spool(
            params,
            schema,
            [column.name for column in schema.features if column.name in known],
            source if "://" in source else str(Path(source).absolute()),
            root=place.root,
            folder=place.hidden / "monitor" / "replay",
            engine=engine,
            also=[name for name in (prediction, score) if name is not None],
        )


def _schema(place: Workspace) -> TableSchema:
    try:
        return TableSchema.from_json(read_json(place.schema))
    except IntegrityError as exc:
        raise UsageError(
            f"{place.root} has no data/schema.json, which says what the columns are",
            remedy="run `tidemill run` in the workspace first, or name it with --workspace",
            path=str(place.schema),
        ) from exc


def _facts(rows: Spool, told: Told) -> dict[str, Any]:
    return {
        "rows": rows.rows,
        "sent": told.sent,
        "duplicates": told.duplicates,
        "refused": told.refused,
        "labels": told.labels,
        "labels_refused": told.labels_refused,
        "errors": told.errors,
    }


class _Bar:
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self, *, as_json: bool) -> None:
        self._screen = Screen(as_json=as_json)
        self._bars: Any = None
        self._said = 0
        self.progress: Callable[[int, int], None] = self._line

    def __enter__(self) -> _Bar:
        if self._screen.err.is_terminal:
            from rich.progress import Progress

            self._bars = Progress(console=self._screen.err)
            self._bars.start()
            task = self._bars.add_task("replay", total=None)
            self.progress = lambda done, total: self._bars.update(task, completed=done, total=total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def _line(self, done: int, total: int) -> None:
        tenth = done * 10 // max(total, 1)
        if tenth > self._said:
            self._said = tenth
            self._screen.note(f"replay: {done:,} of {total:,} events")
