"""The profile of a table: one small statistic a column."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.alike import alike
from tidemill.errors import SchemaMismatch
from tidemill.profiling.category import CATEGORY_LIMIT, CategoryProfile
from tidemill.profiling.numeric import NumericProfile
from tidemill.schema import Column, ColumnType, Purpose, TableSchema

__all__ = ["ColumnProfile", "Profile", "categories_of"]

ColumnProfile = NumericProfile | CategoryProfile
Values: TypeAlias = pa.ChunkedArray | pa.Array

_KINDS: dict[str, type[NumericProfile] | type[CategoryProfile]] = {
    "numeric": NumericProfile,
    "category": CategoryProfile,
}


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The profiles of all columns of a schema over the same rows.

    Parameters
    ----------
    rows : int
    columns : dict of str to NumericProfile or CategoryProfile
        Every column of the schema, in file order. Booleans are categories ``false`` and
        ``true``; of a text key and of free text only rows and nulls are kept.

    Notes
    -----
    Memory: n_columns * (edges or 10,000 categories), whatever the rows.
    """

    rows: int
    columns: dict[str, ColumnProfile]

    @classmethod
    def of(cls, table: pa.Table | pa.RecordBatch, schema: TableSchema) -> Self:
        """Profile a table that has at least the columns of ``schema``.

        Raises
        ------
        SchemaMismatch
            If a column is missing.

        >>> from tidemill.schema import Task
        >>> zone = Column("zone", ColumnType.CATEGORICAL, Purpose.FEATURE, "dictionary")
        >>> table = pa.table({"zone": pa.array(["a", "b", None, "a"]).dictionary_encode()})
        >>> Profile.of(table, TableSchema((zone,), Task.BINARY)).columns["zone"].counts
        {'a': 2, 'b': 1}
        """
        missing = set(schema.names).difference(table.schema.names)
        if missing:
            raise SchemaMismatch(
                f"the table lacks the columns {', '.join(sorted(missing))}",
                remedy="profile a table with all columns of the schema",
                missing=tuple(sorted(missing)),
            )
        values = {column.name: table[column.name] for column in schema.columns}
        numbers = _of_numbers(values, schema)
        return cls(
            table.num_rows,
            {
                name: numbers[name] if name in numbers else _categories(values[name], schema[name])
                for name in values
            },
        )

    def merge(self, other: Self) -> Self:
        """The profile of both sets of rows.

        Raises
        ------
        SchemaMismatch
            If the columns, their kinds, edges or limits differ.
        """
        kinds = [[(n, type(p)) for n, p in side.columns.items()] for side in (self, other)]
        if kinds[0] != kinds[1]:
            raise SchemaMismatch(
                "profiles of different columns cannot be merged",
                remedy="profile both sets of rows with the same schema",
                left=tuple(self.columns),
                right=tuple(other.columns),
            )
        merged: dict[str, ColumnProfile] = {}
        for name, mine in self.columns.items():
            merged[name] = mine.merge(other.columns[name])  # type: ignore[arg-type]
        return type(self)(self.rows + other.rows, merged)

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        # A list, because canonical JSON sorts keys and the file order would be lost.
        columns = [{"name": name, **column.to_json()} for name, column in self.columns.items()]
        return {"rows": self.rows, "columns": columns}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        columns: dict[str, ColumnProfile] = {
            column["name"]: _KINDS[column["kind"]].from_json(column)
            for column in document["columns"]
        }
        return cls(document["rows"], columns)


def categories_of(profiles: Iterable[Profile]) -> dict[str, frozenset[str]]:
    """By column of categories, those that were counted: of a column all while it has 10,000.

    Memory: these names, and one profile at a time.
    """
    found: dict[str, set[str]] = {}
    for profile in profiles:
        for name, column in profile.columns.items():
            if isinstance(column, CategoryProfile):
                found.setdefault(name, set()).update(column.counts)
    return {name: frozenset(names) for name, names in found.items()}


def _is_number(column: Column, kind: pa.DataType) -> bool:
    return column.type not in (
        ColumnType.BOOLEAN,
        ColumnType.CATEGORICAL,
        ColumnType.TEXT,
    ) and bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_temporal(kind)
    )


def _of_numbers(values: Mapping[str, Values], schema: TableSchema) -> dict[str, NumericProfile]:
    columns = {c.name: c for c in schema.columns if _is_number(c, values[c.name].type)}
    found: dict[str, NumericProfile] = {}
    pieces: dict[str, tuple[Hashable, pa.Array]] = {}
    for name, column in columns.items():
        piece = _one_piece(values[name])
        if piece is None:
            found[name] = NumericProfile.of(_numbers(values[name]), column.edges)
        else:
            pieces[name] = (None, piece)
    for _, group in alike(pieces):
        matrix = group.matrix(_numbers(group.cells))
        profiles = NumericProfile.of_each(matrix, [columns[name].edges for name in group.names])
        found |= zip(group.names, profiles, strict=True)
    return found


def _one_piece(values: Values) -> pa.Array | None:
    if not isinstance(values, pa.ChunkedArray):
        return values
    return values.chunk(0) if values.num_chunks == 1 else None


def _numbers(values: pa.ChunkedArray | pa.Array) -> npt.NDArray[Any]:
    """Numbers with NaN for null; times as epoch seconds."""
    if not pa.types.is_temporal(values.type):
        return values.to_numpy() if isinstance(values, pa.ChunkedArray) else _array(values)
    micros = values.cast(pa.timestamp("us")).cast(pa.int64())
    return _numbers(micros).astype(np.float64) / 1e6


def _array(values: pa.Array) -> npt.NDArray[Any]:
    numbers: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return numbers


def _categories(values: pa.ChunkedArray | pa.Array, column: Column) -> CategoryProfile:
    rows = len(values)
    if column.purpose is Purpose.KEY or column.type is ColumnType.TEXT:
        # Counting unique texts is the keys' own check; here it would cost time and say nothing.
        nulls = values.null_count
        return CategoryProfile(rows, nulls, {}, limit=0, threshold=None if nulls == rows else 0)
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    counts: dict[str, int] = {}
    for chunk in chunks:
        for category, count in _count(chunk):
            counts[category] = counts.get(category, 0) + count
    return CategoryProfile.of(counts, rows=rows, limit=CATEGORY_LIMIT)


def _count(chunk: pa.Array) -> list[tuple[str, int]]:
    """Categories of one chunk and their counts; one bin a code, no Python per value."""
    if pa.types.is_boolean(chunk.type):
        yes = chunk.true_count
        return [("false", len(chunk) - chunk.null_count - yes), ("true", yes)]
    if not pa.types.is_dictionary(chunk.type):
        texts = chunk if pa.types.is_string(chunk.type) else chunk.cast(pa.string())
        chunk = texts.dictionary_encode()
    codes = chunk.indices.drop_null() if chunk.null_count else chunk.indices
    counts = np.bincount(_array(codes), minlength=len(chunk.dictionary))
    used = np.flatnonzero(counts)
    categories = chunk.dictionary.take(pa.array(used)).to_pylist()
    return [(c, n) for c, n in zip(categories, counts[used].tolist(), strict=True) if c is not None]
