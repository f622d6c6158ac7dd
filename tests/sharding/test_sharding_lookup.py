"""Locating rows, and noticing shards that are not what they were."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tidemill.engines import LocalEngine
from tidemill.errors import ConfigError
from tidemill.schema import Role
from tidemill.sharding import locate, sound_shards, verify
from tidemill.storage import ShardManifest, StoreFolder, read_block

PLANS = [
    {"strategy": "hash"},
    {"strategy": "hash", "by": "zone"},
    {"strategy": "range", "by": "ride_id"},
    {"strategy": "range", "by": "fare", "holdout": {"by": "stratified"}},
    {"strategy": "time", "holdout": {"by": "time"}},
    {"strategy": "hash", "holdout": {"by": "order"}},
    {"strategy": "hash", "holdout": {"by": "file", "test": "*-01.csv"}},
]


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_every_key_is_located(kit, tmp_path, plan):
    """locate finds the very row of each key; a key that is not there is None."""
    manifest = kit.make(600).shard(tmp_path, {"shards": 7, "block_rows": 64, **plan})
    folder = tmp_path / "shards"
    for number in range(0, 600, 23):
        place = locate(manifest, StoreFolder.at(folder), f"ride-0-{number}")
        block = read_block(folder / place.path, place.block)
        assert block["row"][place.row].as_py() == number
        assert manifest.shards[place.shard].role is place.role
    assert locate(manifest, StoreFolder.at(folder), "ride-0-600") is None


def test_a_key_that_shards_is_looked_for_in_one_shard_of_each_role(kit, tmp_path):
    """Where the key is the sharding column, other shards are not even opened."""
    manifest = kit.make(600).shard(tmp_path, {"shards": 9})
    place = locate(manifest, StoreFolder.at(tmp_path / "shards"), "ride-0-5")
    bucket = manifest.shards[place.shard].bucket
    for shard in manifest.shards:
        if shard.role is place.role and shard.bucket != bucket:
            (tmp_path / "shards" / shard.file.path).unlink()
    assert locate(manifest, StoreFolder.at(tmp_path / "shards"), "ride-0-5") == place


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ({"strategy": "range", "by": "row"}, "123"),
        ({"strategy": "hash", "by": "row"}, "123"),
        ({"strategy": "hash", "by": "zone"}, "Ünter"),
        ({"strategy": "range", "by": "zone"}, "Ünter"),
        ({"strategy": "hash", "by": "night"}, "true"),
    ],
    ids=str,
)
def test_without_a_key_the_sharding_column_locates(kit, tmp_path, plan, text):
    """Numbers, categories and booleans are found by their text."""
    table = kit.make(600, key=False)
    manifest = table.shard(tmp_path, {"shards": 7, **plan}, key=None)
    place = locate(manifest, StoreFolder.at(tmp_path / "shards"), text)
    block = kit.decoded(read_block(tmp_path / "shards" / place.path, place.block))
    assert str(block[plan["by"]][place.row].as_py()).lower() == text.lower()
    assert locate(manifest, StoreFolder.at(tmp_path / "shards"), "987654321") is None


def test_a_time_locates(kit, tmp_path):
    """A time in ISO 8601 is found in time shards."""
    table = kit.make(600, key=False)
    manifest = table.shard(tmp_path, {"strategy": "time", "shards": 6}, key=None)
    moment = table.rows["started_at"][77].as_py()
    place = locate(manifest, StoreFolder.at(tmp_path / "shards"), moment.isoformat())
    block = read_block(tmp_path / "shards" / place.path, place.block)
    assert block["started_at"][place.row].as_py() == moment
    assert locate(manifest, StoreFolder.at(tmp_path / "shards"), "not a time") is None


def test_without_key_and_column_nothing_can_be_located(kit, tmp_path):
    """Rows sharded by their place have no name: ConfigError with the remedy."""
    manifest = kit.make(300, key=False).shard(tmp_path, key=None)
    with pytest.raises(ConfigError) as caught:
        locate(manifest, StoreFolder.at(tmp_path / "shards"), "x")
    assert "dataset.key" in caught.value.remedy


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_sound_shards_have_no_problems(kit, tmp_path, pool, plan):
    """verify returns nothing on what shard wrote, in one process or several."""
    manifest = kit.make(900).shard(tmp_path, {"shards": 7, **plan})
    assert verify(manifest, StoreFolder.at(tmp_path / "shards"), LocalEngine(1)) == ()
    assert (
        verify(ShardManifest.read(tmp_path / "shards"), StoreFolder.at(tmp_path / "shards"), pool)
        == ()
    )


def _texts(manifest, folder) -> str:
    return " ".join(
        f"{problem.path}: {problem.text}"
        for problem in verify(manifest, StoreFolder.at(folder), LocalEngine(1))
    )


def test_flipped_bytes_are_problems(kit, tmp_path):
    """A flipped byte in a shard or a profile is named with its file, and no other is."""
    manifest = kit.make(600).shard(tmp_path, {"shards": 5})
    for name in ("shard-00002.parquet", "shard-00001.profile.json"):
        path = tmp_path / "shards" / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))
    found = verify(manifest, StoreFolder.at(tmp_path / "shards"), LocalEngine(1))
    assert sorted(problem.path for problem in found) == [
        "shard-00001.profile.json",
        "shard-00002.parquet",
    ]


def test_only_whole_shards_are_used_again(kit, tmp_path, pool):
    """Those of the key, by the hash of each file; another key, or a flipped byte: none."""
    manifest = replace(kit.make(600).shard(tmp_path, {"shards": 5}), key="rows and settings")
    (tmp_path / "shards" / "manifest.json").write_bytes(manifest.to_bytes())
    place = StoreFolder.at(tmp_path / "shards")
    assert sound_shards(place, manifest.key, pool) == manifest
    assert sound_shards(place, "another", pool) is None
    for name in ("shard-00002.parquet", "shard-00001.profile.json"):
        path, content = tmp_path / "shards" / name, (tmp_path / "shards" / name).read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert sound_shards(place, manifest.key, LocalEngine(1)) is None
        path.write_bytes(content)
    assert sound_shards(place, manifest.key, LocalEngine(1)) == manifest


def test_missing_files_are_problems(kit, tmp_path):
    """A missing shard or profile is a problem, not an exception."""
    manifest = kit.make(600).shard(tmp_path, {"shards": 5})
    (tmp_path / "shards/shard-00000.parquet").unlink()
    (tmp_path / "shards/shard-00003.profile.json").unlink()
    found = verify(manifest, StoreFolder.at(tmp_path / "shards"), LocalEngine(1))
    assert {problem.path for problem in found} == {
        "shard-00000.parquet",
        "shard-00003.profile.json",
    }


def _with_shard(kit, manifest, number, **changes):
    shards = list(manifest.shards)
    shards[number] = kit.replace(shards[number], **changes)
    return kit.replace(manifest, shards=tuple(shards))


def test_a_wrong_role_is_a_problem(kit, tmp_path):
    """A shard that claims another role than its rows' content gives them is found."""
    manifest = kit.make(900).shard(tmp_path, {"shards": 6, "holdout": {"by": "time"}})
    number = manifest.of(Role.TEST)[0].id
    wrong = _with_shard(kit, manifest, number, role=Role.TRAIN)
    assert "have another role" in _texts(wrong, tmp_path / "shards")


def test_a_wrong_bucket_is_a_problem(kit, tmp_path):
    """Rows that do not belong to their bucket are counted, hash or range."""
    for number, plan in enumerate(({}, {"strategy": "range", "by": "row"})):
        manifest = kit.make(900).shard(tmp_path / str(number), {"shards": 6, **plan})
        wrong = _with_shard(kit, manifest, 0, bucket=1)
        text = _texts(wrong, tmp_path / str(number) / "shards")
        assert f"{manifest.shards[0].file.rows} rows belong to another shard" in text
        assert "not numbered" in text


def test_wrong_ranges_are_problems(kit, tmp_path):
    """Rows outside the recorded range or times are found."""
    manifest = kit.make(900).shard(tmp_path, {"strategy": "range", "by": "row", "shards": 6})
    assert "outside the shard's range" in _texts(
        _with_shard(kit, manifest, 0, upper="3"), tmp_path / "shards"
    )
    assert "outside the shard's times" in _texts(
        _with_shard(kit, manifest, 0, time_from="2030-01-01T00:00:00"), tmp_path / "shards"
    )


def test_wrong_row_counts_are_problems(kit, tmp_path):
    """Blocks that differ from the manifest, and profiles that differ from the blocks."""
    manifest = kit.make(900).shard(tmp_path, {"shards": 4})
    entry = manifest.shards[0].file
    file = kit.replace(entry, blocks=(*entry.blocks[:-1], entry.blocks[-1] - 1))
    text = _texts(_with_shard(kit, manifest, 0, file=file), tmp_path / "shards")
    assert "has other blocks" in text
    assert "one profile for each block" in text


def test_the_manifest_is_plain_json(kit, tmp_path):
    """The manifest says how roles and buckets were decided, and holds no path of this machine."""
    kit.make(900).shard(tmp_path, {"shards": 4})
    text = (tmp_path / "shards/manifest.json").read_text()
    document = json.loads(text)
    assert document["holdout"]["by"] == "hash"
    assert document["by"] == "ride_id"
    assert str(tmp_path) not in text
