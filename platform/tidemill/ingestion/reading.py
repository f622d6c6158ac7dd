"""Read a split as typed batches, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.config import DatasetConfig
from tidemill.ingestion.casting import cast_column
from tidemill.ingestion.derive import Deriver, check_expressions
from tidemill.ingestion.parsed import CellFaults, ParsedBatch
from tidemill.ingestion.raw import RawBatch
from tidemill.ingestion.splits import SourceListing, Split
from tidemill.schema import Column, ColumnType, Purpose, TableSchema

__all__ = ["derive_type", "read_split"]

_PLAIN = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "datetime": pa.timestamp("us"),
    "text": pa.string(),
    "other": pa.string(),
}
_STATED = {
    ColumnType.NUMERIC: pa.float64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.CATEGORICAL: pa.string(),
    ColumnType.DATETIME: pa.timestamp("us"),
}


def read_split(
    split: Split,
    schema: TableSchema,
    dataset: DatasetConfig,
    listing: SourceListing,
    root: Path,
    *,
    batch_rows: int,
    max_batches: int | None = None,
) -> Iterator[ParsedBatch]:
    """Yield a split's rows as batches of the schema's types, with what was wrong with them.

    Batch ``k`` holds the rows ``[k * batch_rows, (k + 1) * batch_rows)`` of the split, rejected
    ones counted but not in the table. Batches depend on the bytes and ``batch_rows`` alone, and
    rows on the bytes alone. When the last batch has been taken, the file's digest has been
    compared with the listed one.

    Parameters
    ----------
    split, listing : Split, SourceListing
        From :func:`list_source`.
    schema : TableSchema
        From :func:`look`; its columns are read, no others.
    dataset : DatasetConfig
    root : Path
        The workspace.
    batch_rows : int
    max_batches : int, optional
        Stop after so many; the rest of the file is neither read nor compared.

    Raises
    ------
    SchemaMismatch
        If the file lacks a column.
    SourceUnreadable
        If the file is damaged, truncated, a decompression bomb, or changed since it was listed.
    ConfigError
        If a derived column cannot be computed.

    Notes
    -----
    Memory: about three times a batch, as text and as columns.
    """
    plan = _Plan(split, schema, dataset, listing)
    raw_batches = plan.read(root, batch_rows=batch_rows, whole=max_batches is None)
    for raw in islice(raw_batches, max_batches):
        yield plan.finish(raw)


class _Plan:
    """What to read from a split, and how it becomes the schema's columns."""

    def __init__(
        self, split: Split, schema: TableSchema, dataset: DatasetConfig, listing: SourceListing
    ) -> None:
        self._split, self._schema, self._dataset, self._listing = split, schema, dataset, listing
        plain = {column.name: column.type for column in listing.columns}
        reads = check_expressions(dataset.derive, plain) if dataset.derive else {}
        self._inputs = sorted(set().union(*reads.values())) if reads else []
        self._deriver = Deriver(dataset.derive) if dataset.derive else None
        wanted = {
            column.name: _read_type(column, plain[column.name], dataset)
            for column in schema.columns
            if column.name in plain
        }
        for name in self._inputs:
            wanted[name] = derive_type(name, plain[name], dataset)
        # In the file's order, and at least one column, so that rows can be counted.
        self._wanted = {name: wanted[name] for name in plain if name in wanted}
        if not self._wanted:
            self._wanted = {next(iter(plain)): pa.string()}
        self._null_values = dataset.csv.null_values
        self._words = {column.name: column.words for column in listing.columns}

    def read(self, root: Path, *, batch_rows: int, whole: bool) -> Iterator[RawBatch]:
        """Yield raw batches, by the reader of the split's format."""
        split = self._split
        if split.format == "parquet":
            from tidemill.ingestion.parquet_rows import read_parquet_rows

            names = list(self._wanted)
            return read_parquet_rows(split, root, names=names, batch_rows=batch_rows, whole=whole)
        if split.format == "jsonl":
            from tidemill.ingestion.json_rows import read_json_rows

            return read_json_rows(
                split,
                root,
                wanted=self._wanted,
                null_values=self._null_values,
                batch_rows=batch_rows,
                whole=whole,
            )
        from tidemill.ingestion.csv_rows import read_csv_rows

        assert self._listing.dialect is not None, "a listing of CSV files has a dialect"  # noqa: S101
        return read_csv_rows(
            split,
            root,
            dialect=self._listing.dialect,
            names=tuple(column.name for column in self._listing.columns),
            wanted=self._wanted,
            null_values=self._null_values,
            batch_rows=batch_rows,
            whole=whole,
        )

    def finish(self, raw: RawBatch) -> ParsedBatch:
        """Derive, take the schema's types and gather the faults."""
        columns = dict(raw.columns)
        faults = dict(raw.faults)
        if self._deriver is not None:
            columns |= self._deriver.columns(self._derive_table(columns, faults))
        arrays = []
        for column in self._schema.columns:
            values = columns[column.name]
            if column.physical == "dictionary" and column.purpose is Purpose.TARGET:
                values = _spelled(values, self._words.get(column.name))
            array, found = cast_column(values, column.arrow_type, self._null_values)
            arrays.append(array)
            if found is not None:
                faults[column.name] = _both(faults.get(column.name), found)
        return ParsedBatch(
            table=pa.Table.from_arrays(arrays, schema=self._schema.arrow_schema()),
            rows=raw.rows,
            faults={name: faults[name] for name in self._schema.names if name in faults},
            rejects=raw.rejects,
        )

    def _derive_table(
        self, columns: dict[str, pa.Array], faults: dict[str, CellFaults]
    ) -> pa.Table:
        plain = {column.name: column.type for column in self._listing.columns}
        inputs = {}
        for name in self._inputs or list(self._wanted)[:1]:
            kind = derive_type(name, plain[name], self._dataset)
            inputs[name], found = cast_column(columns[name], kind, self._null_values)
            if found is not None and self._split.format == "parquet" and name in self._schema.names:
                faults[name] = found
                columns[name] = inputs[name]
        return pa.table(inputs)


def _read_type(column: Column, plain: str, dataset: DatasetConfig) -> pa.DataType:
    """As what a text column is read: a target's labels 1 and 1.0, or no and No, are one class."""
    if column.physical == "dictionary" and column.purpose is Purpose.TARGET:
        stated = {ColumnType.NUMERIC: "number", ColumnType.BOOLEAN: "boolean"}
        kind = stated.get(dataset.types.get(column.name, ColumnType.IGNORED), plain)
        return {"integer": pa.float64(), "number": pa.float64(), "boolean": pa.bool_()}.get(
            kind, column.arrow_type
        )
    return column.arrow_type


def _spelled(values: pa.Array, words: tuple[str, str] | None) -> pa.Array:
    """Booleans of a target in the words of the source, of which it is to have two classes."""
    if words is None or not pa.types.is_boolean(values.type):
        return values
    return pc.if_else(values, words[1], words[0])


def derive_type(name: str, plain: str, dataset: DatasetConfig) -> pa.DataType:
    """The Arrow type in which expressions of ``dataset.derive`` see a source column."""
    stated = dataset.types.get(name)
    if stated is None or stated is ColumnType.IGNORED:
        return _PLAIN[plain]
    return (
        _PLAIN["integer"] if (stated, plain) == (ColumnType.NUMERIC, "integer") else _STATED[stated]
    )


def _both(a: CellFaults | None, b: CellFaults) -> CellFaults:
    if a is None:
        return b
    indices = np.concatenate([a.indices, b.indices])
    order = np.argsort(indices, kind="stable")
    texts = [*a.texts, *b.texts]
    return CellFaults(indices[order], [texts[i] for i in order])
