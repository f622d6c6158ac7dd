"""Facts: the few things about each row that decide its role and its bucket."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.contracts import BucketFact
from tidemill.schema import TableSchema
from tidemill.sharding.ranges import ordered
from tidemill.storage import salted_hash, stable_hash, stable_row_hash

__all__ = ["Place", "Wanted", "facts_of", "wanted_by"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run of valid rows comes from.

    Parameters
    ----------
    part : int
        Number of the validated part.
    first : int
        Position of the first row among all valid rows.
    split : str
        Names the part's split by its content.
    row : int
        Number of the first row among the valid rows of the part.
    """

    part: int
    first: int
    split: str = ""
    row: int = 0

    def after(self, rows: int) -> Place:
        """The place of what follows so many rows of the same part."""
        return replace(self, first=self.first + rows, row=self.row + rows)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which facts a plan needs.

    Parameters
    ----------
    hashed : bool
        Whether roles need a hash of the row.
    hash_column : str or None
        The column hashed for it; None hashes the row's place.
    time : str or None
        The time column, where roles depend on it.
    target : str or None
        The target, where roles are stratified.
    value : str or None
        The sharding column; None shards by the hash of the row's place.
    value_hashed : bool
        Whether the sharding column counts by its hash (hash) or its order (range, time).
    placed : bool
        False: where no column is hashed, the whole row is, as shards of earlier versions were
        dealt.

    Notes
    -----
    The place is the row's number in its split, salted with the split's digest: it depends
    neither on the target, which must not decide a role, nor on how splits are cut into batches.
    """

    hashed: bool
    hash_column: str | None
    time: str | None
    target: str | None
    value: str | None
    value_hashed: bool
    placed: bool = True

    def columns(self, *, values: bool = True) -> list[str] | None:
        """Columns to read for these facts; None for all."""
        unnamed = (self.hashed and self.hash_column is None) or (values and self.value is None)
        if unnamed and not self.placed:
            return None
        named = [self.hash_column if self.hashed else None, self.time, self.target]
        named += [self.value] if values else []
        return sorted({name for name in named if name is not None})


def wanted_by(
    roles: frozenset[str],
    buckets: BucketFact,
    schema: TableSchema,
    *,
    hash_column: str | None,
    column: str | None,
    placed: bool = True,
) -> Wanted:
    """The facts that a role rule and a bucket rule want (``wants`` of either).

    Parameters
    ----------
    hash_column : str or None
        The column whose hash decides roles.
    column : str or None
        The sharding column.
    """
    timed = buckets == "time" or "time" in roles
    return Wanted(
        hashed="hash" in roles,
        hash_column=hash_column,
        time=schema.time.name if timed and schema.time is not None else None,
        target=schema.target.name if "class" in roles else None,
        value=column,
        value_hashed=buckets == "hash",
        placed=placed,
    )


def facts_of(table: pa.Table, wanted: Wanted, place: Place, *, values: bool = True) -> pa.Table:
    """The facts about the rows of one table.

    Parameters
    ----------
    table : pyarrow.Table
        Consecutive valid rows of one part.
    wanted : Wanted
    place : Place
        Of its first row.
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
        "position": pa.array(np.arange(place.first, place.first + rows, dtype=np.int64)),
        "part": pa.array(np.full(rows, place.part, np.int32)),
    }
    if wanted.hashed:
        facts["hash"] = _hashes(table, wanted.hash_column, wanted, place)
    if wanted.time is not None:
        facts["time"] = ordered(table[wanted.time])
    if wanted.target is not None:
        facts["class"] = class_texts(table[wanted.target])
    if values:
        facts["value"] = _values(table, wanted, place, facts.get("hash"))
    return pa.table(facts)


def class_texts(labels: pa.ChunkedArray) -> pa.Array:
    """Labels as text; a missing label is a class of its own, the empty text."""
    array = labels.combine_chunks() if isinstance(labels, pa.ChunkedArray) else labels
    return pc.fill_null(array.cast(pa.string()), "")


def _hashes(table: pa.Table, column: str | None, wanted: Wanted, place: Place) -> pa.Array:
    if column is not None:
        return pa.array(stable_hash(table[column]))
    if not wanted.placed:
        return pa.array(stable_row_hash(table))
    numbers = np.arange(place.row, place.row + table.num_rows, dtype=np.uint64)
    return pa.array(salted_hash(numbers, place.split))


def _values(table: pa.Table, wanted: Wanted, place: Place, hashes: pa.Array | None) -> pa.Array:
    if not wanted.value_hashed:
        assert wanted.value is not None  # noqa: S101 - only hashes can do without a column
        return ordered(table[wanted.value])
    if hashes is not None and wanted.value == wanted.hash_column:
        return hashes
    return _hashes(table, wanted.value, wanted, place)
