"""Events: stored once each, durable before they are acknowledged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from tidemill.ledger.database import Commit, Database, from_micros, insert_row, pack_numbers, tables
from tidemill.ledger.entries import BatchNote, EventBatch, EventReceipt, Totals
from tidemill.ledger.event_batches import Arrival, EventGroup, pack_rows, prepare
from tidemill.ledger.event_ids import IdIndex, Numbers, hash_ids
from tidemill.ledger.pending_labels import PendingIds
from tidemill.ledger.requests import keep_request, replayed
from tidemill.ledger.row_reading import labelled_rows, newest_rows, rows_at
from tidemill.ledger.unfolded import Unfolded
from tidemill.ledger.withholding import Take
from tidemill.ledger.writer import Writer

__all__ = ["Events"]

_HOUR = dt.timedelta(hours=1)
_MINUTE = dt.timedelta(minutes=1)


class Events:
    """The rows that models predicted."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        index: IdIndex,
        waiting: PendingIds,
        stored: Callable[[Unfolded], None],
    ) -> None:
        self._database, self._writer, self._index = database, writer, index
        self._waiting, self._stored = waiting, stored
        self._group = EventGroup(index)

    def append(self, batch: EventBatch, *, timeout: float = 30.0) -> EventReceipt:
        """Database the new rows of a batch; returns when they are durable.

        Raises
        ------
        QueueFull, Busy
            Nothing was stored, or nothing is known of it within ``timeout`` seconds: send the
            same again, ids make sure that nothing is counted twice.
        StorageFailed
            Nothing was stored: disk full, read-only, gone.
        SchemaMismatch, IdempotencyConflict
            The batch cannot be stored as it is.
        """
        return self._writer.wait(self.submit(batch), timeout)

    def submit(self, batch: EventBatch) -> Future[EventReceipt]:
        """Like :meth:`append`, without waiting."""
        arrival = prepare(batch, self._index.salt)
        return self._writer.submit(
            lambda commit: self._write(commit, arrival),
            cost=arrival.cost,
            group=self._group,
            payload=arrival,
        )

    def totals(self, now: dt.datetime) -> Totals:
        """How many rows came, ever and lately."""
        t = tables.batches
        since = {"hour": now - _HOUR, "minute": now - _MINUTE}
        with self._database.read() as connection:
            recent = [
                connection.scalar(sa.select(sa.func.sum(t.c.rows)).where(t.c.received_at > moment))
                for moment in since.values()
            ]
            # The newest batch's, not the latest: a clock may have been ahead for a while.
            newest = sa.select(t.c.received_at).order_by(t.c.first_seq.desc()).limit(1)
            last = connection.scalar(newest)
            marks = connection.execute(
                sa.select(tables.marks).where(tables.marks.c.name.startswith("position:"))
            ).all()
        by_version = {int(row.name.partition(":")[2]): row.value for row in marks}
        return Totals(
            sum(by_version.values()), int(recent[0] or 0), int(recent[1] or 0), last, by_version
        )

    def recent(self, limit: int = 100, model_version: int | None = None) -> pa.Table | None:
        """The newest rows of one model version (the newest that has any), newest last."""
        with self._database.read() as connection:
            return newest_rows(connection, limit, model_version)

    def labelled(
        self,
        *,
        after: int = 0,
        through: int | None = None,
        model_version: int | None = None,
        batch_rows: int = 8192,
    ) -> Iterator[pa.RecordBatch]:
        """Rows whose label has a number in (after, through], in the order of the events.

        The same numbers give the same rows, however often they are read. Columns are those
        of the events, then ``truth``, ``labelled_at`` and ``label_number``; the schema is that
        of each model version. Memory is one stored batch and ``batch_rows`` rows.
        """
        last = self._writer.marks.get("label_number", 0) if through is None else through
        return labelled_rows(self._database, Take(after, last), model_version, batch_rows)

    def taken(self, takes: Iterable[Take], *, batch_rows: int = 8192) -> Iterator[pa.RecordBatch]:
        """The labelled rows of a decision's takes, one take after the other.

        As :meth:`labelled`: the same takes give the same rows, however often they are read.
        """
        for take in takes:
            yield from labelled_rows(self._database, take, None, batch_rows)

    def stored(self, event_ids: pa.ChunkedArray) -> Iterator[tuple[Numbers, pa.Table]]:
        """The stored rows of some ids, batch by batch; ids that are not known are left out.

        Yields
        ------
        places : (n,) int64
            Where in ``event_ids`` each is.
        rows : Table
            Of one model version, as they were stored.
        """
        ids = hash_ids(event_ids, self._index.salt)
        with self._database.read() as connection:
            seq, _ = self._index.locate(ids, lambda: connection)
            order = np.argsort(seq, kind="stable")
            order = order[seq[order] >= 0]
            numbers = seq[order]
            for _, wanted, rows, _ in rows_at(connection, numbers, features=True):
                start = int(np.searchsorted(numbers, wanted[0]))
                yield order[start : start + len(wanted)], rows

    def _write(self, commit: Commit, arrival: Arrival) -> EventReceipt:
        batch = arrival.batch
        known = replayed(commit, batch.request)
        if isinstance(known, EventReceipt):
            return known
        fresh = self._group.fresh_rows(arrival)
        rows = int(fresh.sum())
        first = commit.mark("next_seq")
        seq = np.arange(first, first + rows)
        again = self._group.repeats(arrival, fresh, first)
        row = self._take_rows(commit, arrival, fresh, first, again)
        if rows:
            new = arrival.ids if rows == len(fresh) else arrival.ids.take(fresh)
            self._waiting.attach(commit, new, seq)
        duplicates = tuple(np.flatnonzero(~fresh).tolist()) if rows < len(fresh) else ()
        receipt = EventReceipt(rows, duplicates, first if rows else None)
        keep_request(commit, batch.request, "events", receipt)
        commit.topic("events")
        self._group.accept(arrival, fresh, seq, row)
        return replace(receipt, answer=batch.request.answer) if batch.request else receipt

    def _take_rows(
        self,
        commit: Commit,
        arrival: Arrival,
        fresh: npt.NDArray[np.bool_],
        first: int,
        again: Numbers,
    ) -> dict[str, Any]:
        """Number the new rows; returns their row of ``batches``."""
        batch, rows = arrival.batch, int(fresh.sum())
        counter = f"position:{batch.model_version}"
        position = commit.mark(counter)
        table, blobs, row = batch.table, arrival.blobs, {}
        if rows < len(fresh):
            table = table.filter(pa.array(fresh))
            blobs = pack_rows(table, batch.outcomes) if rows else blobs
        note = BatchNote(
            commit.at, position, rows, len(again), batch.intake, again if len(again) else None
        )
        if rows:
            row = _batch_row(batch.model_version, table, blobs, first, note)
            commit.set_mark("next_seq", first + rows)
            commit.set_mark(counter, position + rows)
        number = _insert_note(commit, batch.model_version, note, first)
        size = arrival.nbytes + 512
        item = Unfolded(first, table, batch.model_version, batch.outcomes, note, number, size)
        commit.after(lambda: self._stored(item))
        return row


def _batch_row(
    model_version: int,
    table: pa.Table,
    blobs: tuple[bytes, bytes],
    first: int,
    note: BatchNote,
) -> dict[str, Any]:
    at: Numbers = table["at"].to_numpy().view(np.int64)
    return {
        "first_seq": first,
        "rows": len(table),
        "model_version": model_version,
        "position": note.position,
        "received_at": note.received_at,
        "min_at": from_micros(int(at.min())),
        "max_at": from_micros(int(at.max())),
        "outcomes": blobs[0],
        "features": blobs[1],
    }


def _insert_note(commit: Commit, model_version: int, note: BatchNote, first: int) -> int | None:
    if note.intake is None and not note.duplicates and note.rows:
        return None  # the batch itself says all
    return insert_row(
        commit.connection,
        tables.arrivals,
        first_seq=first,
        rows=note.rows,
        duplicates=note.duplicates,
        model_version=model_version,
        position=note.position,
        received_at=note.received_at,
        intake=note.intake,
        repeats=None if note.repeats is None else pack_numbers(note.repeats),
    )
