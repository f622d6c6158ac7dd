"""The columns of a source and their plain types, from a bounded sample of every file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tidemill.config import DatasetConfig
from tidemill.errors import ConfigError, SchemaMismatch, SourceEmpty
from tidemill.ingestion.csv_rows import read_csv_rows
from tidemill.ingestion.dialect import find_dialect, find_encoding, parse_record, unique_names
from tidemill.ingestion.json_rows import read_json_members, read_json_rows
from tidemill.ingestion.parquet_rows import open_parquet, plain_type
from tidemill.ingestion.plain import column_of_texts
from tidemill.ingestion.splits import CsvDialect, SourceColumn, Split
from tidemill.ingestion.streams import text_blocks

__all__ = ["share_of_look", "sniff"]

_HEAD_BYTES = 1 << 18

Sniffed = tuple[tuple[SourceColumn, ...], CsvDialect | None]


def sniff(dataset: DatasetConfig, splits: tuple[Split, ...], root: Path) -> Sniffed:
    """Return the source's columns, with plain types, and for CSV how it is written."""
    if splits[0].format == "parquet":
        return _sniff_parquet(splits, root), None
    if splits[0].format == "jsonl":
        return _sniff_json(dataset, splits, root), None
    return _sniff_csv(dataset, splits, root)


def share_of_look(dataset: DatasetConfig, splits: tuple[Split, ...]) -> int:
    """Rows that the look reads from the beginning of each split."""
    return max(-(-dataset.look_rows // len(splits)), 100)


def _typed(
    columns: dict[str, list[pa.Array]], null_values: tuple[str, ...]
) -> tuple[SourceColumn, ...]:
    return tuple(
        column_of_texts(name, pa.concat_arrays(arrays), null_values)
        for name, arrays in columns.items()
    )


def _sniff_csv(dataset: DatasetConfig, splits: tuple[Split, ...], root: Path) -> Sniffed:
    first = splits[0]
    with first.locate(root).open("rb") as file:
        encoding = find_encoding(dataset.csv.encoding, file.read(4), first.path)
    head = _head(first, root, encoding)
    if not head.strip():
        raise SourceEmpty(
            f"{first.path} holds no data",
            remedy="put data there, or set dataset.source",
            path=first.path,
        )
    dialect = find_dialect(dataset.csv, encoding, head, first.path)
    names = _csv_names(dataset, head, dialect, first)
    columns: dict[str, list[pa.Array]] = {name: [] for name in names}
    for split in splits:
        rows = read_csv_rows(
            split,
            root,
            dialect=dialect,
            names=names,
            whole=False,
            wanted=dict.fromkeys(names, pa.string()),
            null_values=dataset.csv.null_values,
            batch_rows=share_of_look(dataset, splits),
        )
        batch = next(rows, None)
        for name in names:
            if batch is not None:
                columns[name].append(batch.columns[name])
    if not any(len(array) for arrays in columns.values() for array in arrays):
        raise SourceEmpty(
            f"dataset.source {dataset.source!r} has no rows (a header at most)",
            remedy="put data there, or set dataset.csv.header: false if the first line is data",
            source=dataset.source,
        )
    return _typed(columns, dataset.csv.null_values), dialect


def _head(split: Split, root: Path, encoding: str) -> bytes:
    block = next(text_blocks(split, root, encoding=encoding, whole=False), b"")
    if len(block) <= _HEAD_BYTES:
        return block
    return block[: block.rfind(b"\n", 0, _HEAD_BYTES) + 1] or block[:_HEAD_BYTES]


def _csv_names(
    dataset: DatasetConfig, head: bytes, dialect: CsvDialect, split: Split
) -> tuple[str, ...]:
    from tidemill.ingestion.records import cut_records

    block = next(
        cut_records(
            iter([head]),
            delimiter=dialect.delimiter,
            quote=dialect.quote,
            batch_rows=1,
            path=split.path,
        )
    )
    text = block.record(0).decode(errors="replace")
    fields = parse_record(text, dialect.delimiter, dialect.quote) or [text]
    if dialect.header:
        return tuple(unique_names(fields))
    stated = dataset.csv.header
    if isinstance(stated, tuple):
        if len(stated) != len(fields):
            raise ConfigError(
                f"dataset.csv.header names {len(stated)} columns, {split.path} has {len(fields)}",
                remedy="give one name for each column of the file",
                stated=len(stated),
                found=len(fields),
            )
        return tuple(unique_names(list(stated)))
    return tuple(f"column_{number}" for number in range(1, len(fields) + 1))


def _sniff_json(
    dataset: DatasetConfig, splits: tuple[Split, ...], root: Path
) -> tuple[SourceColumn, ...]:
    share = share_of_look(dataset, splits)
    names = read_json_members(splits[0], root, rows=share)
    columns: dict[str, list[pa.Array]] = {name: [] for name in names}
    for split in splits:
        rows = read_json_rows(
            split,
            root,
            wanted=dict.fromkeys(names, pa.string()),
            null_values=(),
            batch_rows=share,
            whole=False,
        )
        batch = next(rows, None)
        for name in names:
            if batch is not None:
                columns[name].append(batch.columns[name])
    if not any(len(array) for arrays in columns.values() for array in arrays):
        raise SourceEmpty(
            f"dataset.source {dataset.source!r} has no rows",
            remedy="put one JSON object on each line, or set dataset.format",
            source=dataset.source,
        )
    return _typed(columns, ())


def _sniff_parquet(splits: tuple[Split, ...], root: Path) -> tuple[SourceColumn, ...]:
    columns: tuple[SourceColumn, ...] | None = None
    rows, seen = 0, ""
    for split in splits:
        if split.path == seen:
            continue
        seen = split.path
        with open_parquet(split.locate(root), split.path) as file:
            schema, rows = file.schema_arrow, rows + file.metadata.num_rows
        found = tuple(SourceColumn(f.name, plain_type(f.type)) for f in schema)
        columns = columns or found
        absent = [c.name for c in columns if c.name not in schema.names]
        if absent:
            raise SchemaMismatch(
                f"{split.path} lacks the columns {', '.join(absent)} that {splits[0].path} has",
                remedy="add them to the file, or take the file out of dataset.source",
                path=split.path,
                columns=tuple(absent),
            )
    if not rows or not columns:
        raise SourceEmpty(
            "the Parquet files of dataset.source have no rows",
            remedy="put data there, or set dataset.source",
        )
    return columns
