"""Labels: what turned out to be true, late, early, out of order or told twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.errors import SchemaMismatch
from tidemill.ledger.database import Commit, Database, cleaned, from_micros, tables
from tidemill.ledger.entries import LabelBatch, LabelReceipt
from tidemill.ledger.event_ids import IdIndex, Ids, Numbers, View, hash_ids
from tidemill.ledger.pending_labels import PENDING_LIMIT, PendingIds, insert_labels, read_pending
from tidemill.ledger.requests import keep_request, replayed
from tidemill.ledger.withholding import Take, count_taken
from tidemill.ledger.writer import Writer

__all__ = ["Labels"]

_AT_ONCE = 400
Truth = str | float


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """Labels whose events were looked up in the caller's thread."""

    batch: LabelBatch
    ids: Ids
    truths: list[Truth]
    at: list[int | None]
    seq: Numbers
    view: View


class _LabelGroup:
    """Labels and events never share a commit: each sees the other's state in memory whole."""

    def begin(self, commit: Commit, payloads: Sequence[Any]) -> None:
        """Nothing is in common."""

    def finish(self, commit: Commit) -> None:
        """Nothing is left to do."""


class Labels:
    """The truths that are known, each for one event."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        index: IdIndex,
        waiting: PendingIds,
        stored: Callable[[], None],
    ) -> None:
        self._database, self._writer, self._index = database, writer, index
        self._waiting, self._stored = waiting, stored
        self._group = _LabelGroup()
        self.pending_limit = PENDING_LIMIT

    def append(self, batch: LabelBatch, *, timeout: float = 30.0) -> LabelReceipt:
        """Database labels; returns when they are durable.

        The first truth of an event stays. The same again has no effect, another is a conflict.

        Raises
        ------
        QueueFull, Busy, StorageFailed
            As :meth:`tidemill.ledger.events.Events.append`.
        SchemaMismatch, IdempotencyConflict
            The batch cannot be stored as it is.
        """
        return self._writer.wait(self.submit(batch), timeout)

    def submit(self, batch: LabelBatch) -> Future[LabelReceipt]:
        """Like :meth:`append`; looks the events up, and does not wait for the commit."""
        looked = self._look(batch)
        return self._writer.submit(
            lambda commit: self._write(commit, looked),
            cost=int(batch.table.nbytes) + 64 * len(looked.ids) + 512,
            group=self._group,
        )

    def mark(self) -> int:
        """The newest label number; labels are numbered in the order in which they find events."""
        return self._writer.marks.get("label_number", 0)

    def count(self, after: int = 0, through: int | None = None) -> int:
        """Labelled rows with a number in (after, through]."""
        t = tables.labels
        last = self.mark() if through is None else through
        with self._database.read() as connection:
            return int(
                connection.scalar(
                    sa.select(sa.func.count()).where(t.c.number > after, t.c.number <= last)
                )
                or 0
            )

    def taken(self, takes: Iterable[Take]) -> int:
        """Labelled rows that takes have, all together."""
        with self._database.read() as connection:
            return sum(count_taken(connection, take) for take in takes)

    def pending(self) -> int:
        """Labels whose event has not come yet."""
        return self._writer.marks.get("pending", 0)

    def _look(self, batch: LabelBatch) -> _Looked:
        truths, at = _columns(batch.table)
        ids = hash_ids(batch.table["event_id"], self._index.salt)
        with self._database.read() as connection:
            seq, view = self._index.locate(ids, lambda: connection)
        return _Looked(batch, ids, truths, at, seq, view)

    def _write(self, commit: Commit, looked: _Looked) -> LabelReceipt:
        request = looked.batch.request
        known = replayed(commit, request)
        if isinstance(known, LabelReceipt):
            return known
        sorting = _Sorting(commit, looked.truths, commit.mark("pruned_seq"))
        sorting.sort(self._seq_by_now(commit, looked), looked.ids.keys())
        moments = [commit.at if at is None else from_micros(at) for at in looked.at]
        insert_labels(
            commit,
            [
                {**_stored(sorting.truths[r]), "seq": s, "at": moments[r]}
                for r, s in sorting.matched
            ],
        )
        refused = self._keep_pending(commit, sorting, moments, looked.ids)
        receipt = LabelReceipt(
            len(sorting.matched),
            len(sorting.pending) - len(refused),
            sorting.repeated,
            tuple(sorting.conflicts),
            tuple(sorting.expired),
            tuple(refused),
        )
        keep_request(commit, request, "labels", receipt)
        commit.topic("labels")
        commit.after(self._stored)
        return replace(receipt, answer=request.answer if request else b"")

    def _seq_by_now(self, commit: Commit, looked: _Looked) -> Numbers:
        # Events that came since the caller looked: only what its view lacked.
        seq = looked.seq.copy()
        missing = np.flatnonzero(seq < 0)
        if len(missing) and self._index.view is not looked.view:
            seq[missing], _ = self._index.locate(
                looked.ids.take(missing), lambda: commit.connection, newer_than=looked.view
            )
        return seq

    def _keep_pending(
        self, commit: Commit, sorting: _Sorting, moments: list[Any], ids: Ids
    ) -> list[int]:
        room = max(0, self.pending_limit - commit.mark("pending"))
        kept = dict(list(sorting.pending.items())[:room])
        if kept:
            commit.connection.execute(
                sa.insert(tables.pending),
                [
                    {
                        **_stored(sorting.truths[row]),
                        "id": key,
                        "at": moments[row],
                        "received_at": commit.at,
                    }
                    for key, row in kept.items()
                ],
            )
            commit.set_mark("pending", commit.mark("pending") + len(kept))
            waiting = ids.take(np.fromiter(kept.values(), np.int64, len(kept)))
            commit.after(lambda: self._waiting.add(waiting))
        return [row for key, row in sorting.pending.items() if key not in kept]


class _Sorting:
    """What each label of a batch is: matched, pending, repeated, conflicting or expired."""

    def __init__(self, commit: Commit, truths: list[Truth], pruned_seq: int) -> None:
        self.truths = truths
        self.matched: list[tuple[int, int]] = []
        self.pending: dict[bytes, int] = {}
        self.conflicts: list[int] = []
        self.expired: list[int] = []
        self.repeated = 0
        self._connection = commit.connection
        self._pruned_seq = pruned_seq

    def sort(self, seq: Numbers, keys: list[bytes]) -> None:
        """Go through the labels in their order; the first of an event counts."""
        numbers = seq.tolist()
        of_events = _read_labels(self._connection, sorted({n for n in numbers if n >= 0}))
        unknown = [key for key, n in zip(keys, numbers, strict=True) if n < 0]
        waiting = read_pending(self._connection, list(dict.fromkeys(unknown)))
        truth_of: dict[int | bytes, Truth] = {n: truth for n, truth in of_events.items()}  # noqa: C416
        truth_of.update(
            {key: _truth(label["word"], label["value"]) for key, label in waiting.items()}
        )
        for row, (number, key) in enumerate(zip(numbers, keys, strict=True)):
            name = number if number >= 0 else key
            if 0 <= number < self._pruned_seq:
                self.expired.append(row)
            elif name in truth_of:
                self._known(row, truth_of[name])
            else:
                truth_of[name] = self.truths[row]
                self._new(row, number, key)

    def _known(self, row: int, truth: Truth) -> None:
        if truth == self.truths[row]:
            self.repeated += 1
        else:
            self.conflicts.append(row)

    def _new(self, row: int, number: int, key: bytes) -> None:
        if number >= 0:
            self.matched.append((row, number))
        else:
            self.pending[key] = row


def _read_labels(connection: Connection, seq: list[int]) -> dict[int, Truth]:
    t = tables.labels
    found = {}
    for start in range(0, len(seq), _AT_ONCE):
        chosen = sa.select(t.c.seq, t.c.word, t.c.value).where(
            t.c.seq.in_(seq[start : start + _AT_ONCE])
        )
        for row in connection.execute(chosen):
            found[row.seq] = _truth(row.word, row.value)
    return found


def _truth(word: str | None, value: float | None) -> Truth:
    return word if word is not None else float(value or 0.0)


def _stored(truth: Truth) -> dict[str, Any]:
    if isinstance(truth, str):
        return {"word": truth, "value": None}
    return {"word": None, "value": truth}


def _columns(table: pa.Table) -> tuple[list[Truth], list[int | None]]:
    if not {"event_id", "truth"} <= set(table.column_names):
        raise _unfit("event_id or truth is missing")
    if table["event_id"].type != pa.string() or table["truth"].type not in (
        pa.string(),
        pa.float64(),
    ):
        raise _unfit("event_id must be string, truth string or float64")
    if table["event_id"].null_count or table["truth"].null_count:
        raise _unfit("event_id and truth must have no nulls")
    truths = table["truth"].to_pylist()
    if table["truth"].type == pa.string():
        truths = [cleaned(truth) for truth in truths]
    elif not np.isfinite(np.asarray(truths, float)).all():
        raise _unfit("truth must be finite")
    if "at" not in table.column_names:
        return truths, [None] * len(truths)
    return truths, table["at"].cast(pa.timestamp("us")).cast(pa.int64()).to_pylist()


def _unfit(what: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"a batch of labels cannot be stored: {what}",
        remedy="give event_id (string) and truth (string or float64) without nulls",
    )
