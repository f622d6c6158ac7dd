"""Sorted segments of event ids in the database: pages, fences and a filter each.

A segment holds ids in ascending order in pages of 160. Its *fences* (the first id's upper half
of each page) and its *filter* stay in memory, about 14 bits an id; pages are read only for ids
that the filter does not rule out.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.errors import IntegrityError
from tidemill.ledger.database import insert_row, tables
from tidemill.ledger.event_ids.filters import add_to_filter, empty_filter, may_contain
from tidemill.ledger.event_ids.ids import IdRun, Numbers, Words64, find_in_run

__all__ = [
    "PAGE_IDS",
    "Segment",
    "SegmentGone",
    "find_in_segment",
    "insert_pages",
    "load_segments",
    "pages_of",
    "read_range",
    "write_segment",
]

PAGE_IDS = 160  # 3,844 bytes: fits a page of either database
_PAGES_SHIFT = 24
_AT_ONCE = 400


class SegmentGone(Exception):
    """A page is missing: the segment was merged into another since it was listed."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """What stays in memory of a segment.

    Parameters
    ----------
    id, level, rows : int
    first_seq, last_seq : int
        The row numbers of its ids lie between them, both included.
    fences : (pages,) uint64
    filter : uint8 array
    """

    id: int
    level: int
    rows: int
    first_seq: int
    last_seq: int
    fences: Words64
    filter: npt.NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        """Memory of fences and filter."""
        return int(self.fences.nbytes + self.filter.nbytes)


def find_in_segment(
    connection: Connection, segment: Segment, high: Words64, low: Words64
) -> Numbers:
    """The row numbers of some ids, -1 where the segment lacks them.

    Parameters
    ----------
    high, low : (n,) uint64, ascending

    Raises
    ------
    SegmentGone
        If the segment was merged away meanwhile.
    IntegrityError
        If a page is damaged.
    """
    found = np.full(len(high), -1, np.int64)
    rows = np.flatnonzero(may_contain(segment.filter, high, low))
    if not len(rows):
        return found
    high, low = high[rows], low[rows]
    # Equal upper halves may lie on both sides of a fence: first to last page that may hold one.
    first = np.maximum(np.searchsorted(segment.fences, high, "left") - 1, 0)
    last = np.maximum(np.searchsorted(segment.fences, high, "right") - 1, 0)
    wanted = np.unique(np.concatenate([first, last]))
    for start in range(0, len(wanted), _AT_ONCE):
        pages = wanted[start : start + _AT_ONCE]
        run = _read_pages(connection, segment, pages)
        reached = (last >= pages[0]) & (first <= pages[-1])
        here = find_in_run(run, high[reached], low[reached])
        found[rows[reached]] = np.maximum(found[rows[reached]], here)
    return found


def pages_of(run: IdRun, segment_id: int, first_page: int) -> list[dict[str, object]]:
    """Rows of id_pages for a run whose length is a multiple of a page (but for the last)."""
    base = (segment_id << _PAGES_SHIFT) + first_page
    whole = len(run) // PAGE_IDS
    table = np.empty((whole, 3, PAGE_IDS), np.uint64)
    for column, values in enumerate((run.high, run.low, run.seq.view(np.uint64))):
        table[:, column] = values[: whole * PAGE_IDS].reshape(whole, PAGE_IDS)
    content = memoryview(table.tobytes())
    size = 24 * PAGE_IDS
    bodies = [_sealed(content[start : start + size]) for start in range(0, len(content), size)]
    rest = slice(whole * PAGE_IDS, None)
    if len(run) % PAGE_IDS:
        tail = (run.high[rest].tobytes(), run.low[rest].tobytes(), run.seq[rest].tobytes())
        bodies.append(_sealed(b"".join(tail)))
    return [{"page_id": base + page, "body": body} for page, body in enumerate(bodies)]


def insert_pages(connection: Connection, pages: Sequence[dict[str, object]]) -> None:
    """Insert rows of ``id_pages`` in the caller's transaction; none is fine."""
    if pages:
        connection.execute(sa.insert(tables.id_pages), pages)


def write_segment(connection: Connection, run: IdRun, level: int) -> Segment:
    """Write a run as a live segment in the caller's transaction."""
    bits = empty_filter(len(run))
    add_to_filter(bits, run.high, run.low)
    fences = run.high[::PAGE_IDS].copy()
    first, last = int(run.seq.min()), int(run.seq.max())
    number = insert_row(
        connection,
        tables.id_segments,
        level=level,
        live=True,
        rows=len(run),
        first_seq=first,
        last_seq=last,
        fences=fences.tobytes(),
        filter=bits.tobytes(),
    )
    insert_pages(connection, pages_of(run, number, 0))
    return Segment(number, level, len(run), first, last, fences, bits)


def load_segments(connection: Connection) -> tuple[Segment, ...]:
    """Fences and filters of all live segments, oldest rows first."""
    t = tables.id_segments
    found = connection.execute(sa.select(t).where(t.c.live).order_by(t.c.first_seq))
    return tuple(
        Segment(
            row.id,
            row.level,
            row.rows,
            row.first_seq,
            row.last_seq,
            np.frombuffer(row.fences, np.uint64),
            np.frombuffer(row.filter, np.uint8),
        )
        for row in found
    )


def read_range(connection: Connection, segment: Segment, start: int, stop: int) -> IdRun:
    """The ids whose upper half lies in [start, stop); ``stop`` may be 2**64."""
    pages = len(segment.fences)
    first = max(int(np.searchsorted(segment.fences, np.uint64(start), "left")) - 1, 0)
    after = pages
    if stop < 1 << 64:
        after = int(np.searchsorted(segment.fences, np.uint64(stop), "left"))
    wanted = np.arange(first, max(after, first))
    runs = [
        _read_pages(connection, segment, wanted[i : i + _AT_ONCE])
        for i in range(0, len(wanted), _AT_ONCE)
    ]
    if not runs:
        empty = np.empty(0, np.uint64)
        return IdRun(empty, empty, np.empty(0, np.int64))
    run = IdRun(
        np.concatenate([run.high for run in runs]),
        np.concatenate([run.low for run in runs]),
        np.concatenate([run.seq for run in runs]),
    )
    left = int(np.searchsorted(run.high, np.uint64(start), "left"))
    right = len(run)
    if stop < 1 << 64:
        right = int(np.searchsorted(run.high, np.uint64(stop), "left"))
    return IdRun(run.high[left:right], run.low[left:right], run.seq[left:right])


def _sealed(content: bytes | memoryview) -> bytes:
    return zlib.crc32(content).to_bytes(4, "little") + content


def _read_pages(connection: Connection, segment: Segment, pages: Numbers) -> IdRun:
    t = tables.id_pages
    base = segment.id << _PAGES_SHIFT
    numbers = [base + int(page) for page in pages]
    chosen = sa.select(t.c.body).order_by(t.c.page_id)
    if len(numbers) > 1 and numbers[-1] - numbers[0] == len(numbers) - 1:
        chosen = chosen.where(t.c.page_id.between(numbers[0], numbers[-1]))
    else:
        chosen = chosen.where(t.c.page_id.in_(numbers))
    bodies = [row[0] for row in connection.execute(chosen)]
    if len(bodies) != len(numbers):
        raise SegmentGone(segment.id)
    return _joined(list(_checked(bodies, segment.id)))


def _checked(bodies: Sequence[bytes], segment_id: int) -> Iterator[memoryview]:
    for body in bodies:
        content = memoryview(body)[4:]
        if zlib.crc32(content) != int.from_bytes(body[:4], "little"):
            raise IntegrityError(
                f"a page of the event ids (segment {segment_id}) is damaged",
                remedy="restore the store from a backup",
                segment=segment_id,
            )
        yield content


def _joined(contents: Sequence[memoryview]) -> IdRun:
    highs, lows, seqs = [], [], []
    for content in contents:
        size = len(content) // 3
        highs.append(content[:size])
        lows.append(content[size : 2 * size])
        seqs.append(content[2 * size :])
    return IdRun(
        np.frombuffer(b"".join(highs), np.uint64),
        np.frombuffer(b"".join(lows), np.uint64),
        np.frombuffer(b"".join(seqs), np.int64),
    )
