"""The rows with the smallest hashes: a uniform sample that merges exactly."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import SchemaMismatch

__all__ = ["HashSample"]


@dataclass(frozen=True, slots=True, eq=False)
class HashSample:
    """The ``limit`` rows whose hashes are smallest, whatever the order of the rows.

    Parameters
    ----------
    limit : int
        Rows kept at most.
    hashes : (k,) uint64
        Ascending; ``k <= limit``.
    table : pyarrow.Table
        The rows, in the order of ``hashes``; rows of equal hash in an order that depends on
        their content alone. Dictionaries hold the values that occur, by first occurrence.

    Notes
    -----
    Merges exactly. Memory: ``limit`` rows. Hash the key or the whole row with
    :func:`tidemill.storage.stable_hash`; the sample is uniform over distinct hashes.

    >>> rows = pa.table({"fare": [1.0, 2.0, 3.0]})
    >>> HashSample.of(rows, np.array([30, 10, 20], np.uint64), limit=2).table["fare"].to_pylist()
    [2.0, 3.0]
    """

    limit: int
    hashes: npt.NDArray[np.uint64]
    table: pa.Table

    @classmethod
    def of(cls, table: pa.Table, hashes: npt.NDArray[np.uint64], limit: int) -> Self:
        """Sample ``table``, whose row ``i`` has the hash ``hashes[i]``; (rows,) uint64.

        Raises
        ------
        SchemaMismatch
            If there is not one hash a row.
        """
        if len(hashes) != table.num_rows:
            raise SchemaMismatch(
                f"{len(hashes)} hashes do not fit {table.num_rows} rows",
                remedy="give HashSample.of one hash a row",
                hashes=len(hashes),
                rows=table.num_rows,
            )
        chosen = _candidates(hashes, limit)
        hashes, table = hashes[chosen], table.take(pa.array(chosen))
        order = _content_order(hashes, table)[:limit]
        return cls(limit, hashes[order], _canonical(table.take(pa.array(order))))

    def merge(self, other: Self) -> Self:
        """The sample of both sets of rows, exactly.

        Raises
        ------
        SchemaMismatch
            If limits or columns differ.
        """
        if self.limit != other.limit or not self.table.schema.equals(other.table.schema):
            raise SchemaMismatch(
                "samples of different limits or columns cannot be merged",
                remedy="take both samples with the same limit from tables of one schema",
                left=(self.limit, self.table.schema.names),
                right=(other.limit, other.table.schema.names),
            )
        both = pa.concat_tables([self.table, other.table])
        return self.of(both, np.concatenate([self.hashes, other.hashes]), self.limit)

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact: the rows as an Arrow IPC stream in base64."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema) as writer:
            writer.write_table(self.table)
        return {
            "limit": self.limit,
            "hashes": self.hashes.tolist(),
            "rows": base64.b64encode(sink.getvalue().to_pybytes()).decode("ascii"),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        with pa.ipc.open_stream(base64.b64decode(document["rows"])) as reader:
            table = reader.read_all()
        return cls(document["limit"], np.array(document["hashes"], dtype=np.uint64), table)


def _candidates(hashes: npt.NDArray[np.uint64], limit: int) -> npt.NDArray[np.intp]:
    """Rows that may be kept: all that are not above the ``limit``-th smallest hash."""
    if limit == 0 or len(hashes) <= limit:
        return np.arange(len(hashes))[: None if limit else 0]
    return np.flatnonzero(hashes <= np.partition(hashes, limit - 1)[limit - 1])


def _content_order(hashes: npt.NDArray[np.uint64], table: pa.Table) -> npt.NDArray[np.intp]:
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    if not np.any(ordered[1:] == ordered[:-1]):
        return order
    keys = {"hash": pa.array(hashes)}
    keys |= {f"column {i}": _sort_key(column) for i, column in enumerate(table.columns)}
    by = [(name, "ascending") for name in keys]
    return np.asarray(pc.sort_indices(pa.table(keys), sort_keys=by))


def _sort_key(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column whose order tells apart all that differs, NaN from null and -0 from 0 too."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    if pa.types.is_floating(kind):
        bits = column.combine_chunks().cast(pa.float64()).view(pa.int64())
        return pa.chunked_array([bits])
    return column.cast(pa.int8()) if pa.types.is_boolean(kind) else column


def _canonical(table: pa.Table) -> pa.Table:
    """One chunk a column, and dictionaries that depend on the rows alone."""
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            texts = table.column(i).cast(field.type.value_type).combine_chunks()
            table = table.set_column(i, field, texts.dictionary_encode().cast(field.type))
    return table.combine_chunks()
