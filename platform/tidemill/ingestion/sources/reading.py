"""Read a split as typed batches, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.alike import alike
from tidemill.casting import cast_column
from tidemill.cells import CellFaults, Cells
from tidemill.config import DatasetConfig
from tidemill.contracts import RawBatch, RowsAsked, Split
from tidemill.conventions import NumberConvention, parse_convention
from tidemill.formats import FORMATS
from tidemill.ingestion.sources.batches import ParsedBatch, cells_of
from tidemill.ingestion.sources.derived_columns import Deriver, check_expressions
from tidemill.ingestion.sources.folder_columns import folder_cells, with_folder_cells
from tidemill.ingestion.sources.listing import SourceListing
from tidemill.numbers import EXACT
from tidemill.schema import Column, Purpose, SourceColumn, TableSchema
from tidemill.storage import SourceFiles

__all__ = ["derive_type", "read_split"]

_PLAIN = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "datetime": pa.timestamp("us"),
    "text": pa.string(),
    "other": pa.string(),
}
_REPEATING = pa.dictionary(pa.int32(), pa.string())


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
    Memory: some six times a batch as text, of JSON lines some fourteen times.
    """
    plan = _Plan(split, schema, dataset, listing)
    raw_batches = plan.read(root, batch_rows=batch_rows, max_batches=max_batches)
    for raw in islice(raw_batches, max_batches):
        yield plan.finish(raw)


class _Plan:
    """What to read from a split, and how it becomes the schema's columns."""

    def __init__(
        self, split: Split, schema: TableSchema, dataset: DatasetConfig, listing: SourceListing
    ) -> None:
        self._split, self._schema, self._listing = split, schema, listing
        self._dataset = dataset
        self._missing = schema.missing_values if schema.source else dataset.missing_values
        # The model's own way of reading wins over what look finds in a later table.
        known = {column.name: column for column in schema.source}
        self._source = {c.name: _as_learnt(c, known.get(c.name)) for c in listing.columns}
        reads = check_expressions(dataset.derive, self._source) if dataset.derive else {}
        self._inputs = sorted(set().union(*reads.values())) if reads else []
        self._deriver = Deriver(dataset.derive) if dataset.derive else None
        wanted = {
            column.name: _read_type(column, self._source[column.name].type)
            for column in schema.columns
            if column.name in self._source
        }
        for name in self._inputs:
            wanted[name] = derive_type(self._source[name].type)
        # In the file's order, and at least one column, so that rows can be counted.
        self._wanted = {name: wanted[name] for name in self._source if name in wanted}
        if not self._wanted:
            self._wanted = {next(iter(self._source)): pa.string()}
        # All on which it depends how a cell is read; each column of categories has its own words.
        self._keys = {
            name: (kind, self._how(name), name if pa.types.is_dictionary(kind) else "")
            for name, kind in self._wanted.items()
        }

    def _how(self, name: str) -> tuple[str, str, str | None]:
        source = self._source[name]
        return source.type, source.style, source.convention

    def read(self, root: Path, *, batch_rows: int, max_batches: int | None) -> Iterator[RawBatch]:
        """Yield raw batches, as the split's source has them."""
        kinds = {name: _text_type(kind) for name, kind in self._wanted.items()}
        of_folders = {name: kinds.pop(name) for name in self._listing.folders if name in kinds}
        listed = [c.name for c in self._listing.columns if c.name not in self._listing.folders]
        asked = RowsAsked(
            columns=kinds or {listed[0]: pa.string()},  # at least one, so that rows can be counted
            listed=tuple(listed),
            written=self._listing.written,
            batch_rows=batch_rows,
            max_batches=max_batches,
            missing=self._missing,
            conventions=self._conventions(),
        )
        batches = FORMATS[self._split.format](self._dataset, root).rows(self._split, asked)
        if not of_folders:
            return batches
        place = SourceFiles(root).absolute(self._split.address)
        cells = folder_cells(place.rpartition("/")[0])  # the file's own name says nothing
        return (with_folder_cells(batch, cells, of_folders) for batch in batches)

    def _conventions(self) -> dict[str, NumberConvention]:
        said = {
            c.name: parse_convention(c.convention)
            for c in self._source.values()
            if c.convention is not None
        }
        return {name: c for name, c in said.items() if isinstance(c, NumberConvention)}

    def finish(self, raw: RawBatch) -> ParsedBatch:
        """Take the schema's types, derive, and gather what was wrong with the cells."""
        found = _Found(raw.faults)
        cast = self._cast_all(raw)
        read = {name: found.taken(name, cast[name]) for name in self._wanted}
        columns = dict(read)
        if self._deriver is not None:
            columns |= self._deriver.columns(self._derive_table(raw, read))
        arrays = []
        for column in self._schema.columns:
            values = columns[column.name]
            if column.physical == "dictionary" and column.purpose is Purpose.TARGET:
                known = self._source.get(column.name)
                values = _spelled(values, None if known is None else known.words)
            if column.name not in read or values.type != column.arrow_type:
                values = found.taken(column.name, cast_column(values, column.arrow_type))
            arrays.append(values)
        # What only expressions read is a fault of its row too: they saw no value there.
        names = tuple(dict.fromkeys([*self._schema.names, *self._inputs]))
        return ParsedBatch(
            table=pa.Table.from_arrays(arrays, schema=self._schema.arrow_schema()),
            rows=raw.rows,
            faults={name: found.faults[name] for name in names if name in found.faults},
            rejects=raw.rejects,
            misfits={name: found.misfits[name] for name in names if name in found.misfits},
            cut={name: found.cut[name] for name in names if name in found.cut},
            left_out=raw.left_out,
        )

    def _cast_all(self, raw: RawBatch) -> dict[str, Cells]:
        """Every column of the raw batch; those that are read alike at once."""
        columns = {name: (self._keys[name], raw.columns[name]) for name in self._wanted}
        cast: dict[str, Cells] = {}
        for _, group in alike(columns):
            name = group.names[0]
            cells = self._cast(name, group.cells, self._wanted[name])
            if cells.cut and len(group.names) > 1:  # counted by column
                kind = self._wanted[name]
                cast |= {n: self._cast(n, raw.columns[n], kind) for n in group.names}
            else:
                cast |= {name: cells} if len(group.names) == 1 else dict(cells_of(group, cells))
        return cast

    def _cast(self, name: str, values: pa.Array, kind: pa.DataType) -> Cells:
        return cast_column(values, kind, self._missing, self._source[name])

    def _derive_table(self, raw: RawBatch, read: dict[str, pa.Array]) -> pa.Table:
        """What expressions see: at least one column, so that rows can be counted."""
        inputs = {}
        for name in self._inputs or list(self._wanted)[:1]:
            kind = derive_type(self._source[name].type)
            whole = read[name].type == kind
            inputs[name] = read[name] if whole else self._cast(name, raw.columns[name], kind).values
        return pa.table(inputs)


def _as_learnt(found: SourceColumn, known: SourceColumn | None) -> SourceColumn:
    """As the model reads the column; how fractions end is the habit of who wrote the table."""
    if known is None or not known.style:
        return known or found
    numbers = found.type in ("integer", "number")
    return replace(known, style=(found.style if numbers else "") or EXACT)


class _Found:
    """What was wrong with the cells of a batch, column by column."""

    def __init__(self, faults: dict[str, CellFaults]) -> None:
        self.faults = dict(faults)
        self.misfits: dict[str, CellFaults] = {}
        self.cut: dict[str, int] = {}

    def taken(self, name: str, cells: Cells) -> pa.Array:
        """The values; the rest is noted."""
        if cells.faults is not None:
            known = self.faults.get(name)
            self.faults[name] = cells.faults if known is None else known.merge(cells.faults)
        if cells.misfits is not None:
            self.misfits[name] = cells.misfits
        if cells.cut:
            self.cut[name] = cells.cut
        return cells.values


def _text_type(kind: pa.DataType) -> pa.DataType:
    """As what CSV is cut into texts: each different one once where they repeat."""
    return _REPEATING if pa.types.is_dictionary(kind) or pa.types.is_boolean(kind) else pa.string()


def _read_type(column: Column, plain: str) -> pa.DataType:
    """As what a column is read: a target's labels 1 and 1.0, or no and No, are one class."""
    if column.physical == "dictionary" and column.purpose is Purpose.TARGET:
        kinds = {"integer": pa.float64(), "number": pa.float64(), "boolean": pa.bool_()}
        return kinds.get(plain, column.arrow_type)
    return column.arrow_type


def _spelled(values: pa.Array, words: tuple[str, str] | None) -> pa.Array:
    """Booleans of a target in the words of the source, of which it is to have two classes."""
    if words is None or not pa.types.is_boolean(values.type):
        return values
    return pc.if_else(values, words[1], words[0])


def derive_type(plain: str) -> pa.DataType:
    """The Arrow type in which expressions of ``dataset.derive`` see a source column."""
    return _PLAIN[plain]
