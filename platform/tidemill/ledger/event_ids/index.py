"""Every event id that the store knows, and where its row lies: memory first, then segments.

New ids go into sorted runs in memory; at ``FLUSH_IDS`` they become a segment in the database.
Eight small segments are merged into one of a million ids, eight of those into one of eight
million (:mod:`.segment_merging`). Memory is 24 bytes for each id in memory and about 1.6 bytes for
each id in a segment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger.database import tables, unpack_table
from tidemill.ledger.event_ids.id_segments import (
    Segment,
    SegmentGone,
    find_in_segment,
    load_segments,
    write_segment,
)
from tidemill.ledger.event_ids.ids import (
    IdRun,
    Ids,
    Numbers,
    Words64,
    add_run,
    find_in_run,
    hash_ids,
    merge_runs,
)

__all__ = ["FLUSH_IDS", "IdIndex", "View"]

FLUSH_IDS = 1 << 17


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The index at one moment; never changes.

    Parameters
    ----------
    runs : tuple of IdRun
        In memory, oldest first.
    segments : tuple of Segment
        In the database, oldest first.
    """

    runs: tuple[IdRun, ...] = ()
    segments: tuple[Segment, ...] = ()

    @property
    def in_memory(self) -> int:
        """Ids that are not in a segment yet."""
        return sum(len(run) for run in self.runs)

    @property
    def rows(self) -> int:
        """Ids in memory and in segments."""
        return self.in_memory + sum(segment.rows for segment in self.segments)

    @property
    def filter_bytes(self) -> int:
        """Memory of the segments' fences and filters."""
        return sum(segment.nbytes for segment in self.segments)


class IdIndex:
    """The index of one store. One thread changes it; any thread may look into it.

    Parameters
    ----------
    salt : bytes
        The store's key of the hash.
    flush_ids : int
        Ids in memory that become a segment.
    """

    def __init__(self, salt: bytes, *, flush_ids: int = FLUSH_IDS) -> None:
        self.salt = salt
        self.flush_ids = flush_ids
        self.view = View()

    def load(self, connection: Connection, flushed_seq: int) -> None:
        """Read the segments, and the ids of rows that came after the last flush."""
        runs: tuple[IdRun, ...] = ()
        for run in _unflushed(connection, self.salt, flushed_seq):
            runs = add_run(runs, run)
        self.view = View(runs, load_segments(connection))

    def add(self, run: IdRun) -> None:
        """Note ids of rows that are committed."""
        if len(run):
            self.view = replace(self.view, runs=add_run(self.view.runs, run))

    def forget(self, segment_ids: Sequence[int]) -> None:
        """Drop segments whose rows are gone."""
        kept = [segment for segment in self.view.segments if segment.id not in segment_ids]
        self.view = replace(self.view, segments=tuple(kept))

    @property
    def flush_is_due(self) -> bool:
        """Whether memory holds enough ids for a segment."""
        return self.view.in_memory >= self.flush_ids

    def flush(self, connection: Connection) -> Callable[[], None]:
        """Write the ids in memory as a segment; returns what to call once it is committed."""
        segment = write_segment(connection, merge_runs(self.view.runs), level=0)

        def take() -> None:
            self.view = View((), (*self.view.segments, segment))

        return take

    def locate(
        self, ids: Ids, reader: Callable[[], Connection], *, newer_than: View | None = None
    ) -> tuple[Numbers, View]:
        """The row numbers of some ids, -1 where unknown, and the view they were looked up in.

        Parameters
        ----------
        ids : Ids
        reader : callable
            Gives a connection; called only where a segment must be read.
        newer_than : View, optional
            Look only for what that view lacked.
        """
        order = np.argsort(ids.high)
        found, view = self.locate_sorted(ids.take(order), reader, newer_than=newer_than)
        answer = np.empty(len(ids), np.int64)
        answer[order] = found
        return answer, view

    def locate_sorted(
        self, ids: Ids, reader: Callable[[], Connection], *, newer_than: View | None = None
    ) -> tuple[Numbers, View]:
        """Like :meth:`locate`, for ids in ascending order of their upper half."""
        while True:
            view = self.view
            try:
                return _locate(ids.high, ids.low, view, newer_than, reader), view
            except SegmentGone:
                if self.view is view:
                    raise


def _locate(
    high: Words64,
    low: Words64,
    view: View,
    newer_than: View | None,
    reader: Callable[[], Connection],
) -> Numbers:
    found = np.full(len(high), -1, np.int64)
    for look in _places(view, newer_than, reader):
        left = np.flatnonzero(found < 0)
        if not len(left):
            break
        if len(left) == len(found):
            found = look(high, low)
        else:
            found[left] = look(high[left], low[left])
    return found


def _places(
    view: View, newer_than: View | None, reader: Callable[[], Connection]
) -> Iterator[Callable[..., Numbers]]:
    known = newer_than.segments if newer_than else ()
    through = max((segment.last_seq for segment in known), default=-1)
    for run in reversed(view.runs):
        yield lambda high, low, run=run: find_in_run(run, high, low)
    for segment in reversed(view.segments):
        if segment.last_seq > through:
            yield lambda high, low, segment=segment: find_in_segment(reader(), segment, high, low)


def _unflushed(connection: Connection, salt: bytes, flushed_seq: int) -> Iterator[IdRun]:
    t = tables.batches
    chosen = sa.select(t.c.first_seq, t.c.outcomes).where(t.c.first_seq >= flushed_seq)
    for row in connection.execute(chosen.order_by(t.c.first_seq)).yield_per(64):
        ids = hash_ids(unpack_table(row.outcomes)["event_id"], salt)
        yield IdRun.of(ids, np.arange(row.first_seq, row.first_seq + len(ids)))
