"""Borders stay while rows come: none moves, late ones go where they belong, and it is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tidemill.config import ShardingConfig
from tidemill.engines import LocalEngine
from tidemill.errors import TooFewRows
from tidemill.schema import Role
from tidemill.sharding import borders_serve, said_of_balance, verify
from tidemill.storage import ShardManifest, StoreFolder

ROWS = 2000


def with_parts(table: Any, *numbers: int) -> Any:
    """The same table, but of some of its parts alone."""
    parts = tuple(table.manifest.parts[number] for number in numbers)
    return replace(table, manifest=replace(table.manifest, parts=parts))


def places(kit: Any, manifest: ShardManifest, folder: Path) -> dict[int, tuple[str, int]]:
    """Role and bucket of each row."""
    return {
        row: (entry.role.value, entry.bucket)
        for entry, rows in zip(manifest.shards, kit.rows_by_shard(manifest, folder), strict=True)
        for row in rows["row"].to_pylist()
    }


CONFIGS = [
    {"strategy": "hash", "holdout": {"by": "hash", "test": 0.2}},
    {"strategy": "range", "by": "fare", "holdout": {"by": "stratified", "test": 0.2}},
    {"strategy": "time", "holdout": {"by": "time", "test": 0.2}},
    {"strategy": "hash", "holdout": {"by": "order", "test": 0.2}},
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c['strategy']}-{c['holdout']['by']}")
def test_rows_that_come_move_no_other(config, kit, tmp_path):
    """Each row of before keeps role and bucket; all are there once; the new ones fit the rules."""
    table, config = kit.make(ROWS, parts=4), {**config, "shards": 7}
    before = with_parts(table, 0, 1, 2).shard(tmp_path / "before", config)
    after = table.shard(tmp_path / "after", config, like=before)
    was = places(kit, before, tmp_path / "before" / "shards")
    now = places(kit, after, tmp_path / "after" / "shards")
    assert len(now) == ROWS > len(was)
    assert {row: now[row] for row in was} == was
    assert (after.boundaries, after.holdout) == (before.boundaries, before.holdout)
    folder = StoreFolder.at(tmp_path / "after" / "shards")
    assert verify(after, folder, LocalEngine(1)) == ()
    # Drawn anew the borders are others: where hashes decide, those of roles are the same.
    anew = places(kit, table.shard(tmp_path / "anew", config), tmp_path / "anew" / "shards")
    assert (anew == now) is (config["holdout"]["by"] == "hash")


def test_late_rows_find_their_shard(kit, tmp_path):
    """A part whose times lie among those of before goes into the shards of its times."""
    table = kit.make(ROWS, parts=5)
    config = {"strategy": "time", "shards": 7, "holdout": {"by": "time", "test": 0.2}}
    before = with_parts(table, 0, 3, 4).shard(tmp_path / "before", config)
    after = table.shard(tmp_path / "after", config, like=before)
    now = places(kit, after, tmp_path / "after" / "shards")
    late = {now[row] for row in range(ROWS // 5, ROWS * 3 // 5)}
    assert {role for role, _ in late} == {"train"}
    assert len(late) < sum(entry.role is Role.TRAIN for entry in after.shards)
    ranges = [(e.time_from, e.time_to) for e in after.shards]
    assert ranges == sorted(ranges)
    # In whatever order parts come, and whether at once or one by one.
    again = with_parts(table, 0, 2, 3, 4).shard(tmp_path / "first", config, like=before)
    last = table.shard(tmp_path / "last", config, like=again)
    assert kit.hashes(last) == kit.hashes(after)


def test_rows_that_go_move_no_other(kit, tmp_path):
    """A part that vanishes leaves holes and nothing else, without a key too."""
    table = kit.make(ROWS, parts=4, key=False, time=False)
    config = {"shards": 6, "holdout": {"by": "hash", "test": 0.2}}
    before = table.shard(tmp_path / "before", config, key=None)
    after = with_parts(table, 0, 2, 3).shard(tmp_path / "after", config, key=None, like=before)
    was = places(kit, before, tmp_path / "before" / "shards")
    now = places(kit, after, tmp_path / "after" / "shards")
    assert now == {row: was[row] for row in now}
    assert len(now) == ROWS * 3 // 4


def test_a_role_that_would_be_empty_is_refused_with_the_remedy(kit, tmp_path):
    """Where all rows come after the borders none is left to train on."""
    table = kit.make(ROWS, parts=4)
    config = {"holdout": {"by": "time", "test": 0.2}}
    before = with_parts(table, 0).shard(tmp_path / "before", config)
    with pytest.raises(TooFewRows, match="between the borders of before") as caught:
        with_parts(table, 2, 3).shard(tmp_path / "after", config, like=before)
    assert "tidemill shards rebalance" in caught.value.remedy


def test_lost_balance_is_said(kit, tmp_path):
    """Shares that left what was asked for, and shards twice as large as the mean; else nothing."""
    table = kit.make(ROWS, parts=4)
    settings = {"strategy": "time", "shards": 12, "holdout": {"by": "time", "test": 0.2}}
    config = ShardingConfig.model_validate(settings)
    before = with_parts(table, 0, 1).shard(tmp_path / "before", settings)
    assert said_of_balance(before, config) == ()
    after = table.shard(tmp_path / "after", settings, like=before)
    said = said_of_balance(after, config)
    assert said[0].startswith("test rows are 60% of all, and sharding.holdout asks for 20%")
    # What the test rows leave when the borders are drawn anew, not what they leave now.
    assert said[1].startswith("validation rows are 4% of all, and sharding.holdout asks for 8%")
    assert said_of_balance(table.shard(tmp_path / "anew", settings), config) == ()
    assert said[-1].startswith("1 shards are more than 2 times as large")
    assert all("tidemill shards rebalance" in word for word in said)


def test_borders_serve_rows_of_the_same_columns_and_classes(kit, tmp_path):
    """Edges of histograms decide about no border; another class or type does."""
    table = kit.make(400)
    before, schema = table.shard(tmp_path), table.manifest.schema
    other = tuple(
        replace(column, edges=(0.5,)) if column.edges else column for column in schema.columns
    )
    assert borders_serve(before, replace(schema, columns=other))
    assert not borders_serve(before, replace(schema, classes=("maybe", "no", "yes")))
    typed = tuple(replace(c, physical="float64") if c.name == "fare" else c for c in schema.columns)
    assert not borders_serve(before, replace(schema, columns=typed))
    assert not borders_serve(replace(before, placed=False), schema)
