"""Facts: the few things about each row that decide its role and its bucket."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.sharding.ranges import ordered
from tidemill.storage import stable_hash, stable_row_hash

__all__ = ["Wanted", "facts_of"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which facts a plan needs.

    Parameters
    ----------
    hashed : bool
        Whether roles need a hash of the row.
    hash_column : str or None
        The column hashed for it; None hashes the whole row.
    time : str or None
        The time column, where roles depend on it.
    target : str or None
        The target, where roles are stratified.
    value : str or None
        The sharding column; None shards by the hash of the whole row.
    value_hashed : bool
        Whether the sharding column counts by its hash (hash) or its order (range, time).
    """

    hashed: bool
    hash_column: str | None
    time: str | None
    target: str | None
    value: str | None
    value_hashed: bool

    def columns(self, *, values: bool = True) -> list[str] | None:
        """Columns to read for these facts; None for all."""
        rows_hashed = self.hashed and self.hash_column is None
        if rows_hashed or (values and self.value is None):
            return None
        named = [self.hash_column if self.hashed else None, self.time, self.target]
        named += [self.value] if values else []
        return sorted({name for name in named if name is not None})


def facts_of(
    table: pa.Table, wanted: Wanted, *, part: int, first_row: int, values: bool = True
) -> pa.Table:
    """The facts about the rows of one table.

    Parameters
    ----------
    table : pyarrow.Table
        Consecutive valid rows of one part.
    wanted : Wanted
    part : int
        Which part they are of.
    first_row : int
        Position of the first row among all valid rows.
    values : bool
        Whether the sharding column is wanted too.

    Returns
    -------
    pyarrow.Table
        ``position`` int64 and ``part`` int32; where wanted ``hash`` uint64, ``time`` int64
        (microseconds), ``class`` string, ``value`` (uint64, int64, float64 or string).

    Notes
    -----
    O(rows of the table) memory.
    """
    rows = table.num_rows
    facts: dict[str, pa.Array] = {
        "position": pa.array(np.arange(first_row, first_row + rows, dtype=np.int64)),
        "part": pa.array(np.full(rows, part, np.int32)),
    }
    if wanted.hashed:
        facts["hash"] = _hashes(table, wanted.hash_column)
    if wanted.time is not None:
        facts["time"] = ordered(table[wanted.time])
    if wanted.target is not None:
        facts["class"] = class_texts(table[wanted.target])
    if values:
        facts["value"] = _values(table, wanted, facts.get("hash"))
    return pa.table(facts)


def class_texts(labels: pa.ChunkedArray) -> pa.Array:
    """Labels as text; a missing label is a class of its own, the empty text."""
    array = labels.combine_chunks() if isinstance(labels, pa.ChunkedArray) else labels
    return pc.fill_null(array.cast(pa.string()), "")


def _hashes(table: pa.Table, column: str | None) -> pa.Array:
    hashes = stable_row_hash(table) if column is None else stable_hash(table[column])
    return pa.array(hashes)


def _values(table: pa.Table, wanted: Wanted, hashes: pa.Array | None) -> pa.Array:
    if not wanted.value_hashed:
        assert wanted.value is not None  # noqa: S101 - only hashes can do without a column
        return ordered(table[wanted.value])
    if hashes is not None and wanted.value == wanted.hash_column:
        return hashes
    return _hashes(table, wanted.value)
