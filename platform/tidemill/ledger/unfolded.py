"""Rows that are durable and wait to be folded into their windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger.database import AnyRow, tables, unpack_numbers, unpack_table
from tidemill.ledger.entries import BatchNote, Stretch

__all__ = ["Unfolded", "backlog", "stretches", "to_stretch"]

MAX_STRETCH_ROWS = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class Unfolded:
    """One stored request.

    Parameters
    ----------
    first_seq : int
    table : Table
        Its new rows, perhaps none.
    model_version : int
    outcomes : tuple of str
        Names of the columns that are stored apart.
    note : BatchNote
    arrival_id : int or None
        Its row in ``arrivals``, where it has one.
    nbytes : int
        Memory that it holds, at most.
    """

    first_seq: int
    table: pa.Table
    model_version: int
    outcomes: tuple[str, ...]
    note: BatchNote
    arrival_id: int | None
    nbytes: int = 0

    @property
    def end_seq(self) -> int:
        """One past its last row."""
        return self.first_seq + self.note.rows


def stretches(items: Sequence[Unfolded]) -> Iterator[list[Unfolded]]:
    """Neighbours of one model version and one schema, of at most 65,536 rows if several."""
    group: list[Unfolded] = []
    rows = 0
    for item in items:
        if group and not (
            item.model_version == group[0].model_version
            and item.outcomes == group[0].outcomes
            and item.table.schema.equals(group[0].table.schema)
            and rows + item.note.rows <= MAX_STRETCH_ROWS
        ):
            yield group
            group, rows = [], 0
        group.append(item)
        rows += item.note.rows
    if group:
        yield group


def to_stretch(items: Sequence[Unfolded], between: tuple[int, int] | None = None) -> Stretch:
    """What the folding gets to see of neighbours.

    Parameters
    ----------
    items : sequence of Unfolded
    between : (int, int), optional
        Only these rows of them, without what their requests said besides; of no rows at all
        nothing but that.
    """
    table = pa.concat_tables([item.table for item in items])
    if len(items) > 1:  # hundreds of single rows: what follows costs by the chunk
        table = table.unify_dictionaries().combine_chunks()
    first = items[0].note.position
    position = pa.array(np.arange(first, first + len(table)))
    table = table.append_column("position", position)
    notes = tuple(item.note for item in items)
    if between is not None:
        start, stop = between
        table = table.slice(start, stop - start)
        if start < stop:
            notes = tuple(replace(note, duplicates=0, intake=None, repeats=None) for note in notes)
    return Stretch(table, items[0].model_version, notes)


def backlog(
    connection: Connection, from_seq: int, to_seq: int, through_arrival: int, limit: int
) -> list[Unfolded]:
    """The oldest requests that an earlier process stored and did not fold.

    Parameters
    ----------
    from_seq, to_seq : int
        Half-open range of row numbers.
    through_arrival : int
        The last row of ``arrivals`` that is of the earlier process.
    limit : int
        Batches to read.
    """
    b, a = tables.batches, tables.arrivals
    chosen = sa.select(b).where(b.c.first_seq >= from_seq, b.c.first_seq < to_seq)
    rows = connection.execute(chosen.order_by(b.c.first_seq).limit(limit)).all()
    until = rows[-1].first_seq if len(rows) == limit else to_seq
    noted = connection.execute(
        sa.select(a).where(a.c.id <= through_arrival, a.c.first_seq <= until).order_by(a.c.id)
    ).all()
    notes = {row.first_seq: row for row in noted if row.rows}
    items = [_of_batch(row, notes.get(row.first_seq)) for row in rows]
    items += [_of_note(row) for row in noted if not row.rows]
    return sorted(items, key=lambda item: (item.first_seq, item.note.rows > 0))


def _of_batch(row: AnyRow, arrival: AnyRow | None) -> Unfolded:
    first, rest = unpack_table(row.outcomes), unpack_table(row.features)
    table = first
    for name in rest.column_names:
        table = table.append_column(rest.schema.field(name), rest[name])
    note = BatchNote(
        row.received_at,
        row.position,
        row.rows,
        arrival.duplicates if arrival else 0,
        arrival.intake if arrival else None,
        unpack_numbers(arrival.repeats) if arrival else None,
    )
    return Unfolded(
        row.first_seq,
        table,
        row.model_version,
        tuple(first.column_names[2:]),
        note,
        arrival.id if arrival else None,
    )


def _of_note(row: AnyRow) -> Unfolded:
    again = unpack_numbers(row.repeats)
    note = BatchNote(row.received_at, row.position, 0, row.duplicates, row.intake, again)
    empty = pa.table(
        {"event_id": pa.array([], pa.string()), "at": pa.array([], pa.timestamp("us"))}
    )
    return Unfolded(row.first_seq, empty, row.model_version, (), note, row.id)
