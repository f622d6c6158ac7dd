"""Small segments of ids become larger ones, a range of hashes at a time, beside the writer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger.database import Commit, Database, insert_row, tables
from tidemill.ledger.event_ids.filters import add_to_filter, empty_filter
from tidemill.ledger.event_ids.id_segments import (
    PAGE_IDS,
    Segment,
    insert_pages,
    pages_of,
    read_range,
)
from tidemill.ledger.event_ids.ids import IdRun, Words64, merge_runs
from tidemill.ledger.event_ids.index import IdIndex

__all__ = ["clear_dead_segments", "due_merge", "merge_segments"]

FAN_IN = {0: 8, 1: 8}  # segments of a level that become one of the next; the last has none
_RANGE_IDS = 1 << 15
_DELETED_AT_ONCE = 2048

Write = Callable[[Callable[[Commit], Any]], Any]


def due_merge(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """The oldest neighbours of one level that are as many as it takes, or none."""
    for level, width in FAN_IN.items():
        for start in range(len(segments) - width + 1):
            group = tuple(segments[start : start + width])
            if all(segment.level == level for segment in group):
                return group
    return ()


def merge_segments(store: Database, write: Write, index: IdIndex, group: Sequence[Segment]) -> None:
    """Merge neighbours into one segment of the next level.

    Parameters
    ----------
    store : Database
        Read for the pages.
    write : callable
        Runs a function in the writer's thread and waits for its commit. The new segment is
        written in many short commits and becomes live, in place of the others, in the last.

    Notes
    -----
    Memory: ``_RANGE_IDS`` ids and the new filter.
    """
    rows = sum(segment.rows for segment in group)
    new = write(lambda commit: _begin(commit.connection, group))
    bits, fences = empty_filter(rows), list[Words64]()
    page, rest = 0, list[IdRun]()
    ranges = max(1, rows // _RANGE_IDS)
    for number in range(ranges):
        start, stop = (number << 64) // ranges, ((number + 1) << 64) // ranges
        with store.read() as connection:
            runs = [read_range(connection, segment, start, stop) for segment in group]
        merged = merge_runs(runs)
        add_to_filter(bits, merged.high, merged.low)
        whole = _joined([*rest, merged])
        keep = len(whole) if number == ranges - 1 else len(whole) // PAGE_IDS * PAGE_IDS
        ready, rest = _part(whole, 0, keep), [_part(whole, keep, len(whole))]
        pages = pages_of(ready, new, page)
        write(partial(_insert_pages, pages=pages))
        fences.append(ready.high[::PAGE_IDS])
        page += len(pages)
    segment = Segment(
        new,
        group[0].level + 1,
        rows,
        group[0].first_seq,
        group[-1].last_seq,
        np.concatenate(fences),
        bits,
    )
    write(lambda commit: _switch(commit, segment, group, index))


def clear_dead_segments(store: Database, write: Write) -> int:
    """Delete the pages of segments that are not live any more; returns how many segments."""
    t = tables.id_segments
    with store.read() as connection:
        dead = connection.scalars(sa.select(t.c.id).where(~t.c.live)).all()
    for number in dead:
        while write(partial(_delete_pages, number=number)):
            continue
    return len(dead)


def _begin(connection: Connection, group: Sequence[Segment]) -> int:
    return insert_row(
        connection,
        tables.id_segments,
        level=group[0].level + 1,
        live=False,
        rows=0,
        first_seq=group[0].first_seq,
        last_seq=group[-1].last_seq,
        fences=b"",
        filter=b"",
    )


def _switch(commit: Commit, new: Segment, group: Sequence[Segment], index: IdIndex) -> None:
    t = tables.id_segments
    commit.connection.execute(
        sa.update(t)
        .where(t.c.id == new.id)
        .values(live=True, rows=new.rows, fences=new.fences.tobytes(), filter=new.filter.tobytes())
    )
    old = [segment.id for segment in group]
    commit.connection.execute(sa.update(t).where(t.c.id.in_(old)).values(live=False))

    def take() -> None:
        kept = [segment for segment in index.view.segments if segment.id not in old]
        segments = tuple(sorted([*kept, new], key=lambda segment: segment.first_seq))
        index.view = replace(index.view, segments=segments)

    commit.after(take)


def _insert_pages(commit: Commit, pages: list[dict[str, object]]) -> None:
    insert_pages(commit.connection, pages)


def _delete_pages(commit: Commit, number: int) -> int:
    connection = commit.connection
    t, base = tables.id_pages, number << 24
    chosen = (
        sa.select(t.c.page_id)
        .where(t.c.page_id >= base, t.c.page_id < base + (1 << 24))
        .limit(_DELETED_AT_ONCE)
    )
    deleted = connection.execute(sa.delete(t).where(t.c.page_id.in_(chosen))).rowcount
    if not deleted:
        connection.execute(sa.delete(tables.id_segments).where(tables.id_segments.c.id == number))
    return int(deleted)


def _joined(runs: Sequence[IdRun]) -> IdRun:
    return IdRun(
        np.concatenate([run.high for run in runs]),
        np.concatenate([run.low for run in runs]),
        np.concatenate([run.seq for run in runs]),
    )


def _part(run: IdRun, start: int, stop: int) -> IdRun:
    return IdRun(run.high[start:stop], run.low[start:stop], run.seq[start:stop])
