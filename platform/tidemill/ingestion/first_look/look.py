"""Look at a bounded sample: types, purposes, the task, and histogram edges that stay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from tidemill.config import DatasetConfig
from tidemill.errors import ColumnMissing, ConfigError, SourceEmpty
from tidemill.ingestion.first_look.column_purposes import (
    MAX_EDGES,
    WIDE_EDGES,
    WIDEST,
    judge_column,
)
from tidemill.ingestion.first_look.look_remarks import LookRemarks
from tidemill.ingestion.first_look.number_spread import Spread, spreads_of
from tidemill.ingestion.first_look.target_task import as_target, task_of
from tidemill.ingestion.first_look.thinned_rows import Thinned
from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.ingestion.sources.derived_columns import Deriver, check_expressions
from tidemill.ingestion.sources.files import said_of_formats
from tidemill.ingestion.sources.listing import SourceListing, share_of_look
from tidemill.ingestion.sources.reading import read_split
from tidemill.ingestion.sources.wide_tables import BATCH_CELLS, WIDE, bounded_rows
from tidemill.schema import (
    Column,
    ColumnType,
    Purpose,
    SourceColumn,
    TableSchema,
    Task,
    taken_name,
)

__all__ = ["LookResult", "look", "look_result"]

_BATCH_ROWS = 16_384

_TYPES = {
    "integer": ColumnType.NUMERIC,
    "number": ColumnType.NUMERIC,
    "boolean": ColumnType.BOOLEAN,
    "datetime": ColumnType.DATETIME,
    "text": ColumnType.CATEGORICAL,
    "other": ColumnType.IGNORED,
}


@dataclass(frozen=True, slots=True)
class LookResult:
    """What the look found.

    Parameters
    ----------
    schema : TableSchema
    ignored : dict of column name to str
        Why a column is not in the schema.
    rows : int
        How many rows were looked at.
    notes : dict of column name to str
        What people should know of how a column is read.
    missing : dict of column name to (word, cells)
        Texts that were taken as missing, and in how many of the cells looked at.
    layout : tuple of str
        How the files were found to be written, where that is unusual.
    """

    schema: TableSchema
    ignored: dict[str, str]
    rows: int
    notes: dict[str, str] = field(default_factory=dict)
    missing: dict[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    layout: tuple[str, ...] = ()

    @property
    def taken_as_missing(self) -> list[dict[str, Any]]:
        """A line for each text that was taken as missing in a column: in how many cells."""
        return [
            {"column": column, "text": word or "(empty)", "cells": cells}
            for column, words in self.missing.items()
            for word, cells in words
        ]


def look(
    dataset: DatasetConfig, listing: SourceListing, root: Path, *, carry: tuple[str, ...] = ()
) -> TableSchema:
    """Return the schema that :func:`look_result` finds."""
    return look_result(dataset, listing, root, carry=carry).schema


def look_result(
    dataset: DatasetConfig, listing: SourceListing, root: Path, *, carry: tuple[str, ...] = ()
) -> LookResult:
    """Find types, purposes, task and histogram edges from the first rows of every split.

    Parameters
    ----------
    dataset : DatasetConfig
        ``types`` wins over what is found.
    listing : SourceListing
    root : Path
        The workspace.
    carry : tuple of str
        Columns that are kept even if nothing is learnt from them (``sharding.by``).

    Raises
    ------
    ColumnMissing
        If params.yaml names a column that the data lack.
    ConfigError
        If the target, time or key cannot be of the type that is asked for.

    Notes
    -----
    Memory: ``dataset.look_rows`` rows.
    """
    plain = _plain_types(dataset, listing)
    source = {column.name: column for column in listing.columns}
    _check_names(dataset, plain, carry, listing, root)
    types = {name: dataset.types.get(name, _TYPES[kind]) for name, kind in plain.items()}
    _check_plain(dataset, listing, types, carry)
    for name in (dataset.target, dataset.time, dataset.key, *carry):
        if name is not None and types[name] in (ColumnType.IGNORED, ColumnType.TEXT):
            types[name] = ColumnType.CATEGORICAL
    left = {n: t for n, t in types.items() if n not in dataset.drop or n in carry}
    sample, remarks = _sample(dataset, listing, root, left, plain)
    ignored = {name: "dataset.drop" for name in dataset.drop if name not in carry}
    asked = {
        name: (kind, source.get(name, SourceColumn(name, plain[name])))
        for name, kind in types.items()
        if name not in ignored
    }
    columns, idle = _judged(dataset, asked, sample, carry, wide=len(types) > WIDE)
    ignored |= idle
    target = next(c for c in columns if c.purpose is Purpose.TARGET)
    task = task_of(dataset, target, sample[target.name].combine_chunks())
    columns = [as_target(c, task) if c is target else c for c in columns]
    _refuse_taken(columns)
    schema = TableSchema(
        tuple(columns),
        task,
        source=_read_as(listing, dataset, columns),
        missing_values=dataset.missing_values,
    )
    kept = [source[c.name] for c in columns if c.name in source]
    return LookResult(
        schema,
        ignored,
        sample.num_rows,
        {c.name: c.note for c in kept if c.note} | _unread(dataset, columns, sample),
        {c.name: c.missing for c in kept if c.missing},
        _said_of_layout(dataset, listing, root, remarks),
    )


def _said_of_layout(
    dataset: DatasetConfig, listing: SourceListing, root: Path, remarks: tuple[str, ...]
) -> tuple[str, ...]:
    source, splits = listing.source(dataset, root), listing.splits
    said = source.said(splits, listing.written)
    said += said_of_formats(dataset)
    return said + remarks + source.unchecked(splits) + _said_of_width(dataset, listing)


def _judged(
    dataset: DatasetConfig,
    asked: dict[str, tuple[ColumnType, SourceColumn]],
    sample: pa.Table,
    carry: tuple[str, ...],
    *,
    wide: bool,
) -> tuple[list[Column], dict[str, str]]:
    """The columns that are kept, and why each other one is not."""
    sampled = {name: sample[name].combine_chunks() for name in sample.column_names}
    features = {name for name in sampled if name not in (dataset.target, dataset.time)}
    edges = {n: WIDE_EDGES if wide and n in features else MAX_EDGES for n in sampled}
    spreads = spreads_of(sampled, edges)
    columns: list[Column] = []
    idle: dict[str, str] = {}
    for name, (kind, source) in asked.items():
        spread = spreads.get(name, Spread())
        values = sampled.get(name)
        found = judge_column(name, kind, source, values, dataset, carry, spread=spread)
        if isinstance(found, Column):
            columns.append(found)
        else:
            idle[name] = found
    return columns, idle


def _said_of_width(dataset: DatasetConfig, listing: SourceListing) -> tuple[str, ...]:
    columns = len(listing.columns)
    if columns <= WIDE:
        return ()
    rows = share_of_look(dataset, listing.splits, columns) * len(listing.splits)
    return (
        f"{columns:,} columns, above {WIDE:,}: histograms have {WIDE_EDGES} edges at most, the "
        f"drafted suite says nothing of single features, and some {rows:,} rows are looked at "
        f"(dataset.look_rows: {dataset.look_rows:,})",
    )


def _unread(dataset: DatasetConfig, columns: Sequence[Column], sample: pa.Table) -> dict[str, str]:
    """Columns of which nothing can be read as the type that params.yaml says."""
    return {
        c.name: f"no value looked at can be read as {c.type.value} (dataset.types)"
        for c in columns
        if c.name in dataset.types and sample[c.name].null_count == sample.num_rows
    }


def _read_as(
    listing: SourceListing, dataset: DatasetConfig, columns: Sequence[Column]
) -> tuple[SourceColumn, ...]:
    """How the columns of the schema are read, and those that expressions read."""
    names = {column.name for column in columns}
    if dataset.derive:
        plain = {column.name: column.type for column in listing.columns}
        names.update(*check_expressions(dataset.derive, plain).values())
    return tuple(replace(c, missing=(), note="") for c in listing.columns if c.name in names)


def _refuse_taken(columns: Sequence[Column]) -> None:
    """Refuse names that would stand beside the same name later, in the monitor or in scores."""
    for column in columns:
        whose = taken_name(column)
        if whose is None:
            continue
        name, purpose = column.name, column.purpose.value
        new = f"{name}_of_row"
        named = "" if column.purpose is Purpose.FEATURE else f", and dataset.{purpose}: {new}"
        raise ConfigError(
            f"the {purpose} {name!r} has the name of {whose}",
            remedy=f"rename it in the data; or set in params.yaml (or by --set) dataset.derive: "
            f"{{{new}: '\"{name}\"'}} and dataset.drop: [{name}]{named}",
            column=name,
            purpose=purpose,
        )


def _plain_types(dataset: DatasetConfig, listing: SourceListing) -> dict[str, str]:
    """Plain types of the source's and the derived columns."""
    from tidemill.ingestion.sources.parquet.parquet_rows import plain_type
    from tidemill.ingestion.sources.reading import derive_type

    plain = {column.name: column.type for column in listing.columns}
    if dataset.derive:
        for name, columns in check_expressions(dataset.derive, plain).items():
            nested = [column for column in sorted(columns) if plain[column] == "other"]
            if nested:
                raise ConfigError(
                    f"dataset.derive.{name} reads {nested[0]!r}, which holds "
                    f"{_held(listing, nested[0])} values",
                    remedy="derive from numbers, texts, times and booleans",
                    column=nested[0],
                )
        fields = [(name, derive_type(kind)) for name, kind in plain.items()]
        empty = pa.schema(fields).empty_table()
        derived = Deriver(dataset.derive).columns(empty)
        plain |= {name: plain_type(array.type) for name, array in derived.items()}
    return plain


def _held(listing: SourceListing, name: str) -> str:
    return next(column.note for column in listing.columns if column.name == name)


def _check_names(
    dataset: DatasetConfig,
    names: Iterable[str],
    carry: tuple[str, ...],
    listing: SourceListing,
    root: Path,
) -> None:
    available = tuple(names)
    asked = [("dataset.target", dataset.target), ("dataset.time", dataset.time)]
    asked += [("dataset.key", dataset.key)]
    asked += [("dataset.drop", name) for name in dataset.drop]
    asked += [("dataset.types", name) for name in dataset.types]
    asked += [("dataset.conventions", name) for name in dataset.conventions]
    asked += [("sharding.by", name) for name in carry]
    asked += [("dataset.sample.by", None if dataset.sample is None else dataset.sample.by)]
    for setting, name in asked:
        if name is not None and name not in available:
            elsewhere = listing.source(dataset, root).setting_for(
                name, listing.splits, listing.written
            )
            raise ColumnMissing(
                column=name, available=available, setting=setting, elsewhere=elsewhere
            )


def _check_plain(
    dataset: DatasetConfig,
    listing: SourceListing,
    types: dict[str, ColumnType],
    carry: tuple[str, ...],
) -> None:
    """Nested and binary values, and hours without a day, can only be ignored."""
    asked = {dataset.target, dataset.time, dataset.key, *carry}
    for column in listing.columns:
        name, left = column.name, types[column.name] is ColumnType.IGNORED
        if column.type == "other" and (name in asked or not left):
            raise ConfigError(
                f"the column {name!r} holds {column.note} values, which cannot be used",
                remedy="name another column, or write it to the files as numbers, texts, times or "
                "booleans",
                column=name,
            )


def _sample(
    dataset: DatasetConfig,
    listing: SourceListing,
    root: Path,
    types: dict[str, ColumnType],
    plain: dict[str, str],
) -> tuple[pa.Table, tuple[str, ...]]:
    """Rows of every split, each column of the widest type of its kind; and what was left out."""
    columns, remarks = [], LookRemarks()
    for name, kind in types.items():
        if kind is not ColumnType.IGNORED:
            whole = name == dataset.key and plain[name] == "integer"
            columns.append(Column(name, kind, Purpose.FEATURE, "int64" if whole else WIDEST[kind]))
    schema = TableSchema(tuple(columns), Task.REGRESSION)
    share = share_of_look(dataset, listing.splits, len(columns))
    batch_rows = bounded_rows(_BATCH_ROWS, len(columns), BATCH_CELLS)
    # Files are often sorted, and their heads alone mislead.
    scanned = listing.source(dataset, root).scanned if len(columns) <= WIDE else 1
    tables = [
        _thinned(
            read_split(
                split,
                schema,
                dataset,
                listing,
                root,
                batch_rows=batch_rows,
                max_batches=-(-share * scanned // batch_rows),
            ),
            Thinned(schema.arrow_schema(), share),
            partial(remarks.add, split.address),
        )
        for split in listing.splits
    ]
    sample = pa.concat_tables(tables)
    if not sample.num_rows:
        raise SourceEmpty(
            "none of the rows looked at can be read",
            remedy="set dataset.csv.delimiter, quote and header in params.yaml",
            source=dataset.source,
        )
    return sample, remarks.said()


def _thinned(
    batches: Iterator[ParsedBatch], thinned: Thinned, noted: Callable[[ParsedBatch], None]
) -> pa.Table:
    for batch in batches:
        noted(batch)
        thinned.add(batch.table)
    return thinned.table()
