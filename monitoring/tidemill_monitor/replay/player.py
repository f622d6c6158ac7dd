"""The player: events when they are due, labels some time after them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import IntegrityError
from tidemill.monitor_client import ARROW, MonitorClient, MonitorRefused
from tidemill.storage import read_hashed, write_hashed
from tidemill_monitor.replay.spool import AT, EVENT_ID, TRUTH, Spool

__all__ = ["Played", "Player"]

_TICK_SECONDS = 0.5
_SHOWN = 5


@dataclass(slots=True)
class Played:
    """What the monitor said so far.

    ``sent`` events were handed over, of which some were duplicates or refused; ``labels`` too.
    """

    sent: int = 0
    duplicates: int = 0
    refused: int = 0
    labels: int = 0
    labels_repeated: int = 0
    labels_refused: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)

    def note(self, document: Any) -> None:
        """Keep the first few row errors."""
        for error in document.get("errors", ()):
            if len(self.errors) < _SHOWN:
                self.errors.append(error)


@dataclass(frozen=True, slots=True)
class Player:
    """Plays a spool to a monitor.

    Parameters
    ----------
    client : MonitorClient
        Waits as long as the monitor asks it to.
    rows : Spool
    speed : float
        Seconds of event time that pass in one second; 0: as fast as the monitor takes them.
    label_delay_seconds : float
        Of event time, from an event to its label.
    batch_rows : int
        Rows of one request at most.
    prediction, score : str or None
        Columns of predictions that were made elsewhere; None lets the champion predict.
    state : Path
        Where the replay notes how far it has come; the same replay goes on from there.
    clock, sleep : callable
        Of the wall, in seconds.
    """

    client: MonitorClient
    rows: Spool
    speed: float
    label_delay_seconds: float
    batch_rows: int
    state: Path
    prediction: str | None = None
    score: str | None = None
    with_labels: bool = True
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def play(self, progress: Callable[[int, int], None] = lambda _done, _all: None) -> Played:
        """Send what was not sent before; returns what the monitor said of it.

        Events and labels carry ids, so that sending some of them twice changes nothing: a killed
        replay repeats one request at most.

        Raises
        ------
        ServiceUnavailable
            If the monitor is away for longer than the client's patience.
        MonitorRefused
            If it refuses the key, or all of what it is sent.
        """
        told = Played()
        place = self._noted()
        events = _Cursor(self.rows, place["events"], None)
        labels = _Cursor(self.rows, place["labels"], self._label_columns())
        began, origin = self.clock(), None
        progress(events.row, self.rows.rows)
        while (batch := events.peek(self.batch_rows)) is not None:
            if self.rows.timed and self.speed:
                origin = origin if origin is not None else _first(batch)
                batch = self._due(batch, origin, began)
                if not batch.num_rows:
                    self.sleep(_TICK_SECONDS)
                    continue
            self._send_events(batch, told)
            events.take(batch.num_rows)
            self._note(events.row, labels.row)
            until = _last(batch) - self._delay if self.rows.timed else None
            self._label(labels, told, events.row, until)
            progress(events.row, self.rows.rows)
        self._label(labels, told, events.row, None)
        self.state.unlink(missing_ok=True)
        return told

    @property
    def _delay(self) -> int:
        return int(self.label_delay_seconds * 1e6)

    def _due(self, batch: pa.Table, origin: int, began: float) -> pa.Table:
        """The rows whose time has come."""
        now = origin + int((self.clock() - began + _TICK_SECONDS) * self.speed * 1e6)
        times = batch[AT].combine_chunks().cast(pa.int64()).to_numpy()
        return batch.slice(0, int(times.searchsorted(now, side="right")))

    def _send_events(self, batch: pa.Table, told: Played) -> None:
        columns = [name for name in batch.column_names if name != TRUTH]
        table = batch.select(columns)
        names = {self.prediction: "prediction", self.score: "score"}
        table = table.rename_columns([names.get(name, name) for name in columns])
        path = "/v1/predict" if self.prediction is None else "/v1/events"
        told.sent += table.num_rows
        try:
            answer = self._post(path, table)
        except MonitorRefused as refusal:
            answer = _rows_refused(refusal)
            told.refused += table.num_rows
        else:
            told.refused += int(answer.get("refused", len(answer.get("errors", ()))))
            told.duplicates += int(answer.get("duplicates", 0))
        told.note(answer)

    def _label(self, labels: _Cursor, told: Played, sent: int, until: int | None) -> None:
        """Send the labels of the first ``sent`` events, of times up to ``until`` if given."""
        if not (self.rows.labelled and self.with_labels):
            return
        while labels.row < sent:
            batch = labels.peek(min(self.batch_rows, sent - labels.row))
            if batch is not None and until is not None:
                times = batch[AT].combine_chunks().cast(pa.int64()).to_numpy()
                batch = batch.slice(0, int(times.searchsorted(until, side="right")))
            if batch is None or not batch.num_rows:
                return
            self._send_labels(batch, told)
            labels.take(batch.num_rows)

    def _send_labels(self, batch: pa.Table, told: Played) -> None:
        table = batch.filter(pc.is_valid(batch[TRUTH]))
        if not table.num_rows:
            return
        columns = {EVENT_ID: table[EVENT_ID], TRUTH: table[TRUTH]}
        if self.rows.timed:
            known = pc.add(table[AT], pa.scalar(self._delay, pa.duration("us")))
            columns[AT] = known.cast(pa.timestamp("us"))
        told.labels += table.num_rows
        try:
            answer = self._post("/v1/labels", pa.table(columns))
        except MonitorRefused as refusal:
            answer = _rows_refused(refusal)
            told.labels_refused += table.num_rows
        else:
            told.labels_refused += int(answer.get("refused", len(answer.get("errors", ()))))
            told.labels_repeated += int(answer.get("repeated", 0))
        told.note(answer)

    def _post(self, path: str, table: pa.Table) -> Any:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        content = sink.getvalue().to_pybytes()
        answer = self.client.request("POST", path, content=content, headers={"Content-Type": ARROW})
        return answer.json()

    def _label_columns(self) -> list[str]:
        return [EVENT_ID, *([AT] if self.rows.timed else []), *([TRUTH] * self.rows.labelled)]

    def _noted(self) -> dict[str, int]:
        start = {"events": 0, "labels": 0}
        if not self.state.exists():
            return start
        try:
            noted = read_hashed(self.state)
        except IntegrityError:
            return start
        return {**start, **noted.get("at", {})} if noted.get("key") == self.rows.key else start

    def _note(self, events: int, labels: int) -> None:
        at = {"events": events, "labels": labels}
        write_hashed(self.state, {"key": self.rows.key, "at": at})


class _Cursor:
    """A place in the spool; looks ahead at most one row group."""

    def __init__(self, rows: Spool, first: int, columns: list[str] | None) -> None:
        self.row = first
        self._tables: Iterator[pa.Table] = rows.batches(first, columns)
        self._held: pa.Table | None = None

    def peek(self, rows: int) -> pa.Table | None:
        """The next rows, at most so many; None at the end."""
        while self._held is None or not self._held.num_rows:
            self._held = next(self._tables, None)
            if self._held is None:
                return None
        return self._held.slice(0, rows)

    def take(self, rows: int) -> None:
        """Go past rows that were looked at."""
        assert self._held is not None  # noqa: S101 - peek gave them
        self._held = self._held.slice(rows)
        self.row += rows


def _rows_refused(refusal: MonitorRefused) -> dict[str, Any]:
    """The errors of a request none of whose rows was good; any other refusal goes on."""
    problem: dict[str, Any] = refusal.fields.get("problem") or {}
    if refusal.fields.get("status") == 422 and problem.get("errors"):
        return problem
    raise refusal


def _first(batch: pa.Table) -> int:
    return int(batch[AT][0].cast(pa.int64()).as_py())


def _last(batch: pa.Table) -> int:
    return int(batch[AT][-1].cast(pa.int64()).as_py())
