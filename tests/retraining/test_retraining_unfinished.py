"""A retraining that failed for good: its rows come back with the next, and are learnt from once."""

from __future__ import annotations

import shutil
from collections import Counter

import pyarrow as pa
import pytest

from tidemill.engines import LocalEngine
from tidemill.errors import StorageFailed
from tidemill.sharding import verify
from tidemill.storage import ShardManifest, StoreFolder, Workspace, read_blocks
from tidemill.storage.live_sets import live_sets
from tidemill.testing.workspaces import copy_workspace
from tidemill.versioning import Versions


def appended_times(root):
    """The times of all live rows that the shards hold."""
    shards = root / "data" / "shards"
    return [
        time
        for shard in ShardManifest.read(shards).shards
        if shard.origin
        for part in read_blocks(shards / shard.file.path)
        for time in part["requested_at"].to_pylist()
    ]


def fails_in(step):
    """Runs the steps before the named one, at which the disk is full."""

    def execute(name, call):
        if name == step:
            raise StorageFailed("the disk is full", remedy="make room")
        return call()

    return execute


def test_what_an_unfinished_retraining_appended_is_taken_out(root, live, again):
    """The next one, stopped as well, has appended its rows and those of the first once."""
    old, new = live(root, 300), live(root, 500, seed=1)
    with pytest.raises(StorageFailed):
        again(root, old, "d1", execute=fails_in("teach"))
    before = appended_times(root)
    with pytest.raises(StorageFailed):
        again(root, pa.concat_tables([old, new]), "d2", execute=fails_in("teach"))
    assert [found.name for found in live_sets(Workspace.at(root))] == ["0002-d2"]
    assert ShardManifest.read(root / "data" / "shards").appended == ("0002-d2",)
    after = Counter(appended_times(root))
    assert len(before) < after.total() < 800
    assert after <= Counter([*old["at"].to_pylist(), *new["at"].to_pylist()])


@pytest.mark.slow
def test_what_an_unfinished_retraining_appended_is_not_appended_again(root, live, again):
    """The next one has its rows among its own: each is in the shards once, and none is missing."""
    old, new = live(root, 300), live(root, 500, seed=1)

    with pytest.raises(StorageFailed):
        again(root, old, "d1", execute=fails_in("teach"))
    assert [found.name for found in live_sets(Workspace.at(root))] == ["0001-d1"]

    outcome = again(root, pa.concat_tables([old, new]), "d2")
    assert [found.name for found in live_sets(Workspace.at(root))] == ["0002-d2"]
    assert ShardManifest.read(root / "data" / "shards").appended == ("0002-d2",)
    assert len(appended_times(root)) == outcome.facts["rows_learn"]
    assert outcome.facts["rows_learn"] + outcome.facts["rows_proof"] == 800
    said = {run.result.stage: run.result.warnings for run in outcome.stages}
    assert said["append"] == (
        "the live rows of 0001-d1 are taken out: that retraining did not finish",
    )
    shards = root / "data" / "shards"
    with LocalEngine(1) as engine, Versions(root) as versions:
        assert verify(ShardManifest.read(shards), StoreFolder.at(shards), engine) == ()
        assert versions.is_current("shard")

    third = live(root, 300, seed=2)
    again(root, third, "d3")
    assert [found.name for found in live_sets(Workspace.at(root))] == ["0002-d2", "0003-d3"]


@pytest.fixture(scope="module")
def after_one(finished, live, again, tmp_path_factory):
    """A workspace after the retraining d1 of 300 rows, and how that ended; take a copy."""
    root = copy_workspace(finished, tmp_path_factory.mktemp("after") / "ws")
    return root, again(root, live(root, 300), "d1")


@pytest.mark.slow
def test_sets_of_a_workspace_whose_receipts_are_gone_stay(after_one, tmp_path, live, again):
    """A copy of the data without .tidemill: nothing says that they are unfinished."""
    root = copy_workspace(after_one[0], tmp_path / "ws")
    shutil.rmtree(root / ".tidemill" / "retrain")
    again(root, live(root, 300, seed=1), "d2")
    assert [found.name for found in live_sets(Workspace.at(root))] == ["0001-d1", "0002-d2"]


@pytest.mark.slow
def test_rows_of_a_finished_retraining_are_not_learnt_again(after_one, tmp_path, live, again):
    """Also where the ledger thinks that it failed, and gives its rows to the next decision."""
    made, first = after_one
    root = copy_workspace(made, tmp_path / "ws")
    old, new = live(made, 300), live(made, 500, seed=1)
    second = again(root, pa.concat_tables([old, new]), "d2")
    times = appended_times(root)
    assert len(times) == first.facts["rows_learn"] + second.facts["rows_learn"]
    assert len(times) < 800
    said = {run.result.stage: run.result.facts for run in second.stages}
    assert said["gather"]["learnt before"] == first.facts["rows_learn"]
