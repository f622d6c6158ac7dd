"""Parts of windows: written with the mark that says which rows they are of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger.database import AnyRow, Commit, insert_row, pack_bytes, tables, unpack_bytes
from tidemill.ledger.entries import LabelPart, WindowKey, WindowPart
from tidemill.ledger.event_ids import Numbers

__all__ = [
    "FIELDS",
    "MAX_PARTS",
    "Merged",
    "merge_full",
    "read_parts",
    "store_label_parts",
    "store_merged",
    "store_window_parts",
]

FIELDS = ("profile", "outputs", "intake", "figures")
MAX_PARTS = 64

Merged = tuple[int, str, int, bytes]  # window, field, last part id that is in it, body
Merge = Callable[[str, Sequence[bytes]], bytes]


def read_parts(connection: Connection, window_id: int, field: str) -> tuple[bytes, ...]:
    """The partials of one field of a window, oldest first."""
    t = tables.parts
    chosen = sa.select(t.c.body).where(t.c.window_id == window_id, t.c.field == field)
    return tuple(unpack_bytes(row.body) for row in connection.execute(chosen.order_by(t.c.id)))


def merge_full(
    connection: Connection, keys: Iterable[WindowKey], merge: Merge, *, limit: int = MAX_PARTS
) -> list[Merged]:
    """Merge the parts of those of some windows that have ``limit`` of a field, or more."""
    t = tables.parts
    rows = _windows(connection, keys)
    counted = (
        sa.select(t.c.window_id, t.c.field, sa.func.max(t.c.id).label("last"))
        .where(t.c.window_id.in_([row.id for row in rows.values()]))
        .group_by(t.c.window_id, t.c.field)
        .having(sa.func.count() >= limit)
    )
    return [
        (
            row.window_id,
            row.field,
            row.last,
            merge(row.field, read_parts(connection, row.window_id, row.field)),
        )
        for row in connection.execute(counted).all()
    ]


def store_merged(commit: Commit, merged: Iterable[Merged]) -> None:
    """Put merged parts in the place of those they were merged from."""
    t = tables.parts
    for window_id, field, last, body in merged:
        commit.connection.execute(
            sa.delete(t).where(t.c.window_id == window_id, t.c.field == field, t.c.id <= last)
        )
        commit.connection.execute(
            sa.insert(t).values(window_id=window_id, field=field, body=pack_bytes(body))
        )


def store_window_parts(commit: Commit, parts: Sequence[WindowPart]) -> list[Numbers]:
    """Add parts to their windows, which are made where they are new.

    A part of a window that is closed is not kept: its rows are counted as late, and their
    positions are returned. Whether a window of a segment is closed the whole traffic's says.
    """
    known = _windows(commit.connection, [part.key for part in parts])
    bodies, late = [], []
    for part in parts:
        row = known.get(part.key)
        if _is_closed(known, part.key):
            if row is not None:
                _count_late(commit, row.id, part.rows)
            if part.members is not None:
                late.append(part.members)
            continue
        if row is None:
            row = known[part.key] = _new_window(commit, part)
        _widen(commit, row.id, part)
        bodies += [
            {"window_id": row.id, "field": field, "body": pack_bytes(body)}
            for field in ("profile", "outputs", "intake")
            if (body := getattr(part, field)) is not None
        ]
    if bodies:
        commit.connection.execute(sa.insert(tables.parts), bodies)
    if parts:
        commit.topic("windows")
    return late


def _is_closed(known: Mapping[WindowKey, AnyRow], key: WindowKey) -> bool:
    row = known.get(replace(key, segment=""), known.get(key))
    return row is not None and row.state == "closed"


def store_label_parts(commit: Commit, parts: Sequence[LabelPart]) -> int:
    """Add figures to their windows, open or closed; returns rows that found none."""
    w = tables.windows
    known = _windows(commit.connection, [part.key for part in parts])
    lost, bodies = 0, []
    for part in parts:
        row = known.get(part.key)
        if row is None:
            lost += 0 if part.key.segment else part.rows - part.unmeasured
            continue
        commit.connection.execute(
            sa.update(w).where(w.c.id == row.id).values(labelled_rows=w.c.labelled_rows + part.rows)
        )
        if part.figures is not None:
            body = pack_bytes(part.figures)
            bodies.append({"window_id": row.id, "field": "figures", "body": body})
    if bodies:
        commit.connection.execute(sa.insert(tables.parts), bodies)
    if parts:
        commit.topic("windows")
    return lost


def _windows(connection: Connection, keys: Iterable[WindowKey]) -> dict[WindowKey, AnyRow]:
    w = tables.windows
    by_version: dict[int, set[int]] = defaultdict(set)
    for key in keys:
        by_version[key.model_version].add(key.sequence)
    found = {}
    for version, sequences in by_version.items():
        chosen = sa.select(w.c.id, w.c.model_version, w.c.sequence, w.c.segment, w.c.state).where(
            w.c.model_version == version, w.c.sequence.in_(sorted(sequences))
        )
        for row in connection.execute(chosen):
            found[WindowKey(row.model_version, row.sequence, row.segment)] = row
    return found


def _new_window(commit: Commit, part: WindowPart) -> AnyRow:
    w = tables.windows
    first, last = part.positions or (None, None)
    number = insert_row(
        commit.connection,
        w,
        model_version=part.key.model_version,
        sequence=part.key.sequence,
        segment=part.key.segment,
        start=part.start,
        end=part.end,
        first_position=first,
        last_position=last,
        state="open",
        rows=0,
        late_rows=0,
        labelled_rows=0,
        sentence="",
        summary={},
        findings_flagged=0,
        first_received_at=commit.at,
        last_received_at=commit.at,
    )
    return commit.connection.execute(sa.select(w).where(w.c.id == number)).one()


def _widen(commit: Commit, window_id: int, part: WindowPart) -> None:
    w = tables.windows
    earlier = sa.case(
        (w.c.start < part.start, w.c.start), else_=sa.literal(part.start, w.c.start.type)
    )
    later = sa.case((w.c.end > part.end, w.c.end), else_=sa.literal(part.end, w.c.end.type))
    commit.connection.execute(
        sa.update(w)
        .where(w.c.id == window_id)
        .values(start=earlier, end=later, rows=w.c.rows + part.rows, last_received_at=commit.at)
    )


def _count_late(commit: Commit, window_id: int, rows: int) -> None:
    w = tables.windows
    commit.connection.execute(
        sa.update(w).where(w.c.id == window_id).values(late_rows=w.c.late_rows + rows)
    )
