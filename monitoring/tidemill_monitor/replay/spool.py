"""A source as one typed Parquet file in event-time order, from which a replay can be resumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tidemill.config import DatasetConfig, Params
from tidemill.contracts import Engine
from tidemill.errors import SchemaMismatch
from tidemill.ingestion import SourceListing, Split, list_source, read_split
from tidemill.schema import Purpose, TableSchema
from tidemill.storage import (
    Receipts,
    fresh_directory,
    hash_json,
    storage_errors,
)

__all__ = ["Spool", "spool"]

EVENT_ID, AT, TRUTH = "event_id", "at", "truth"
BATCH_ROWS = 65_536
_GROUP_ROWS = 16_384
_LEFT_OUT = "left_out"


@dataclass(frozen=True, slots=True)
class Spool:
    """The rows of a replay.

    Parameters
    ----------
    path : Path
        Parquet: ``event_id``, ``at`` (where the table has a time), the features, further columns
        that were asked for, and ``truth`` (where it has the target).
    rows : int
    timed, labelled : bool
        Whether rows have a time, and a truth.
    key : str
        Names source and columns.
    left_out : dict of str to int
        What the source has and a replay has not: ``rejected`` records that are no rows,
        ``undated`` rows, and cells that could not be read and went out as unknown
        (``unreadable``).
    """

    path: Path
    rows: int
    timed: bool
    labelled: bool
    key: str
    left_out: dict[str, int] = field(default_factory=dict)

    def batches(self, first: int, columns: Collection[str] | None = None) -> Iterator[pa.Table]:
        """Tables of consecutive rows from row ``first`` on. Memory: one row group."""
        with pq.ParquetFile(self.path) as file:
            begin = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if begin + rows > first:
                    names = None if columns is None else list(columns)
                    table = file.read_row_group(group, columns=names)
                    yield table.slice(max(first - begin, 0))
                begin += rows


def spool(
    params: Params,
    schema: TableSchema,
    features: Collection[str],
    source: str,
    *,
    root: Path,
    folder: Path,
    engine: Engine,
    given: str | None = None,
    also: Collection[str] = (),
    progress: Callable[[int], None] = lambda _rows: None,
) -> Spool:
    """Read a source once, and write its rows in order of their time.

    Parameters
    ----------
    params : Params
        Of the workspace: how the source is written, derived columns, names of key and time.
    schema : TableSchema
        The columns of the workspace's table.
    features : collection of str
        What the champion reads.
    source : str
        A file, folder or glob of any kind that tidemill reads; absolute, or from ``root``.
    given : str or None
        How the reader of an error wrote it.
    folder : Path
        Spools lie below it, each under its key; one that is finished is used again.
    also : collection of str
        Further columns of the source (predictions made elsewhere).
    progress : callable
        Told the rows read so far, after each batch.

    Raises
    ------
    SchemaMismatch
        If the source lacks a feature.

    Notes
    -----
    Memory: some batches; DuckDB sorts out of memory where rows are not in order.
    """
    dataset = params.dataset.of_another(source)
    listing = list_source(dataset, root, engine, named="--input", given=given)
    read = _readable(schema, listing, dataset, features, also, source)
    key = hash_json(
        [listing.to_json(), read.to_json(), sorted(features), sorted(also), params.dataset.derive]
    )[:16]
    timed, target = read.time is not None, _target(read)
    done = folder / key / "rows.parquet"
    receipts = Receipts.at(done.parent)
    left_out = receipts.done(_LEFT_OUT)
    if left_out is None:
        _write(listing, read, dataset, root, folder / key, features, also, progress)
        left_out = receipts.done(_LEFT_OUT) or {}
    with pq.ParquetFile(done) as file:
        rows = file.metadata.num_rows
    return Spool(done, rows, timed, target is not None, key, left_out)


def _target(schema: TableSchema) -> str | None:
    return next((c.name for c in schema.columns if c.purpose is Purpose.TARGET), None)


def _readable(
    schema: TableSchema,
    listing: SourceListing,
    dataset: DatasetConfig,
    features: Collection[str],
    also: Collection[str],
    source: str,
) -> TableSchema:
    """The schema of what is there and wanted; features must be there."""
    given = {column.name for column in listing.columns} | set(dataset.derive)
    missing = sorted({*features, *also} - given)
    if missing:
        raise SchemaMismatch(
            f"{source} lacks the columns {', '.join(missing)}",
            remedy="give a table with the model's features; a column without values may be empty",
            columns=missing,
            source=source,
        )
    apart = (Purpose.TARGET, Purpose.KEY, Purpose.TIME)
    columns = tuple(
        column
        for column in schema.columns
        if column.name in given and (column.name in features or column.purpose in apart)
    )
    known = {column.name for column in columns}
    further = tuple(_carried_column(name, listing) for name in also if name not in known)
    return replace(schema, columns=(*columns, *further))


def _carried_column(name: str, listing: SourceListing) -> Any:
    from tidemill.schema import Column, ColumnType

    kind = next(c.type for c in listing.columns if c.name == name)
    if kind in ("integer", "number"):
        return Column(name, ColumnType.NUMERIC, Purpose.CARRIED, "float64")
    return Column(name, ColumnType.CATEGORICAL, Purpose.CARRIED, "string")


def _write(
    listing: SourceListing,
    schema: TableSchema,
    dataset: DatasetConfig,
    root: Path,
    folder: Path,
    features: Collection[str],
    also: Collection[str],
    progress: Callable[[int], None],
) -> None:
    fresh_directory(folder)
    raw, done = folder / "raw.parquet", folder / "rows.parquet"
    ordered, last, writer = True, None, None
    read, left_out = 0, Counter[str](rejected=0, undated=0, unreadable=0)
    with storage_errors(folder):
        for split in listing.splits:
            for batch in read_split(split, schema, dataset, listing, root, batch_rows=BATCH_ROWS):
                rows = _events(batch.table, batch.rows, split, schema, features, also)
                left_out["rejected"] += len(batch.rejects)
                left_out["undated"] += batch.table.num_rows - rows.num_rows
                left_out["unreadable"] += sum(len(f.texts) for f in batch.faults.values())
                read += batch.table.num_rows + len(batch.rejects)
                progress(read)
                writer = writer or pq.ParquetWriter(raw, rows.schema, compression="zstd")
                writer.write_table(rows, row_group_size=_GROUP_ROWS)
                if schema.time is not None and rows.num_rows:
                    ordered, last = _follows(rows[AT], last, ordered)
        if writer is None:
            raise SchemaMismatch("the source has no rows", remedy="give a table with rows")
        writer.close()
        if not ordered:
            _sort(raw, folder / "sorted.parquet")
            (folder / "sorted.parquet").replace(raw)
        raw.replace(done)
        receipts = Receipts.at(folder)
        receipts.finish(_LEFT_OUT, dict(left_out), receipts.held(done.name))


def _events(
    table: pa.Table,
    rows: Any,
    split: Split,
    schema: TableSchema,
    features: Collection[str],
    also: Collection[str],
) -> pa.Table:
    columns: dict[str, Any] = {EVENT_ID: _ids(table, rows, split, schema)}
    if schema.time is not None:
        columns[AT] = table[schema.time.name]
    for name in schema.names:
        if name in features or name in also:
            columns[name] = _undictionaried(table[name])
    target = _target(schema)
    if target is not None:
        columns[TRUTH] = _undictionaried(table[target])
    events = pa.table(columns)
    # A row without a time has no place in an order of times.
    return events.filter(pc.is_valid(events[AT])) if schema.time is not None else events


def _ids(table: pa.Table, rows: Any, split: Split, schema: TableSchema) -> pa.Array:
    if schema.key is not None and schema.key.name in table.column_names:
        return table[schema.key.name].cast(pa.string())
    numbers = pa.array(np.asarray(rows) + split.first_row).cast(pa.string())
    return pc.binary_join_element_wise(pa.scalar(split.etag[:12]), numbers, "-")


def _undictionaried(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _follows(times: pa.ChunkedArray, last: Any, ordered: bool) -> tuple[bool, Any]:
    values = times.combine_chunks().cast(pa.int64()).to_numpy()
    rising = bool((values[1:] >= values[:-1]).all()) and (last is None or values[0] >= last)
    return ordered and rising, values[-1]


def _sort(source: Path, target: Path) -> None:
    import duckdb
    from pyarrow.dataset import dataset

    connection = duckdb.connect(config={"memory_limit": "512MB", "threads": 2})
    try:
        # By a dataset of PyArrow's: DuckDB would read signs of a glob into a path.
        connection.register("unordered", dataset(source))
        connection.execute(f"SET temp_directory = '{_quoted(target.parent / 'spill')}'")
        connection.execute(
            f'COPY (SELECT * FROM unordered ORDER BY "at", event_id) '  # noqa: S608
            f"TO '{_quoted(target)}' (FORMAT parquet, ROW_GROUP_SIZE {_GROUP_ROWS})"
        )
    finally:
        connection.close()


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
