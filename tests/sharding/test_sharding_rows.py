"""Every row lands in exactly one shard, and the bytes depend on rows and settings alone."""

from __future__ import annotations

import tempfile
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.engines import LocalEngine
from tidemill.errors import IntegrityError, TooFewRows
from tidemill.profiling import Profile, fold
from tidemill.schema import Role
from tidemill.sharding import verify
from tidemill.storage import BlockWriter, ShardManifest, StoreFolder, read_blocks, read_json

PLANS = [
    {"strategy": "hash"},
    {"strategy": "hash", "by": "zone", "shards": 6},
    {"strategy": "range", "by": "fare", "holdout": {"by": "order"}},
    {"strategy": "range", "by": "row", "holdout": {"by": "hash"}},
    {"strategy": "range", "by": "zone", "holdout": {"by": "stratified"}},
    {"strategy": "range", "by": "ride_id"},
    {"strategy": "range", "by": "night", "shards": 6},
    {"strategy": "time", "holdout": {"by": "time"}},
    {"strategy": "time", "holdout": {"by": "order", "test": 300}},
    {"strategy": "time", "holdout": {"by": "file", "test": "2024-03*"}},
    {"strategy": "hash", "holdout": {"by": "stratified", "validation": 0.0}},
]


def _named(plan: dict) -> str:
    return "-".join([plan["strategy"], plan.get("by", ""), plan.get("holdout", {}).get("by", "")])


@pytest.mark.parametrize("plan", PLANS, ids=_named)
def test_every_row_is_in_exactly_one_shard(kit, tmp_path, plan):
    """The rows of all shards together are the rows of the table, each once and unchanged."""
    table = kit.make(1000)
    config = {"shards": 9, "block_rows": 64, **plan}
    manifest = table.shard(tmp_path, config)
    whole = pa.concat_tables(kit.rows_by_shard(manifest, tmp_path / "shards"))
    assert whole.sort_by("row").equals(kit.decoded(table.rows))
    assert manifest == ShardManifest.read(tmp_path / "shards")
    assert not (tmp_path / "work").exists()


@settings(
    max_examples=settings.default.max_examples * 3 // 20,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    plan=st.sampled_from(PLANS),
    rows=st.integers(600, 900),
    parts=st.integers(3, 6),
    blocks=st.integers(1, 400),
    seed=st.integers(0, 3),
    time=st.booleans(),
)
def test_rows_and_bytes_do_not_depend_on_the_cut(kit, pool, plan, rows, parts, blocks, seed, time):
    """However blocks are cut and whoever works, each row has one place and files are the same."""
    if not time and (plan["strategy"] == "time" or plan.get("holdout", {}).get("by") == "time"):
        plan = PLANS[0]
    config = {"shards": 7, **plan}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        # By file, parts are part of the question; otherwise they may be cut anywhere.
        other = parts if plan.get("holdout", {}).get("by") == "file" else 3
        first = kit.make(rows, parts=parts, block_rows=max(blocks, 8), seed=seed, time=time)
        second = kit.make(rows, parts=other, block_rows=200, seed=seed, time=time)
        one = first.shard(base / "one", config)
        two = second.shard(base / "two", config, engine=pool)
        numbers = sorted(chain.from_iterable(kit.role_rows(one, base / "one/shards").values()))
        assert numbers == list(range(rows))
        assert kit.hashes(one) == kit.hashes(two)
        assert (base / "one/shards/manifest.json").read_bytes() == (
            base / "two/shards/manifest.json"
        ).read_bytes()


class BackwardsEngine:
    """Works on the last item first and answers in order, as a cluster may."""

    def map(self, function, items, *, label, progress=None):
        return list(reversed([function(item) for item in reversed(items)]))


@pytest.mark.parametrize(
    ("time", "rows"),
    [
        pytest.param(True, 1000, id="source order"),
        pytest.param(True, 2000, id="source order, more rows", marks=pytest.mark.slow),
        pytest.param(False, 2000, id="dealt order, more rows", marks=pytest.mark.slow),
    ],
)
def test_order_of_work_does_not_show(kit, tmp_path, monkeypatch, time, rows):
    """Many pieces worked on backwards or forwards leave the same files."""
    monkeypatch.setattr("tidemill.sharding.pieces._PIECE_BYTES", 1)
    table = kit.make(rows, time=time)
    config = {"shards": 5}
    one = table.shard(tmp_path / "one", config)
    two = table.shard(tmp_path / "two", config, engine=BackwardsEngine())
    assert kit.hashes(one) == kit.hashes(two)


@pytest.mark.parametrize(
    ("rows", "block_rows"), [(500, 23), pytest.param(900, 17, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("by", ["hash", "stratified"])
def test_without_a_key_the_cut_does_not_show(kit, tmp_path, monkeypatch, by, rows, block_rows):
    """Rows are known by their number in their file: blocks, pieces and workers change nothing."""
    config = {"shards": 5, "holdout": {"by": by}}
    first, second = (kit.make(rows, key=False, time=False, block_rows=n) for n in (200, block_rows))
    one = first.shard(tmp_path / "one", config, key=None)
    monkeypatch.setattr("tidemill.sharding.pieces._PIECE_BYTES", 1)
    two = second.shard(tmp_path / "two", config, key=None, engine=BackwardsEngine())
    assert kit.hashes(one) == kit.hashes(two)
    assert verify(one, StoreFolder.at(tmp_path / "one" / "shards"), LocalEngine(1)) == ()


@pytest.mark.parametrize("rows", [1000, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("time", [True, False], ids=["source order", "dealt order"])
def test_sizes_of_pieces_and_frames_do_not_show(kit, tmp_path, monkeypatch, time, rows):
    """Many small pieces, few that were merged from runs, and short frames leave the same files."""
    table = kit.make(rows, time=time)
    one = table.shard(tmp_path / "one", {"shards": 5})
    monkeypatch.setattr("tidemill.sharding.pieces._PIECE_BYTES", 1)
    monkeypatch.setattr("tidemill.storage.piece_writer._FRAME_ROWS", 7)
    for base, pieces in ((tmp_path / "many", 256), (tmp_path / "merged", 3)):
        monkeypatch.setattr("tidemill.storage.exchange.FAN_IN", pieces)
        assert kit.hashes(table.shard(base, {"shards": 5})) == kit.hashes(one)


def test_source_order_is_kept_where_there_is_time(kit, tmp_path):
    """With a time column, rows of a hash shard keep source order: blocks are slices of time."""
    manifest = kit.make(1000).shard(tmp_path, {"shards": 4})
    for rows in kit.rows_by_shard(manifest, tmp_path / "shards"):
        numbers = rows["row"].to_pylist()
        assert numbers == sorted(numbers)


def test_rows_are_dealt_where_there_is_no_time(kit, tmp_path, monkeypatch):
    """Without one, blocks are fair draws, also when a shard is ordered group by group."""
    table = kit.make(4000, time=False)
    whole = table.shard(tmp_path / "whole", {"shards": 4, "block_rows": 256})
    for rows in kit.rows_by_shard(whole, tmp_path / "whole/shards"):
        numbers = rows["row"].to_numpy()
        assert abs(np.corrcoef(numbers, np.arange(len(numbers)))[0, 1]) < 0.15
    monkeypatch.setattr("tidemill.sharding.plan._GROUP_BYTES", 10_000)
    grouped = table.shard(tmp_path / "grouped", {"shards": 4, "block_rows": 256})
    assert kit.hashes(whole) == kit.hashes(grouped)


def test_a_column_may_have_the_name_of_the_order(kit, tmp_path):
    """What rows are dealt by stands beside the data, whatever their columns are called."""
    table = kit.make(600, time=False)
    plain = kit.role_rows(table.shard(tmp_path / "plain"), tmp_path / "plain/shards")
    schema = table.manifest.schema
    named = [kit.replace(c, name="__order") if c.name == "fare" else c for c in schema.columns]
    files = []
    for part in table.manifest.parts:
        read = pa.concat_tables(read_blocks(table.folder / part.file.path))
        with BlockWriter(
            table.folder / f"named-{part.file.path}",
            kit.replace(schema, columns=tuple(named)).arrow_schema(),
            block_rows=64,
        ) as writer:
            writer.write(read.rename_columns([c.name for c in named]))
            files.append(kit.replace(part, file=writer.close()))
    table.manifest = kit.replace(
        table.manifest, schema=kit.replace(schema, columns=tuple(named)), parts=tuple(files)
    )
    again = table.shard(tmp_path / "named")
    assert kit.role_rows(again, tmp_path / "named/shards") == plain


def test_blocks_have_profiles(kit, tmp_path):
    """A shard's profile file holds one profile a block, equal to that of the block's rows."""
    table = kit.make(3000)
    manifest = table.shard(tmp_path, {"shards": 4, "block_rows": 100})
    for entry in manifest.shards:
        documents = read_json(tmp_path / "shards" / entry.profile)
        blocks = list(read_blocks(tmp_path / "shards" / entry.file.path))
        assert [block.num_rows for block in blocks] == list(entry.file.blocks)
        assert documents == [Profile.of(block, manifest.schema).to_json() for block in blocks]
        assert fold(Profile.from_json(d) for d in documents).rows == entry.file.rows


def test_auto_blocks_are_many_and_even(kit, tmp_path):
    """block_rows: auto gives a role 64 blocks of nearly equal size where rows allow."""
    manifest = kit.make(30_000, parts=2, block_rows=9000).shard(tmp_path, {"shards": 5})
    train = [rows for shard in manifest.of(Role.TRAIN) for rows in shard.file.blocks]
    assert 64 <= len(train) <= 70
    assert min(train) > 0.9 * max(train)
    test = [rows for shard in manifest.of(Role.TEST) for rows in shard.file.blocks]
    assert max(test) <= 256


def test_stated_block_rows_are_exact(kit, tmp_path):
    """A stated block_rows is the size of every block of a shard but the last."""
    manifest = kit.make(1000).shard(tmp_path, {"shards": 3, "block_rows": 64})
    for shard in manifest.shards:
        assert set(shard.file.blocks[:-1]) <= {64}


def test_number_of_shards_is_as_asked(kit, tmp_path):
    """shards: N is the number in all, dealt by rows, at least one for each role."""
    table = kit.make(3000)
    assert len(table.shard(tmp_path / "a", {"shards": 10}).shards) == 10
    roles = [entry.role for entry in table.shard(tmp_path / "b", {"shards": 1}).shards]
    assert roles == [Role.TRAIN, Role.VALIDATION, Role.TEST]


def test_auto_shards_follow_size(kit, tmp_path):
    """shards: auto aims at shard_mb and never depends on the engine."""
    table = kit.make(2000)
    parts = tuple(
        kit.replace(part, file=kit.replace(part.file, bytes=1 << 30))
        for part in table.manifest.parts
    )
    table.manifest = kit.replace(table.manifest, parts=parts)
    manifest = table.shard(tmp_path, {"shard_mb": 128, "holdout": {"test": 0.25}})
    assert [len(manifest.of(role)) for role in Role] == [17, 2, 6]


def test_more_shards_than_rows_are_refused(kit, tmp_path):
    """More shards than rows: TooFewRows with both numbers and a remedy; nothing is written."""
    with pytest.raises(TooFewRows) as caught:
        kit.make(50).shard(tmp_path, {"shards": 51})
    assert caught.value.fields == {"shards": 51, "rows": 50}
    assert "sharding.shards" in caught.value.remedy
    assert not (tmp_path / "shards").exists()


def test_a_bucket_without_rows_has_no_shard(kit, tmp_path):
    """Sharding by five zones into forty buckets leaves at most six shards a role, numbered on."""
    manifest = kit.make(1000).shard(tmp_path, {"by": "zone", "shards": 40})
    assert [shard.id for shard in manifest.shards] == list(range(len(manifest.shards)))
    assert all(len(manifest.of(role)) <= 6 for role in Role)


def test_ranges_balance_rows(kit, tmp_path):
    """Range shards of one role hold about equal rows and disjoint, ascending ranges."""
    manifest = kit.make(5000).shard(tmp_path, {"strategy": "range", "by": "fare", "shards": 12})
    train = manifest.of(Role.TRAIN)
    rows = [shard.file.rows for shard in train]
    # The last one also holds the 5% of rows without a fare.
    assert max(rows[:-1]) - min(rows[:-1]) < 10
    for left, right in pairwise(train):
        assert float(left.upper) < float(right.lower)


def test_ranges_balance_the_rows_of_each_role(kit, tmp_path):
    """Boundaries of a role come from its own rows, wherever they lie in the parts."""
    config = {"strategy": "range", "by": "row", "shards": 12, "holdout": {"by": "order"}}
    manifest = kit.make(3000).shard(tmp_path, config)
    for role in Role:
        rows = [shard.file.rows for shard in manifest.of(role)]
        assert max(rows) - min(rows) <= 1
    assert len(manifest.shards) == 12


def test_sampled_ranges_balance_rows(kit, tmp_path, monkeypatch):
    """Boundaries from a sample of a tenth of the rows still balance rows within a tenth."""
    monkeypatch.setattr("tidemill.sharding.survey.SAMPLE_ROWS", 4000)
    table = kit.make(40_000, block_rows=4096)
    manifest = table.shard(tmp_path, {"strategy": "range", "by": "row", "shards": 8})
    rows = [shard.file.rows for shard in manifest.of(Role.TRAIN)]
    assert len(rows) > 3
    assert max(rows) < 1.15 * min(rows)


def test_rows_without_a_sharding_value_go_to_the_last_range(kit, tmp_path):
    """Nulls of the sharding column lie in the last bucket of their role."""
    manifest = kit.make(2000).shard(tmp_path, {"strategy": "range", "by": "fare", "shards": 9})
    last = {shard.role: shard.id for shard in manifest.shards}
    for shard, rows in zip(
        manifest.shards, kit.rows_by_shard(manifest, tmp_path / "shards"), strict=True
    ):
        assert (rows["fare"].null_count > 0) == (shard.id == last[shard.role])


def test_times_of_shards_are_recorded(kit, tmp_path):
    """time_from and time_to are the first and last time of the shard's rows."""
    manifest = kit.make(1000).shard(tmp_path, {"shards": 4})
    for shard, rows in zip(
        manifest.shards, kit.rows_by_shard(manifest, tmp_path / "shards"), strict=True
    ):
        limits = pc.min_max(rows["started_at"])
        assert shard.time_from == limits["min"].as_py().isoformat(timespec="microseconds")
        assert shard.time_to == limits["max"].as_py().isoformat(timespec="microseconds")


def test_a_flipped_byte_in_the_input_is_refused(kit, tmp_path):
    """A part that is not what its manifest recorded: IntegrityError, nothing written."""
    table = kit.make(500)
    path = table.folder / table.manifest.parts[1].file.path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    for config in ({}, {"strategy": "time", "holdout": {"by": "time"}}):
        with pytest.raises(IntegrityError, match="part-00001"):
            table.shard(tmp_path, config)
    assert not (tmp_path / "shards").exists()


def test_a_sound_file_that_is_another_is_refused(kit, tmp_path):
    """A part replaced by good Parquet with other rows: IntegrityError, whatever the plan reads."""
    table, other = kit.make(600), kit.make(600, seed=1)
    name = table.manifest.parts[1].file.path
    (table.folder / name).write_bytes((other.folder / name).read_bytes())
    for config in ({}, {"strategy": "time", "holdout": {"by": "time"}}):
        with pytest.raises(IntegrityError, match="part-00001"):
            table.shard(tmp_path, config)


def test_progress_counts_pieces_and_shards(kit, tmp_path):
    """Progress rises by one and ends at its total."""
    seen = []
    kit.make(500, parts=3).shard(tmp_path, {"shards": 5}, progress=lambda *step: seen.append(step))
    assert [finished for finished, _ in seen] == list(range(1, 9))
    assert seen[-1] == (8, 8)


def test_a_part_without_rows_is_no_matter(kit, tmp_path):
    """A split whose rows were all refused leaves an empty part, and the others are sharded."""
    table = kit.make(300, parts=1)
    empty = kit.make(0, parts=1)
    (empty.folder / "part-00000.parquet").rename(table.folder / "empty.parquet")
    entry = kit.replace(empty.manifest.parts[0].file, path="empty.parquet")
    part = kit.replace(empty.manifest.parts[0], file=entry)
    table.manifest = kit.replace(table.manifest, parts=(part, *table.manifest.parts))
    manifest = table.shard(tmp_path, {"strategy": "time", "holdout": {"by": "time"}})
    assert sum(manifest.rows(role) for role in Role) == 300


def test_an_engine_of_one_and_of_two_agree(kit, tmp_path):
    """One process or a pool: the same files."""
    table = kit.make(1500, parts=4)
    with LocalEngine(2) as engine:
        two = table.shard(tmp_path / "two", {"shards": 6}, engine=engine)
    assert kit.hashes(two) == kit.hashes(table.shard(tmp_path / "one", {"shards": 6}))
