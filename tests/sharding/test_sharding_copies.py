"""Test rows whose exact features are in training too are counted, in bounded memory."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tidemill.engines import LocalEngine
from tidemill.errors import IntegrityError
from tidemill.schema import Role
from tidemill.sharding import Copies, count_copies
from tidemill.storage import StoreFolder


def _counted(kit, manifest, folder, work) -> Copies:
    places = (StoreFolder.at(folder), StoreFolder.at(work))
    return count_copies(manifest, *places, LocalEngine(1))


@pytest.fixture
def dealt(kit, tmp_path):
    """Shards of a table without key whose rows from 400 on are as the first ones; labels differ."""

    def again(columns):
        taken = pa.array([row if row < 400 else row % 50 for row in range(1000)])
        return {name: c if name == "label" else c.take(taken) for name, c in columns.items()}

    table = kit.make(1000, key=False, time=False, changes=again)
    return table.shard(tmp_path, {"shards": 6, "block_rows": 64}, key=None), tmp_path / "shards"


@pytest.mark.parametrize("rows_of_a_range", [1 << 20, 16, 3])
def test_copies_are_counted_whatever_the_ranges(kit, tmp_path, dealt, monkeypatch, rows_of_a_range):
    """The count is that of sets of rows in memory; keys, targets and carried columns are none."""
    monkeypatch.setattr("tidemill.sharding.copies._RANGE_ROWS", rows_of_a_range)
    manifest, folder = dealt
    names = [column.name for column in manifest.schema.features]
    rows = {role: [] for role in Role}
    for entry, table in zip(manifest.shards, kit.rows_by_shard(manifest, folder), strict=True):
        rows[entry.role] += [tuple(row.values()) for row in table.select(names).to_pylist()]
    known = set(rows[Role.TRAIN])
    expected = sum(row in known for row in rows[Role.TEST])
    assert 0 < expected < len(rows[Role.TEST])
    found = _counted(kit, manifest, folder, tmp_path / "hashes")
    assert found == Copies(len(rows[Role.TEST]), expected)


@pytest.mark.parametrize(("same", "share"), [(True, 1.0), (False, 0.0)])
def test_all_or_none(kit, tmp_path, same, share):
    """Rows that are all alike are all known; rows that all differ are not."""

    def alike(columns):
        return {name: c.take(pa.array([0] * len(c))) for name, c in columns.items()}

    table = kit.make(400, key=False, time=False, changes=alike if same else None)
    manifest = table.shard(tmp_path, key=None)
    assert _counted(kit, manifest, tmp_path / "shards", tmp_path / "hashes").share == share


def test_a_changed_shard_is_refused(kit, tmp_path, dealt):
    """What is counted is what was written."""
    manifest, folder = dealt
    path = folder / manifest.shards[0].file.path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError):
        _counted(kit, manifest, folder, tmp_path / "hashes")
