"""Validated tables on disk, as ingestion leaves them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tidemill.config import ShardingConfig
from tidemill.contracts import Engine
from tidemill.engines import LocalEngine
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill.sharding import shard
from tidemill.storage import (
    BlockWriter,
    PartEntry,
    ShardManifest,
    StoreFolder,
    ValidatedManifest,
    read_blocks,
)

EDGES = (-1.0, 0.0, 1.0)


@dataclass
class Table:
    """A validated table and the rows in it; ``row`` numbers them in source order."""

    folder: Path
    manifest: ValidatedManifest
    rows: pa.Table

    def shard(
        self,
        base: Path,
        config: dict[str, Any] | None = None,
        *,
        key: str | None = "ride_id",
        seed: int = 7,
        engine: Engine | None = None,
        **more: Any,
    ) -> ShardManifest:
        return shard(
            self.manifest,
            StoreFolder.at(self.folder),
            ShardingConfig.model_validate(config or {}),
            dataset_key=key,
            seed=seed,
            engine=engine or LocalEngine(1),
            work=StoreFolder.at(base / "work"),
            out=base / "shards",
            **more,
        )


@dataclass
class Maker:
    """Makes tables of any size; the same seed gives the same rows however they are cut."""

    folder: Path
    made: int = field(default=0)

    def __call__(
        self,
        rows: int = 1000,
        *,
        parts: int = 3,
        block_rows: int = 64,
        seed: int = 0,
        time: bool = True,
        key: bool = True,
        changes: Callable[[dict[str, pa.Array]], dict[str, pa.Array]] | None = None,
        sources: tuple[str, ...] | None = None,
    ) -> Table:
        schema = schema_of(time=time, key=key)
        columns = columns_of(rows, seed)
        if changes is not None:
            columns = changes(columns)
        table = pa.table([columns[name] for name in schema.names], schema=schema.arrow_schema())
        self.made += 1
        folder = self.folder / f"validated-{self.made}"
        folder.mkdir(parents=True)
        cuts = [rows * part // parts for part in range(parts + 1)]
        entries = []
        for part in range(parts):
            with BlockWriter(
                folder / f"part-{part:05d}.parquet", schema.arrow_schema(), block_rows=block_rows
            ) as writer:
                writer.write(table.slice(cuts[part], cuts[part + 1] - cuts[part]))
                entry = writer.close()
            source = sources[part] if sources else f"raw/2024-{part + 1:02d}.csv"
            # As a source file's digest: by its rows, however validated blocks are cut.
            split = f"rows {cuts[part]} to {cuts[part + 1]} of {rows}, seed {seed}"
            entries.append(PartEntry(source, entry, entry.rows, 0, split))
        manifest = ValidatedManifest(schema, tuple(entries))
        (folder / "manifest.json").write_bytes(manifest.to_bytes())
        return Table(folder, manifest, table)


def schema_of(*, time: bool = True, key: bool = True) -> TableSchema:
    kind, purpose = ColumnType, Purpose
    columns = [
        Column("row", kind.NUMERIC, purpose.FEATURE, "int64"),
        Column("ride_id", kind.CATEGORICAL, purpose.KEY if key else purpose.CARRIED, "string"),
        Column(
            "started_at",
            kind.DATETIME,
            purpose.TIME if time else purpose.FEATURE,
            "timestamp[us]",
        ),
        Column("zone", kind.CATEGORICAL, purpose.FEATURE, "dictionary"),
        Column("fare", kind.NUMERIC, purpose.FEATURE, "float32", EDGES),
        Column("night", kind.BOOLEAN, purpose.FEATURE, "bool"),
        Column("label", kind.CATEGORICAL, purpose.TARGET, "dictionary"),
    ]
    return TableSchema(tuple(columns), Task.BINARY, ("no", "yes"))


def columns_of(rows: int, seed: int) -> dict[str, pa.Array]:
    random = np.random.default_rng(seed)
    seconds = np.sort(random.integers(1_700_000_000, 1_710_000_000, rows))
    zones = np.array(["north", "south", "Ünter", "port", "x"])[random.integers(0, 5, rows)]
    return {
        "row": pa.array(np.arange(rows)),
        "ride_id": pa.array([f"ride-{seed}-{number}" for number in range(rows)], pa.string()),
        "started_at": pa.array(seconds * 1_000_000).cast(pa.timestamp("us")),
        "zone": pa.array(zones, mask=random.random(rows) < 0.05).dictionary_encode(),
        "fare": pa.array(random.normal(size=rows), pa.float32(), mask=random.random(rows) < 0.05),
        "night": pa.array(random.random(rows) < 0.3),
        "label": pa.array(np.where(random.random(rows) < 0.2, "yes", "no")).dictionary_encode(),
    }


def rows_by_shard(manifest: ShardManifest, folder: Path) -> list[pa.Table]:
    """All rows of each shard, dictionaries decoded so that tables compare."""
    return [decoded(pa.concat_tables(read_blocks(folder / s.file.path))) for s in manifest.shards]


def decoded(table: pa.Table) -> pa.Table:
    plain = [
        column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    return pa.table(plain, names=table.column_names).combine_chunks()


def role_rows(manifest: ShardManifest, folder: Path) -> dict[str, list[int]]:
    """The ``row`` numbers of each role, in shard order."""
    found: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for entry, rows in zip(manifest.shards, rows_by_shard(manifest, folder), strict=True):
        found[entry.role.value] += rows["row"].to_pylist()
    return found


def hashes(manifest: ShardManifest) -> list[tuple[str, str]]:
    return [(entry.file.sha256, entry.profile_sha256) for entry in manifest.shards]


class Kit:
    """What the tests of this folder share; handed out as a fixture, as tests do not import."""

    rows_by_shard = staticmethod(rows_by_shard)
    role_rows = staticmethod(role_rows)
    hashes = staticmethod(hashes)
    decoded = staticmethod(decoded)
    replace = staticmethod(replace)

    def __init__(self, make: Maker) -> None:
        self.make = make


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(Maker(tmp_path / "tables"))


@pytest.fixture(scope="session")
def pool() -> Any:
    with LocalEngine(2, preload=("tidemill.sharding",)) as engine:
        yield engine
