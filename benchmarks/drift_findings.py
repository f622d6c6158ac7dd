"""Raw rows to drift findings, the product's way: what :mod:`benchmarks.drift_window` times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.drift_streams import reference_of_blocks

from tidemill.casting import cast_column
from tidemill.config import DriftConfig
from tidemill.drift import Reference, Thresholds, calibrate, compare, compared_columns, rows_for
from tidemill.profiling import Profile
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill.storage import read_json, write_json
from tidemill_monitor.watching.folds import unpacked
from tidemill_monitor.watching.window_rows import packed

__all__ = ["accused", "build"]

# Three blocks a row group, 60 of a million rows; a reference has at most 64.
BLOCK_ROWS = 16_667
LOOK_ROWS = 50_000
CONFIG = DriftConfig()


def build(rows: Path, window_rows: int, store: Path) -> None:
    """Find edges, profile the raw rows by block, calibrate; keep both in the folder ``store``."""
    with pq.ParquetFile(rows) as file:
        schema = _looked(file)
        blocks = [Profile.of(table, schema) for table in _tables(file, schema)]
    reference = reference_of_blocks(schema, blocks, time_ordered=False)
    thresholds = calibrate(
        reference.blocks,
        rows_for(window_rows),
        CONFIG,
        seed=42,
        time_ordered=False,
        columns=compared_columns(reference.schema),
    )
    store.mkdir(parents=True, exist_ok=True)
    write_json(store / "reference.json", reference.to_json())
    write_json(store / "thresholds.json", thresholds.to_json())


def accused(window: Path, store: Path) -> list[str]:
    """Features of the window's raw rows that have drifted from the stored reference."""
    reference = Reference.from_json(read_json(store / "reference.json"))
    thresholds = Thresholds.from_json(read_json(store / "thresholds.json"))
    live = reference.live_schema
    with pq.ParquetFile(window) as file:
        parts = [packed(Profile.of(table, live)) for table in _tables(file, live)]
    found = compare(unpacked("profile", parts), reference, thresholds)
    return sorted({finding.feature for finding in found if finding.flagged})


def _looked(file: pq.ParquetFile) -> TableSchema:
    """Numeric features with edges between quantiles, as ``ingestion.look`` finds them."""
    sample = next(_batches(file, LOOK_ROWS))
    shares = np.arange(1, 33) / 33
    columns = [
        Column(
            name,
            ColumnType.NUMERIC,
            Purpose.FEATURE,
            "float32",
            tuple(np.quantile(sample[name].to_numpy(), shares).tolist()),
        )
        for name in sample.schema.names
    ]
    return TableSchema(tuple(columns), Task.BINARY, ("0", "1"))


def _tables(file: pq.ParquetFile, schema: TableSchema) -> Iterator[pa.Table]:
    """Rows in the types that the model has them in, as the monitor's intake leaves them."""
    for rows in _batches(file, BLOCK_ROWS):
        columns = [cast_column(rows[c.name], c.arrow_type).values for c in schema.columns]
        yield pa.Table.from_arrays(columns, schema=schema.arrow_schema())


def _batches(file: pq.ParquetFile, size: int) -> Iterator[pa.RecordBatch]:
    # One row group at a time: asked for all of them, the reader holds the whole file in memory.
    for group in range(file.num_row_groups):
        yield from file.iter_batches(batch_size=size, row_groups=[group])
