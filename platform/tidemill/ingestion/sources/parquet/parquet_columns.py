"""The columns of a source of Parquet files: one plain type each, whatever the single files say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa

from tidemill.casting import is_text
from tidemill.config import DatasetConfig
from tidemill.contracts import Split
from tidemill.errors import SchemaMismatch, SourceEmpty
from tidemill.ingestion.sources.column_names import require_columns, with_written_names
from tidemill.ingestion.sources.parquet.parquet_apart import Kind, ParquetApart, open_parquet
from tidemill.ingestion.sources.parquet.parquet_rows import (
    column_names,
    plain_type,
    read_parquet_rows,
)
from tidemill.ingestion.sources.text_columns import Stated
from tidemill.ingestion.sources.typed_columns import (
    FLOAT32_HOLDS,
    FLOAT64_DIGITS,
    typed_column,
)
from tidemill.schema import ColumnType, SourceColumn
from tidemill.spelling import LARGEST_WHOLE, categories
from tidemill.storage import SourceFiles

__all__ = ["sniff_parquet"]

_SHOWN = 60


@dataclass(slots=True)
class _Column:
    """What the files say of a column: its types, each with the first file that has it."""

    written: str
    kinds: dict[pa.DataType, str] = field(default_factory=dict)
    largest: float = 0.0

    @property
    def kind(self) -> pa.DataType:
        """The first file's type, but for files that hold no value at all."""
        return next((kind for kind in self.kinds if not pa.types.is_null(kind)), pa.null())

    @property
    def plain(self) -> dict[str, str]:
        """The plain types, each with the first file that has it."""
        found: dict[str, str] = {}
        for kind, path in self.kinds.items():
            if not pa.types.is_null(kind):
                found.setdefault(plain_type(kind), path)
        return found

    @property
    def wants_a_look(self) -> bool:
        """Whether it holds texts, or maybe whole numbers that float64 does not hold."""
        if "other" in self.plain:
            return False
        return is_text(self.kind) or self.largest > LARGEST_WHOLE or any(map(_is_long, self.kinds))


def sniff_parquet(
    dataset: DatasetConfig,
    splits: tuple[Split, ...],
    files: SourceFiles,
    named: str,
    share: Callable[[int], int],
    kind: Kind = "Parquet",
) -> tuple[SourceColumn, ...]:
    """The first file's columns, from the footers of all files and some rows of each split.

    Parameters
    ----------
    named : str
        What errors call the source.
    share : callable
        Rows to read of each split where so many columns of texts or long numbers want a look.

    Raises
    ------
    SchemaMismatch
        If a file lacks a column, or has it in a type that cannot be the first file's.
    SourceEmpty
        If the files have no rows.
    """
    columns, rows = _by_footers(splits, files, kind)
    if not rows or not columns:
        raise SourceEmpty(
            f"the {kind} files of {named} have no rows",
            remedy=f"put data there, or let {named} name others",
        )
    for name, column in columns.items():
        _refuse_other_type(name, column, dataset)
    asked = [name for name, column in columns.items() if column.wants_a_look]
    texts = _texts(splits, files, asked, share(len(asked)), kind)
    found = [_resolved(n, c, texts.get(n), Stated.of(dataset, n)) for n, c in columns.items()]
    return with_written_names(found, [column.written for column in columns.values()])


def _by_footers(
    splits: tuple[Split, ...], files: SourceFiles, kind: Kind
) -> tuple[dict[str, _Column], int]:
    """The first file's columns, with what every file says of them; and all rows."""
    columns, rows = dict[str, _Column](), 0
    for path in dict.fromkeys(split.address for split in splits):
        with files.ranged(path) as place, open_parquet(place, path, kind) as file:
            names = column_names(file.schema)
            if not columns:
                columns = {n: _Column(w) for n, w in zip(names, file.schema.names, strict=True)}
            _note_types(columns, names, file, path)
            rows += sum(file.group_rows)
    return columns, rows


def _note_types(
    columns: dict[str, _Column], names: list[str], file: ParquetApart, path: str
) -> None:
    require_columns(columns, set(names), path)
    for name, described in zip(names, file.schema, strict=True):
        if name in columns:
            columns[name].kinds.setdefault(described.type, path)
            largest = file.largest.get(described.name, 0.0)
            columns[name].largest = max(columns[name].largest, largest)


def _refuse_other_type(name: str, column: _Column, dataset: DatasetConfig) -> None:
    """Refuse types of which one would become another value: times as numbers, 5 as true."""
    stated = dataset.types.get(name)
    if stated is ColumnType.IGNORED or name in dataset.drop:
        return
    found = set(column.plain) - {"text"}
    if "other" in found:
        agree = len(column.plain) == 1
    elif stated in (ColumnType.CATEGORICAL, ColumnType.TEXT):
        agree = True
    else:
        numbers = {"integer", "number"} | ({"boolean"} if stated is ColumnType.NUMERIC else set())
        agree = len(found) < 2 or found <= numbers
    if agree:
        return
    read = [] if "other" in found else ["categorical"]
    if found <= {"boolean", "integer", "number"}:
        read.insert(0, "numeric")
    lines = (f"dataset.types: {{{json.dumps(name)}: {kind}}}" for kind in read)
    raise SchemaMismatch(
        f"the column {name!r} is {_types(column)}: values of one would become others",
        remedy="write it with one type in all files, or name it in dataset.drop"
        + "".join(f", or set {line}" for line in lines),
        path=list(column.plain.values())[-1],
        columns=(name,),
    )


def _types(column: _Column) -> str:
    """Its plain types, each with the first file that has it."""
    kinds = {plain_type(kind): str(kind)[:_SHOWN] for kind in reversed(column.kinds)}
    return " and ".join(
        f"{kinds[plain] if plain == 'other' else plain} in {path}"
        for plain, path in column.plain.items()
    )


def _texts(
    splits: tuple[Split, ...], files: SourceFiles, names: list[str], share: int, kind: Kind
) -> dict[str, pa.Array]:
    """The first texts of columns of texts; those of long numbers, which may be codes."""
    read = dict[str, list[pa.Array]]()
    for split in splits if names else ():
        batches = read_parquet_rows(
            split, files, names=names, batch_rows=share, max_batches=1, kind=kind
        )
        batch = next(batches, None)
        if batch is None:
            continue
        for name in names:
            values = batch.columns[name]  # a long text that is repeated stays one
            if not (pa.types.is_dictionary(values.type) and is_text(values.type)):
                values = categories(values).dictionary_encode()
            read.setdefault(name, []).append(values.cast(pa.dictionary(pa.int32(), pa.string())))
    return {
        name: pa.chunked_array(arrays).unify_dictionaries().combine_chunks()
        for name, arrays in read.items()
    }


def _resolved(name: str, column: _Column, texts: pa.Array | None, stated: Stated) -> SourceColumn:
    """One way of reading for all files."""
    kind, kinds = column.kind, [k for k in column.kinds if not pa.types.is_null(k)]
    plain = "number" if set(column.plain) == {"integer", "number"} else plain_type(kind)
    mixed = len({"number" if p == "integer" else p for p in column.plain}) > 1
    narrow = all(pa.types.is_float32(k) or pa.types.is_float16(k) for k in kinds) and bool(kinds)
    said = f"is {_types(column)}" if mixed else ""
    return typed_column(
        name,
        plain,
        stated,
        texts,
        narrow=narrow,
        wide=column.largest > FLOAT32_HOLDS,
        note=str(kind)[:_SHOWN] if plain == "other" else said,
    )


def _is_long(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind) and kind.precision - kind.scale > FLOAT64_DIGITS)
