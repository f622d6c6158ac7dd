"""The columns of a source and their plain types, from a bounded sample of every file."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from tidemill.config import DatasetConfig
from tidemill.errors import ConfigError, SchemaMismatch, SourceEmpty, SourceUnreadable
from tidemill.ingestion.sources.batches import RawBatch, Reject
from tidemill.ingestion.sources.column_names import (
    refuse_more_columns,
    unique_names,
    with_written_names,
)
from tidemill.ingestion.sources.delimited.csv_rows import read_csv_rows
from tidemill.ingestion.sources.delimited.dialect import (
    find_dialect,
    find_encoding,
    head_lines,
    read_head,
)
from tidemill.ingestion.sources.delimited.head_layout import common_width
from tidemill.ingestion.sources.delimited.helpful_settings import setting_that_reads
from tidemill.ingestion.sources.delimited.other_dialects import (
    reads_badly,
    refuse_other_dialect,
    refuse_other_encoding,
)
from tidemill.ingestion.sources.json_rows import JsonSample, read_json_sample
from tidemill.ingestion.sources.many_text_columns import columns_of_texts
from tidemill.ingestion.sources.parquet.parquet_columns import sniff_parquet
from tidemill.ingestion.sources.splits import CsvDialect, Split
from tidemill.ingestion.sources.streams import first_bytes
from tidemill.ingestion.sources.text_columns import Stated, column_of_texts
from tidemill.ingestion.sources.wide_tables import LOOK_CELLS, bounded_rows
from tidemill.schema import SourceColumn

__all__ = ["share_of_look", "sniff"]

_AS_IT_IS = (
    "mend the file, or set dataset.csv.delimiter, quote, escape, header or skip_lines to how it is "
    "written"
)

Sniffed = tuple[tuple[SourceColumn, ...], CsvDialect | None]


def sniff(dataset: DatasetConfig, splits: tuple[Split, ...], root: Path, named: str) -> Sniffed:
    """Return the source's columns, with plain types, and for CSV how it is written.

    ``named`` is what errors call the source.
    """
    if splits[0].format == "parquet":
        share = partial(share_of_look, dataset, splits)
        return sniff_parquet(dataset, splits, root, named, share), None
    if splits[0].format == "jsonl":
        return _sniff_json(dataset, splits, root, named), None
    return _sniff_csv(dataset, splits, root, named)


def share_of_look(dataset: DatasetConfig, splits: tuple[Split, ...], columns: int) -> int:
    """Rows that the look reads from the beginning of each split, fewer of many columns."""
    rows = bounded_rows(dataset.look_rows, columns, LOOK_CELLS)
    return max(-(-rows // len(splits)), 100)


def _sniff_csv(
    dataset: DatasetConfig, splits: tuple[Split, ...], root: Path, named: str
) -> Sniffed:
    first = splits[0]
    encoding = find_encoding(dataset.csv.encoding, first_bytes(first, root), first.path)
    head = read_head(first, root, encoding)
    if not head.strip():
        raise SourceEmpty(
            f"{first.path} holds no data",
            remedy=f"put data there, or let {named} name another file",
            path=first.path,
        )
    dialect = find_dialect(dataset.csv, encoding, head, first.path)
    written = _csv_fields(dataset, head, dialect, first)
    names = tuple(unique_names(list(written)))
    batches = [
        (split, batch)
        for split in splits
        if (batch := _first_rows(split, dataset, splits, root, dialect, names)) is not None
    ]
    if not any(len(batch.rows) for _, batch in batches):
        raise _no_rows(batches, dataset, head, encoding, named)
    found = columns_of_texts(
        {name: pa.concat_arrays([b.columns[name] for _, b in batches]) for name in names},
        {name: Stated.of(dataset, name) for name in names},
    )
    return with_written_names(found.values(), written), dialect


def _first_rows(
    split: Split,
    dataset: DatasetConfig,
    splits: tuple[Split, ...],
    root: Path,
    dialect: CsvDialect,
    names: tuple[str, ...],
) -> RawBatch | None:
    """The first rows of one file, which is to be written as the first of the source."""
    first = splits[0].path
    if split.path != first:
        refuse_other_encoding(split, root, dialect, dataset.csv, first)
    rows = read_csv_rows(
        split,
        root,
        dialect=dialect,
        names=names,
        whole=False,
        wanted=dict.fromkeys(names, pa.string()),
        batch_rows=share_of_look(dataset, splits, len(names)),
    )
    try:
        batch = next(rows, None)
    except (SchemaMismatch, SourceUnreadable):
        refuse_other_dialect(split, root, dialect, dataset.csv, first)
        raise
    if split.path != first and batch is not None and reads_badly(batch, dialect):
        refuse_other_dialect(split, root, dialect, dataset.csv, first)
    return batch


def _no_rows(
    batches: list[tuple[Split, RawBatch]],
    dataset: DatasetConfig,
    head: bytes,
    encoding: str,
    named: str,
) -> SourceEmpty | SourceUnreadable:
    """Why there is no row: none is there, or none of the lines can be read as one."""
    rejects = [(split, reject) for split, batch in batches for reject in batch.rejects]
    if rejects:
        helps = setting_that_reads(dataset.csv, encoding, head, batches[0][0].path)
        return _no_row(rejects, f"set {helps}" if helps else _AS_IT_IS)
    return SourceEmpty(
        f"{named} {dataset.source!r} has no rows (a header at most)",
        remedy="put data there, or set dataset.csv.header: false if the first line is data",
        source=dataset.source,
    )


def _no_row(rejects: list[tuple[Split, Reject]], remedy: str) -> SourceUnreadable:
    """Why none of the lines looked at is a row, with the first of them."""
    split, first = rejects[0]
    reasons = Counter(reject.reason for _, reject in rejects).most_common(3)
    said = ", ".join(f"{reason} in {lines} lines" for reason, lines in reasons)
    shown = "; ".join(f"line {r.line}: {r.raw[:80]!r}" for _, r in rejects[:3])
    return SourceUnreadable(
        f"{split.path}: none of the {len(rejects)} lines looked at can be read as a row: {said}. "
        f"{shown}",
        remedy=remedy,
        path=split.path,
        line=first.line,
        reasons=tuple(reason for reason, _ in reasons),
    )


def _csv_fields(
    dataset: DatasetConfig, head: bytes, dialect: CsvDialect, split: Split
) -> tuple[str, ...]:
    lines = head_lines(head, dialect, split.path)
    refuse_more_columns(len((lines and lines[0].fields) or ()), split.path)
    if dialect.header:
        return (lines and lines[0].fields) or ("",)
    width = common_width(lines)[0] - dialect.trailing
    stated = dataset.csv.header
    if isinstance(stated, tuple):
        if len(stated) != width:
            raise ConfigError(
                f"dataset.csv.header names {len(stated)} columns, {split.path} has {width}",
                remedy="give one name for each column of the file",
                stated=len(stated),
                found=width,
            )
        return stated
    return tuple(f"column_{number}" for number in range(1, max(width, 1) + 1))


def _sniff_json(
    dataset: DatasetConfig, splits: tuple[Split, ...], root: Path, named: str
) -> tuple[SourceColumn, ...]:
    share = share_of_look(dataset, splits, 1)
    samples = [read_json_sample(split, root, rows=share) for split in splits]
    names = dict.fromkeys(name for sample in samples for name in sample.columns)
    if not any(len(array) for sample in samples for array in sample.columns.values()):
        raise SourceEmpty(
            f"{named} {dataset.source!r} has no rows",
            remedy="put one JSON object on each line, or set dataset.format",
            source=dataset.source,
        )
    return tuple(_json_column(name, samples, dataset) for name in names)


def _json_column(name: str, samples: list[JsonSample], dataset: DatasetConfig) -> SourceColumn:
    held = [sample for sample in samples if name in sample.columns]
    column = column_of_texts(
        name,
        pa.concat_arrays([sample.columns[name] for sample in held]),
        Stated.of(dataset, name),
        declared=np.concatenate([sample.quoted[name] for sample in held]),
    )
    respelled = next((s.respelled[name] for s in held if name in s.respelled), None)
    if column.type == "text" and respelled is not None:
        one = f"a bare number has one text: {respelled[0]} is {respelled[1]!r}"
        column = replace(column, note=f"{column.note}; {one}" if column.note else one)
    written = next((s.written[name] for s in held if name in s.written), name)
    return with_written_names([column], [written])[0]
