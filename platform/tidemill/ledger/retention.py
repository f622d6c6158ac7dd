"""What is old goes, a little at a time, so that no writer waits for it."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from tidemill.ledger.database import Commit, Database, tables
from tidemill.ledger.event_ids import IdIndex
from tidemill.ledger.writer import Writer

__all__ = ["PrunedRows", "prune"]

T = TypeVar("T")

_BATCHES_AT_ONCE = 64
_EVENTS_AT_ONCE = 16_384
_ROWS_AT_ONCE = 4096
_REQUEST_DAYS = 7
_FREE_PAGES_AT_ONCE = 2000
_AHEAD = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PrunedRows:
    """How much was deleted."""

    rows: int = 0
    batches: int = 0
    labels: int = 0
    ids: int = 0
    pending: int = 0
    requests: int = 0


def prune(
    database: Database,
    writer: Writer,
    index: IdIndex,
    before: dt.datetime,
    *,
    now: dt.datetime,
    folds: bool,
) -> PrunedRows:
    """Delete events that were received before a time, and what belongs to them.

    Windows, their parts, decisions and alerts stay. Rows that are not folded yet stay too. Ids
    are forgotten with the segments whose rows are all gone: an event may then come again.

    Notes
    -----
    A commit deletes at most 16,384 events with their labels (a batch that is larger goes alone)
    or 4,096 other rows, so that those who write wait for no more than that; the caller waits for
    each of them however long a slow disk takes.
    """
    end = _end_of_old(database, writer, before, now, folds)
    rows = batches = labels = 0
    while True:
        done = _in_turn(writer, lambda commit: _some_batches(commit, end))
        if done is None:
            break
        rows, batches, labels = rows + done[0], batches + done[1], labels + done[2]
    ids = _in_turn(writer, lambda commit: _old_segments(commit, index))
    pending = _old_rows(
        writer, tables.pending, tables.pending.c.received_at < before, mark="pending"
    )
    requests = _old_requests(writer, before, now)
    if database.sqlite:
        _in_turn(writer, _give_back)
    return PrunedRows(rows, batches, labels, ids, pending, requests)


def _in_turn(writer: Writer, run: Callable[[Commit], T]) -> T:
    """Nobody waits for a deletion: it takes its turn, and as long as it takes."""
    return writer.call(run, timeout=None)


def _give_back(commit: Commit) -> None:
    # The statement works for as long as rows are fetched, and SQLAlchemy would fetch none.
    driver: Any = commit.connection.connection.driver_connection
    driver.execute(f"PRAGMA incremental_vacuum({_FREE_PAGES_AT_ONCE})").fetchall()


def _end_of_old(
    database: Database, writer: Writer, before: dt.datetime, now: dt.datetime, folds: bool
) -> int:
    """One past the last row that may go.

    Batches that a clock received which was ahead are as old as those behind them: they go with
    the first of these that is old.
    """
    b = tables.batches
    folded = writer.marks.get("folded_seq" if folds else "next_seq", 0)
    young = sa.and_(b.c.received_at >= before, b.c.received_at <= now + _AHEAD)
    old = sa.select(b.c.first_seq, b.c.rows).where(b.c.received_at < before)
    with database.read() as connection:
        first_kept = connection.scalar(sa.select(sa.func.min(b.c.first_seq)).where(young))
        if first_kept is not None:
            old = old.where(b.c.first_seq < first_kept)
        last = connection.execute(old.order_by(b.c.first_seq.desc()).limit(1)).first()
    return 0 if last is None else min(folded, int(last.first_seq + last.rows))


def _some_batches(commit: Commit, end: int) -> tuple[int, int, int] | None:
    b, t = tables.batches, tables.labels
    old = commit.connection.execute(
        sa.select(b.c.first_seq, b.c.rows)
        .where(b.c.first_seq < end)
        .order_by(b.c.first_seq)
        .limit(_BATCHES_AT_ONCE)
    ).all()
    if not old:
        return None
    rows = itertools.accumulate(row.rows for row in old)
    old = old[: max(1, sum(total <= _EVENTS_AT_ONCE for total in rows))]
    stop = old[-1].first_seq + old[-1].rows
    commit.connection.execute(sa.delete(b).where(b.c.first_seq < stop))
    labels = commit.connection.execute(sa.delete(t).where(t.c.seq < stop)).rowcount
    commit.set_mark("pruned_seq", max(commit.mark("pruned_seq"), stop))
    commit.topic("events")
    return sum(row.rows for row in old), len(old), labels


def _old_segments(commit: Commit, index: IdIndex) -> int:
    pruned = commit.mark("pruned_seq")
    old = [segment for segment in index.view.segments if segment.last_seq < pruned]
    if not old:
        return 0
    t = tables.id_segments
    numbers = [segment.id for segment in old]
    commit.connection.execute(sa.update(t).where(t.c.id.in_(numbers)).values(live=False))
    commit.after(lambda: index.forget(numbers))
    return sum(segment.rows for segment in old)


def _old_requests(writer: Writer, before: dt.datetime, now: dt.datetime) -> int:
    r, s, o = tables.requests, tables.sessions, tables.outbox
    week_ago = now - dt.timedelta(days=_REQUEST_DAYS)
    deleted = _old_rows(writer, r, r.c.created_at < max(before, week_ago))
    _old_rows(writer, s, s.c.expires_at < now)
    _old_rows(writer, o, sa.and_(o.c.state == "done", o.c.finished_at < before))
    return deleted


def _old_rows(
    writer: Writer, table: sa.Table, condition: sa.ColumnElement[bool], *, mark: str | None = None
) -> int:
    """Delete rows; ``mark`` is the counter of those that are left."""
    keys = list(table.primary_key.columns)
    chosen = sa.select(*keys).where(condition).limit(_ROWS_AT_ONCE)
    key = keys[0] if len(keys) == 1 else sa.tuple_(*keys)

    def some(commit: Commit) -> int:
        gone = commit.connection.execute(sa.delete(table).where(key.in_(chosen))).rowcount
        if mark is not None:
            commit.set_mark(mark, commit.mark(mark) - gone)
        return int(gone)

    total = 0
    while count := _in_turn(writer, some):
        total += count
    return total
