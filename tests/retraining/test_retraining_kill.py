"""kill -9 in the middle of a retraining: the same again goes on, and all is as if undisturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tidemill.engines import LocalEngine
from tidemill.sharding import verify
from tidemill.storage import ShardManifest, StoreFolder, Workspace
from tidemill.storage.live_sets import live_sets
from tidemill.testing.workspaces import copy_workspace
from tidemill.tracking import Registry, Tracker
from tidemill.versioning import Versions, version_notes

HERE = Path(__file__).parent


def run(root, rows, kill_at=None):
    """One process; its exit code and what it printed."""
    words = [
        str(HERE / "run_killed.py"),
        str(root),
        str(rows),
        *([str(kill_at)] if kill_at else []),
    ]
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1] / "platform")},
    )
    said = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, said


@pytest.fixture(scope="module")
def undisturbed(finished, live, tmp_path_factory):
    """The labelled rows, and one retraining that nothing disturbed."""
    folder = tmp_path_factory.mktemp("killed")
    rows = folder / "rows.parquet"
    pq.write_table(live(finished, 900), rows)
    code, said = run(copy_workspace(finished, folder / "ws"), rows)
    assert code == 0
    return rows, said


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.65, 0.8, 0.9, 0.97])
def test_a_killed_retraining_goes_on(share, undisturbed, finished, tmp_path):
    """Killed at some change of a file: one set, one version, sound shards, the same model."""
    rows, expected = undisturbed
    root = copy_workspace(finished, tmp_path / "ws")
    code, _ = run(root, rows, int(expected["changes"] * share))
    assert code == -signal.SIGKILL
    code, said = run(root, rows)
    assert code == 0

    same = set(expected["facts"]) - {"run_id"}
    assert {k: said["facts"][k] for k in same} == {k: expected["facts"][k] for k in same}
    registry = Registry(Tracker(f"sqlite:///{root}/mlflow.db", "rides"))
    assert [v.version for v in registry.versions("rides")] == [1, 2]
    assert registry.champion("rides").version == 2
    assert [live.name for live in live_sets(Workspace.at(root))] == ["0001-d1"]
    assert len(version_notes(root)) == 1
    shards = root / "data" / "shards"
    with LocalEngine(1) as engine, Versions(root) as versions:
        assert verify(ShardManifest.read(shards), StoreFolder.at(shards), engine) == ()
        assert versions.is_current("shard")
