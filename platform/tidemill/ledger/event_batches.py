"""Event batches on their way into the store: prepared by the caller, numbered by the writer."""

from __future__ import annotations

import bisect
import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from tidemill.errors import SchemaMismatch
from tidemill.ledger.database import Commit, micros, pack_table, tables
from tidemill.ledger.entries import EventBatch
from tidemill.ledger.event_ids import IdIndex, IdRun, Ids, Numbers, hash_ids

__all__ = ["Arrival", "EventGroup", "pack_rows", "prepare", "split_columns"]


_FIRST_MICROS = micros(dt.datetime(1, 1, 1, tzinfo=dt.UTC))
_LAST_MICROS = micros(dt.datetime(9999, 12, 31, tzinfo=dt.UTC))


@dataclass(slots=True, eq=False)
class Arrival:
    """A batch, hashed and compressed before the writer sees it.

    Parameters
    ----------
    batch : EventBatch
    ids : Ids
    blobs : (bytes, bytes)
        Outcomes and features of all rows.
    nbytes : int
        Memory of the table.
    fresh : (rows,) bool
        Not in the store when the group began; set by :class:`EventGroup`.
    contested : list of (int, bytes)
        Rows whose id occurs more than once in the group.
    start : int
        Its first row among those of the group.
    """

    batch: EventBatch
    ids: Ids
    blobs: tuple[bytes, bytes]
    nbytes: int
    fresh: npt.NDArray[np.bool_]
    contested: list[tuple[int, bytes]]
    start: int = 0

    @property
    def cost(self) -> int:
        """Bytes that it holds while it waits."""
        return self.nbytes + sum(map(len, self.blobs)) + 16 * len(self.ids) + 512


def prepare(batch: EventBatch, salt: bytes) -> Arrival:
    """Check, hash and compress a batch, in the caller's thread.

    Raises
    ------
    SchemaMismatch
        If ``event_id`` or ``at`` is missing, of another type or has nulls.
    """
    _check(batch.table, batch.outcomes)
    ids = hash_ids(batch.table["event_id"], salt)
    blobs = pack_rows(batch.table, batch.outcomes) if len(ids) else (b"", b"")
    return Arrival(batch, ids, blobs, batch.table.nbytes, np.ones(len(ids), np.bool_), [])


def pack_rows(table: pa.Table, outcomes: Sequence[str]) -> tuple[bytes, bytes]:
    """The two blobs of some rows: what labels need, and the rest."""
    first, rest = split_columns(table, outcomes)
    return pack_table(table.select(first)), pack_table(table.select(rest))


def split_columns(table: pa.Table, outcomes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of the columns that are stored with the outcomes, and of the others."""
    names = table.column_names
    first = ["event_id", "at", *(name for name in outcomes if name in names)]
    return first, [name for name in names if name not in first]


class EventGroup:
    """What the batches of one commit have in common: one search, one insert, one run of ids.

    Parameters
    ----------
    index : IdIndex
    """

    def __init__(self, index: IdIndex) -> None:
        self._index = index
        self._reset(Ids.join([]), np.empty(0, np.int64))

    def _reset(self, ids: Ids, order: Numbers) -> None:
        self._ids, self._order = ids, order
        self._seq = np.full(len(ids), -1, np.int64)
        self._stored = np.full(len(ids), -1, np.int64)
        self._taken: dict[bytes, int] = {}
        self._rows: list[dict[str, Any]] = []

    def begin(self, commit: Commit, payloads: Sequence[Any]) -> None:
        """Look up all ids; make room in memory where it is time to."""
        arrivals: Sequence[Arrival] = payloads
        ids = Ids.join([arrival.ids for arrival in arrivals])
        order = np.argsort(ids.high)
        self._reset(ids.take(order), order)
        if self._index.flush_is_due:
            commit.after(self._index.flush(commit.connection))
            commit.set_mark("flushed_seq", commit.mark("next_seq"))
        found, _ = self._index.locate_sorted(self._ids, lambda: commit.connection)
        fresh = np.empty(len(ids), np.bool_)
        fresh[order] = found < 0
        self._stored[order] = found
        start = 0
        for arrival in arrivals:
            arrival.start, arrival.contested = start, []
            arrival.fresh = fresh[start : start + len(arrival.ids)]
            start += len(arrival.ids)
        _mark_contested(self._ids, order, arrivals)

    def fresh_rows(self, arrival: Arrival) -> npt.NDArray[np.bool_]:
        """Which rows are new, in view of the batches of this commit that went before."""
        fresh = arrival.fresh
        mine: set[bytes] = set()
        for row, key in arrival.contested:
            if fresh[row]:
                fresh[row] = key not in self._taken and key not in mine
                mine.add(key)
        return fresh

    def repeats(self, arrival: Arrival, fresh: npt.NDArray[np.bool_], first: int) -> Numbers:
        """Numbers of the events whose ids the other rows have; ``first`` is the new ones'."""
        found = self._stored[arrival.start : arrival.start + len(fresh)].copy()
        number = first + np.cumsum(fresh) - 1
        mine: dict[bytes, int] = {}
        for row, key in arrival.contested:
            if fresh[row]:
                mine[key] = int(number[row])
            elif found[row] < 0:
                found[row] = mine.get(key, self._taken.get(key, -1))
        return found[~fresh]

    def accept(
        self, arrival: Arrival, fresh: npt.NDArray[np.bool_], seq: Numbers, row: dict[str, Any]
    ) -> None:
        """Stage the new rows; the last step of a batch's job.

        Parameters
        ----------
        row : dict
            The row of ``batches``; empty if there are no new rows.
        """
        mine = self._seq[arrival.start : arrival.start + len(fresh)]
        mine[fresh] = seq
        self._taken |= {key: int(mine[row]) for row, key in arrival.contested if fresh[row]}
        if row:
            self._rows.append(row)

    def finish(self, commit: Commit) -> None:
        """Write the batches; their ids are known once the commit is durable."""
        if not self._rows:
            return
        commit.connection.execute(sa.insert(tables.batches), self._rows)
        seq = self._seq[self._order]
        new = seq >= 0
        run = IdRun(self._ids.high[new], self._ids.low[new], seq[new])
        commit.after(lambda: self._index.add(run))
        self._reset(Ids.join([]), np.empty(0, np.int64))


def _mark_contested(ids: Ids, order: Numbers, arrivals: Sequence[Arrival]) -> None:
    equal = ids.high[1:] == ids.high[:-1]
    if not equal.any():
        return
    at = np.flatnonzero(np.r_[False, equal] | np.r_[equal, False])
    by_key = defaultdict(list)
    for row, key in zip(order[at].tolist(), ids.take(at).keys(), strict=True):
        by_key[key].append(row)
    starts = [arrival.start for arrival in arrivals]
    for key, several in by_key.items():
        for row in several if len(several) > 1 else ():
            arrival = arrivals[bisect.bisect_right(starts, row) - 1]
            arrival.contested.append((row - arrival.start, key))
    for arrival in arrivals:
        arrival.contested.sort()


def _check(table: pa.Table, outcomes: Sequence[str]) -> None:
    wanted = {"event_id": pa.string(), "at": pa.timestamp("us")}
    for name, type_ in wanted.items():
        if name not in table.column_names or table.schema.field(name).type != type_:
            raise _unfit(name, "is missing or of another type")
        if table[name].null_count:
            raise _unfit(name, "has nulls")
    if len(table):
        at: Numbers = table["at"].to_numpy().view(np.int64)
        if at.min() < _FIRST_MICROS or at.max() > _LAST_MICROS:
            raise _unfit("at", "lies outside the years 1 to 9999")
    names = table.column_names
    if missing := [name for name in outcomes if name not in names]:
        raise _unfit(missing[0], "is missing")
    if len(set(names)) < len(names):
        raise _unfit(max(names, key=names.count), "is there twice")
    if "position" in names:
        raise _unfit("position", "is a name that the ledger uses itself")


def _unfit(column: str, what: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"an event batch's column {column!r} {what}",
        remedy="give event_id (string) and at (timestamp[us]) without nulls",
        column=column,
    )
