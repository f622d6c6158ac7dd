"""How many files the exchange between pieces and shards opens: counted, and bounded by the plan."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tidemill.config import ShardingConfig
from tidemill.engines import LocalEngine
from tidemill.schema import Role
from tidemill.sharding import count_copies
from tidemill.sharding.pieces import pieces_of
from tidemill.sharding.plan import make_plan, wanted_facts
from tidemill.storage import FileEntry, PartEntry, StoreFolder, ValidatedManifest, most_opens
from tidemill.storage.exchange import FAN_IN
from tidemill.testing.opens import opened_files


@contextmanager
def opens(folder: Path) -> Iterator[Counter[str]]:
    """Counts what is opened of the pieces in a folder, by piece; runs under the folder's name."""
    counted: Counter[str] = Counter()
    with opened_files() as opened:
        yield counted
    for path, flags in opened:
        unnamed = path == str(folder) and flags & os.O_TMPFILE == os.O_TMPFILE
        if unnamed or (path.startswith(str(folder)) and ".ipc" in path):
            counted[Path(path).name.removeprefix(".")[:11]] += 1


@pytest.mark.parametrize("pieces", [256, 4], ids=["one input a piece", "merged inputs"])
@pytest.mark.parametrize("time", [True, False], ids=["source order", "dealt order"])
def test_opens_are_those_of_the_plan(kit, tmp_path, monkeypatch, pieces, time):
    """By hash, where every piece has rows of every shard, a run opens what the formula says."""
    monkeypatch.setattr("tidemill.sharding.pieces._PIECE_BYTES", 1)
    monkeypatch.setattr("tidemill.storage.exchange.FAN_IN", pieces)
    table = kit.make(2000, parts=2, block_rows=100, time=time)
    with opens(tmp_path / "work") as opened:
        manifest = table.shard(tmp_path, {"shards": 6, "holdout": {"by": "hash"}})
    assert len(manifest.shards) == 6
    assert opened.total() == most_opens(20, 6) == (20 * 7 if pieces > 20 else 4 * 8)


def test_a_shard_opens_the_pieces_that_hold_its_rows(kit, tmp_path, monkeypatch):
    """Of a source in order, shards by time open few pieces each: no more than rows are spread."""
    monkeypatch.setattr("tidemill.sharding.pieces._PIECE_BYTES", 1)
    table = kit.make(2000, parts=1, block_rows=100)
    config = {"strategy": "time", "shards": 5, "holdout": {"by": "time"}}
    with opens(tmp_path / "work") as opened:
        manifest = table.shard(tmp_path, config)
    shards = len(manifest.shards)
    assert shards == 5
    assert opened.total() <= 20 + 20 + shards - 1
    assert opened.total() < most_opens(20, shards) / 2


@pytest.mark.parametrize("gigabytes", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_opens_of_large_tables(kit, gigabytes):
    """100 GB and 1 TB of parts, without their bytes: opens grow with the shards alone."""
    table = kit.make(9)
    part = FileEntry("part.parquet", 4 << 20, 64 << 20, "0", (1 << 19,) * 8)
    parts = (PartEntry("raw.csv", part, part.rows, 0, "digest"),) * (16 * gigabytes)
    manifest = ValidatedManifest(table.manifest.schema, parts)
    config = ShardingConfig.model_validate({"holdout": {"by": "hash"}})
    wanted = wanted_facts(manifest.schema, config, "ride_id")
    plan = make_plan(manifest, config, wanted, None, seed=1)
    shards, pieces = len(plan.slots), pieces_of(manifest, plan)
    inputs = sum(len(piece.inputs) for piece in pieces)
    assert shards >= gigabytes * 8
    assert FAN_IN / 2 < len(pieces) <= FAN_IN
    opens = most_opens(inputs, shards)
    # Each shard opening every input: 16 and 1,600 million.
    assert opens <= FAN_IN * (shards + 2) < inputs * shards / 30
    assert 8 * len(pieces) * (shards + 1) <= 2048 * (shards + 1)


@pytest.mark.parametrize("pieces", [256, 2], ids=["one shard a piece", "several shards a piece"])
def test_opens_of_counting_copies(kit, tmp_path, monkeypatch, pieces):
    """Test and training rows meet through an exchange too: files do not grow with the ranges."""
    manifest = kit.make(2000).shard(tmp_path, {"shards": 6, "block_rows": 64})
    monkeypatch.setattr("tidemill.storage.exchange.FAN_IN", pieces)
    monkeypatch.setattr("tidemill.sharding.copies._RANGE_ROWS", 50)
    with opens(tmp_path / "hashes") as opened:
        places = (StoreFolder.at(tmp_path / name) for name in ("shards", "hashes"))
        count_copies(manifest, *places, LocalEngine(1))
    ranges = 1 << (manifest.rows(Role.TEST) // 50).bit_length()
    assert ranges >= 8
    inputs = len(manifest.of(Role.TRAIN)) + len(manifest.of(Role.TEST))
    assert len(opened) == min(pieces, inputs)
    assert opened.total() <= most_opens(inputs, ranges)
