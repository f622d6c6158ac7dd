"""Stored rows, found by their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger.database import AnyRow, Database, micros, tables, unpack_table
from tidemill.ledger.event_ids import Numbers
from tidemill.ledger.late_masks import Mask, unpack_mask
from tidemill.ledger.withholding import Take, taken

__all__ = [
    "Found",
    "Repeated",
    "labelled_rows",
    "newest_records",
    "newest_rows",
    "repeated_events",
    "rows_at",
    "rows_between",
    "truth_columns",
]

# Model version, row numbers, rows with their position, which of them came too late.
Repeated = tuple[tuple[int, pa.Table], ...]
Found = tuple[int, Numbers, pa.Table, Mask]


def newest_records(
    database: Database, table: sa.Table, *, state: str | None, limit: int, before: int | None
) -> list[Any]:
    """Rows of a table with ``id`` and ``state``, newest first; ``before`` is a cursor."""
    chosen = sa.select(table).order_by(table.c.id.desc()).limit(limit)
    if state is not None:
        chosen = chosen.where(table.c.state == state)
    if before is not None:
        chosen = chosen.where(table.c.id < before)
    with database.read() as connection:
        return list(connection.execute(chosen))


def rows_at(connection: Connection, seq: Numbers, *, features: bool) -> Iterator[Found]:
    """Some rows, batch by batch; rows that were pruned are left out.

    Parameters
    ----------
    seq : (n,) int64, ascending
    features : bool
        All columns; otherwise those that are stored with the outcomes.

    Notes
    -----
    Memory is one stored batch.
    """
    start = 0
    while start < len(seq):
        row = _batch_at(connection, int(seq[start]), features)
        if row is None or row.first_seq + row.rows <= seq[start]:
            start += 1  # pruned
            continue
        stop = int(np.searchsorted(seq, row.first_seq + row.rows))
        wanted = seq[start:stop]
        rows = wanted - row.first_seq
        late = unpack_mask(row.late, row.rows)[rows]
        yield row.model_version, wanted, _table(row, features).take(pa.array(rows)), late
        start = stop


def repeated_events(connection: Connection, repeats: Numbers | None) -> Repeated:
    """When and where some events stand that were sent again, by model version.

    Parameters
    ----------
    repeats : (n,) int64 or None
        Their numbers, in any order, one as often as it was sent; those that were pruned are left
        out.

    Notes
    -----
    Memory is one stored batch and 16 bytes an event.
    """
    seq = np.sort(repeats) if repeats is not None else np.empty(0, np.int64)
    found = rows_at(connection, seq, features=False)
    return tuple((version, rows.select(["at", "position"])) for version, _, rows, _ in found)


def rows_between(
    connection: Connection, model_version: int, conditions: list[Any]
) -> Iterator[tuple[int, pa.Table]]:
    """All rows of the batches of a model version that fulfil conditions on ``batches``."""
    t = tables.batches
    first = -1
    while True:
        chosen = sa.select(t).where(
            t.c.model_version == model_version, t.c.first_seq > first, *conditions
        )
        row = connection.execute(chosen.order_by(t.c.first_seq).limit(1)).one_or_none()
        if row is None:
            return
        first = row.first_seq
        yield first, _table(row, True)


def newest_rows(connection: Connection, limit: int, model_version: int | None) -> pa.Table | None:
    """The newest rows of one model version, newest last, or None."""
    t = tables.batches
    chosen = sa.select(t).order_by(t.c.first_seq.desc()).limit(1)
    pieces: list[pa.Table] = []
    before, rows = 1 << 62, 0
    while rows < limit:
        here = chosen.where(t.c.first_seq < before)
        if model_version is not None:
            here = here.where(t.c.model_version == model_version)
        row = connection.execute(here).one_or_none()
        if row is None:
            break
        table = _table(row, True)
        if pieces and not table.schema.equals(pieces[0].schema):
            break
        model_version, before = row.model_version, row.first_seq
        pieces.append(table)
        rows += len(table)
    if not pieces:
        return None
    joined = pa.concat_tables(pieces[::-1])
    return joined.slice(max(0, len(joined) - limit))


def labelled_rows(
    database: Database, take: Take, model_version: int | None, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """The labelled rows of a take, in the order of the events."""
    t = tables.labels
    last = -1
    while True:
        chosen = (
            sa.select(t)
            .where(t.c.seq > last, t.c.number > take.after, t.c.number <= take.through)
            .order_by(t.c.seq)
            .limit(batch_rows)
        )
        with database.read() as connection:
            labels = connection.execute(chosen).all()
            pieces = _with_truth(connection, labels, take, model_version)
        for piece in pieces:
            yield from piece.combine_chunks().to_batches()
        if len(labels) < batch_rows:
            return
        last = labels[-1].seq


def truth_columns(labels: Sequence[AnyRow]) -> pa.Table:
    """``truth``, ``labelled_at`` and ``label_number`` of rows of ``labels``."""
    words = [row.word for row in labels]
    if any(word is not None for word in words):
        truth = pa.array(words, pa.string())
    else:
        truth = pa.array([row.value for row in labels], pa.float64())
    return pa.table(
        {
            "truth": truth,
            "labelled_at": pa.array([micros(row.at) for row in labels], pa.timestamp("us")),
            "label_number": pa.array([row.number for row in labels], pa.int64()),
        }
    )


def _with_truth(
    connection: Connection, labels: Sequence[AnyRow], take: Take, model_version: int | None
) -> list[pa.Table]:
    # One piece for each run of equal schemas, so that batches are not smaller than they must be.
    seq = np.fromiter((row.seq for row in labels), np.int64, len(labels))
    pieces: list[list[pa.Table]] = []
    for version, numbers, table, _ in rows_at(connection, seq, features=True):
        if model_version not in (None, version):
            continue
        wanted = taken(table, version, take)
        if not wanted.any():
            continue
        at = np.searchsorted(seq, numbers[wanted])
        rows = table.filter(pa.array(wanted)).drop_columns(["position"])
        truth = truth_columns([labels[i] for i in at.tolist()])
        for name in truth.column_names:
            rows = rows.append_column(name, truth[name])
        if pieces and pieces[-1][0].schema.equals(rows.schema):
            pieces[-1].append(rows)
        else:
            pieces.append([rows])
    return [pa.concat_tables(several).unify_dictionaries() for several in pieces]


def _batch_at(connection: Connection, seq: int, features: bool) -> AnyRow | None:
    t = tables.batches
    columns = [t.c.first_seq, t.c.rows, t.c.model_version, t.c.position, t.c.outcomes, t.c.late]
    if features:
        columns.append(t.c.features)
    chosen = sa.select(*columns).where(t.c.first_seq <= seq)
    return connection.execute(chosen.order_by(t.c.first_seq.desc()).limit(1)).one_or_none()


def _table(row: AnyRow, features: bool) -> pa.Table:
    table = unpack_table(row.outcomes)
    if features:
        rest = unpack_table(row.features)
        for name in rest.column_names:
            table = table.append_column(rest.schema.field(name), rest[name])
    position = np.arange(row.position, row.position + row.rows)
    return table.append_column("position", pa.array(position))
