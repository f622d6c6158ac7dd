"""Small sharded tables, written with the storage room itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from tidemill.profiling import Profile
from tidemill.schema import Column, ColumnType, Purpose, Role, TableSchema, Task
from tidemill.storage import (
    BlockWriter,
    ShardEntry,
    ShardManifest,
    hash_file,
    read_blocks,
    write_json,
)

__all__ = ["rides", "write_shards"]

_TYPES = {
    "float32": ColumnType.NUMERIC,
    "float64": ColumnType.NUMERIC,
    "int64": ColumnType.NUMERIC,
    "bool": ColumnType.BOOLEAN,
    "dictionary": ColumnType.CATEGORICAL,
    "string": ColumnType.TEXT,
    "timestamp[us]": ColumnType.DATETIME,
}


def _schema_of(table: pa.Table, time: str | None = None) -> TableSchema:
    """The schema of a table whose column ``y`` is the target."""
    columns = []
    for field in table.schema:
        physical = "dictionary" if pa.types.is_dictionary(field.type) else str(field.type)
        physical = {"float": "float32", "double": "float64"}.get(physical, physical)
        purpose = Purpose.TARGET if field.name == "y" else Purpose.FEATURE
        purpose = Purpose.TIME if field.name == time else purpose
        edges: tuple[float, ...] = ()
        if _TYPES[physical] is ColumnType.NUMERIC:
            values = table[field.name].drop_null().to_numpy().astype(float)
            quantiles = np.quantile(values, np.linspace(0, 1, 12)[1:-1]) if len(values) else []
            edges = tuple(np.unique(quantiles).tolist())
        columns.append(Column(field.name, _TYPES[physical], purpose, physical, edges))
    return TableSchema(tuple(columns), Task.REGRESSION)


def write_shards(
    folder: Path,
    tables: list[pa.Table],
    *,
    block_rows: int = 100,
    time: str | None = None,
    role: Role = Role.TRAIN,
) -> ShardManifest:
    """Write each table as one training shard."""
    schema = _schema_of(pa.concat_tables(tables, promote_options="default"), time)
    shards = []
    for number, table in enumerate(tables):
        path = folder / f"shard-{number:05d}.parquet"
        with BlockWriter(path, schema.arrow_schema(), block_rows=block_rows) as writer:
            writer.write(table.cast(schema.arrow_schema()))
        entry = writer.close()
        profile = path.with_suffix("").with_suffix(".profile.json")
        profiles = [Profile.of(block, schema).to_json() for block in read_blocks(path)]
        write_json(profile, profiles)
        shards.append(
            ShardEntry(
                id=number,
                role=role,
                file=entry,
                profile=profile.name,
                profile_sha256=hash_file(profile),
                bucket=number,
                lower=None,
                upper=None,
                time_from=None,
                time_to=None,
            )
        )
    return ShardManifest(schema, "hash", None, {}, tuple(shards))


def rides(rows: int = 600, seed: int = 0) -> pa.Table:
    """A table with every kind of column, with gaps."""
    rng = np.random.default_rng(seed)
    distance = rng.gamma(2.0, 3.0, rows).astype(np.float32)
    started = rng.integers(1_500_000_000, 1_530_000_000, rows) * 1_000_000
    zone = rng.choice(["a", "b", "c", "d", "e", "f"], rows, p=[0.5, 0.25, 0.15, 0.06, 0.03, 0.01])
    return pa.table(
        {
            "distance": pa.array(distance, mask=rng.random(rows) < 0.1),
            "fare": pa.array((2.5 + 1.8 * distance + rng.normal(size=rows)).astype(np.float32)),
            "tip": pa.array(rng.normal(1e4, 3.0, rows)),
            "riders": pa.array(rng.integers(1, 6, rows)),
            "shared": pa.array(rng.random(rows) < 0.3, mask=rng.random(rows) < 0.05),
            "zone": pa.array(zone, mask=rng.random(rows) < 0.04).dictionary_encode(),
            "started": pa.array(started, mask=rng.random(rows) < 0.02).cast(pa.timestamp("us")),
            "y": pa.array(rng.normal(size=rows)),
        }
    )
