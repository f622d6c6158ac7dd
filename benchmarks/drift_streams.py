"""Streams of real rows that do not change: what a drift alarm must stay silent on."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.config import DatasetConfig
from tidemill.drift import HeldOut, Reference
from tidemill.drift.performance.estimate import PerformanceModel
from tidemill.engines import LocalEngine
from tidemill.ingestion import list_source, look, read_split
from tidemill.profiling import Profile
from tidemill.samples import Calendar, write_sample
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
BLOCKS = 64


@dataclass(frozen=True)
class Stream:
    """Rows of one schema in order: the first ``learnt`` are training, the rest is live."""

    name: str
    schema: TableSchema
    rows: pa.Table
    learnt: int
    time_ordered: bool

    def reference(self) -> Reference:
        """The reference: 64 blocks of the first rows."""
        return reference_of(self.schema, self.rows[: self.learnt], self.time_ordered)

    def windows(self, size: int) -> Iterator[pa.Table]:
        """The live rows in windows of ``size``, the incomplete last one left out."""
        for start in range(self.learnt, self.rows.num_rows - size + 1, size):
            yield self.rows[start : start + size]


def reference_of(schema: TableSchema, rows: pa.Table, time_ordered: bool) -> Reference:
    """A reference of these rows; its model has seen nothing, for only inputs are judged."""
    cuts = np.linspace(0, rows.num_rows, BLOCKS + 1).astype(int).tolist()
    blocks = [Profile.of(rows[a:b].combine_chunks(), schema) for a, b in pairwise(cuts)]
    return reference_of_blocks(schema, blocks, time_ordered)


def reference_of_blocks(
    schema: TableSchema, blocks: Sequence[Profile], time_ordered: bool
) -> Reference:
    """The same from the profiles of blocks of rows."""
    rng = np.random.default_rng(0)
    target = Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary")
    binary = TableSchema((target,), Task.BINARY, ("0", "1"))
    held_out = HeldOut.of(binary, rng.random(200), rng.integers(0, 2, 200))
    model = PerformanceModel.fit([(held_out.outcomes, held_out.figures)])
    return Reference.of(
        schema, blocks, [], metric="roc_auc", figures={}, quality=model, time_ordered=time_ordered
    )


def adult(folder: Path, seed: int) -> Stream:
    """The census, shuffled: no time, nothing can drift."""
    dataset = DatasetConfig(
        name="adult",
        source=str(_unpacked("adult.tar.gz", folder) / "adult" / "raw"),
        target="class",
    )
    schema, rows = _read(dataset, folder)
    order = np.random.default_rng(seed).permutation(rows.num_rows)
    return Stream("adult, shuffled", schema, rows.take(order), 30_000, time_ordered=False)


def fraud(folder: Path) -> Stream:
    """Card payments from day 28 on, when the counts over 30 days have filled."""
    days = _unpacked("fraud_daily_d000_044.tar", folder) / "fraud_daily" / "daily_parquet"
    dataset = DatasetConfig(
        name="fraud",
        source=str(days),
        target="TX_FRAUD",
        time="TX_DATETIME",
        drop=(
            *("TRANSACTION_ID", "CUSTOMER_ID", "TERMINAL_ID", "TX_FRAUD_SCENARIO"),
            *("TX_TIME_SECONDS", "TX_TIME_DAYS"),
        ),
    )
    schema, rows = _read(dataset, folder)
    start = pa.scalar(np.datetime64("2018-04-29", "us"))
    rows = rows.filter(pc.greater_equal(rows["TX_DATETIME"], start))
    return Stream("fraud, days 28 to 44", schema, rows, rows.num_rows * 9 // 17, time_ordered=True)


def rides(folder: Path) -> Stream:
    """The sample's nine months before its change; six of them are training."""
    raw = folder / "rides"
    write_sample(raw, rows=200_000, months=12, seed=42, format="parquet")
    dataset = DatasetConfig(
        name="rides", source=str(raw), target="cancelled", time="requested_at", key="ride_id"
    )
    schema, rows = _read(dataset, folder)
    change = pa.scalar(np.datetime64(Calendar.of(12).regime_change, "us"))
    rows = rows.filter(pc.less(rows["requested_at"], change)).sort_by("requested_at")
    return Stream("sample before its change", schema, rows, rows.num_rows * 2 // 3, True)


def _unpacked(name: str, folder: Path) -> Path:
    out = folder / name.split(".")[0]
    if not out.exists():
        with tarfile.open(DATA / name) as archive:
            archive.extractall(out, filter="data")
    return out


def _read(dataset: DatasetConfig, root: Path) -> tuple[TableSchema, pa.Table]:
    listing = list_source(dataset, root, LocalEngine(1))
    schema = look(dataset, listing, root)
    kept = [c for c in schema.columns if c.purpose is not Purpose.CARRIED]
    schema = TableSchema(tuple(kept), schema.task, schema.classes)
    batches = [
        batch.table
        for split in listing.splits
        for batch in read_split(split, schema, dataset, listing, root, batch_rows=65_536)
    ]
    return schema, pa.concat_tables(batches)
