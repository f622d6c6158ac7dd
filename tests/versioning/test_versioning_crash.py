"""What killed processes leave, and that the next run mends it."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess

import pytest

from tidemill.errors import IntegrityError, WorkspaceBusy
from tidemill.testing.forks import forked_commands
from tidemill.versioning import Versions, read_lock, repair, write_dvc_yaml

CLEAN = "Data and pipelines are up to date."


@pytest.mark.parametrize("nth", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_killed_while_dvc_writes_its_lock(workspace, pipeline, start, shell, nth):
    """Killed with dvc.lock emptied: what was committed before stays, the rest runs again."""
    killed = start(workspace, "/dvc.lock", str(nth), check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (workspace / "dvc.lock").read_bytes() == b""
    assert shell(workspace, "dvc", "status", check=False).returncode != 0
    with pytest.raises(IntegrityError, match="damaged"):
        Versions(workspace).is_current("shard")
    assert pipeline.run(workspace) == [["shard", "train"], ["train"]][nth - 1]
    assert CLEAN in shell(workspace, "dvc", "status")


@pytest.mark.parametrize("nth", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4))])
def test_killed_while_dvc_writes_its_process_lock(workspace, pipeline, start, shell, nth):
    """A torn .dvc/tmp/rwlock blocks DVC for ever; the next run removes it."""
    killed = start(workspace, "/.dvc/tmp/rwlock", str(nth), check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (workspace / ".dvc/tmp/rwlock").read_bytes() == b""
    assert shell(workspace, "dvc", "commit", "-f", check=False).returncode != 0
    pipeline.run(workspace)
    assert pipeline.run(workspace) == []
    assert CLEAN in shell(workspace, "dvc", "status")


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.7, 0.9, 0.97, 1.0])
def test_torn_at_any_place_with_a_commit_under_way(workspace, pipeline, cut):
    """A marked commit is undone, even where the torn file is valid YAML."""
    pipeline.run(workspace)
    last = (workspace / "dvc.lock").read_bytes()
    (workspace / ".tidemill/dvc.lock.writing").touch()
    torn = last.replace(b"depth: 3", b"depth: 9")
    (workspace / "dvc.lock").write_bytes(torn[: int(len(torn) * cut)])
    assert repair(workspace) != ()
    assert (workspace / "dvc.lock").read_bytes() == last
    assert repair(workspace) == ()


def test_torn_by_somebody_else(workspace, pipeline):
    """Without a mark of ours a file that is not whole is restored, one that is whole stays."""
    pipeline.run(workspace)
    lock = workspace / "dvc.lock"
    last = lock.read_bytes()
    for torn in (b"", b"schema", last[:-9], last[: last.index(b"md5: ") + 12], b"\xff\xfe"):
        lock.write_bytes(torn)
        assert repair(workspace) != (), torn
        assert lock.read_bytes() == last
    edited = last.replace(b"depth: 3", b"depth: 9")
    lock.write_bytes(edited)
    assert repair(workspace) == ()
    assert lock.read_bytes() == edited


@pytest.mark.parametrize(
    "change",
    [
        (b"schema: '2.0'", b"schema: '9.9'"),
        (b"    params:\n", b"    params: 3\n    x:\n"),
        (b"    deps:\n", b"    depths:\n"),
        (b"stages:\n", b"stages: []\nx:\n"),
    ],
)
def test_what_dvc_would_refuse_is_restored(workspace, pipeline, change):
    """Whole YAML with a wrong key or type would stop every command of DVC's."""
    pipeline.run(workspace)
    lock = workspace / "dvc.lock"
    last = lock.read_bytes()
    assert change[0] in last
    lock.write_bytes(last.replace(*change, 1))
    assert "restored" in repair(workspace)[0]
    assert lock.read_bytes() == last
    running = workspace / ".dvc/tmp/rwlock"
    running.write_text('{"read": [], "write": {"x": 5}}')
    assert "rwlock" in repair(workspace)[0]
    assert pipeline.run(workspace) == []


def test_a_dvc_yaml_that_is_no_mapping_is_written_anew(workspace, pipeline):
    """Valid YAML of another kind."""
    path = workspace / "dvc.yaml"
    whole = path.read_bytes()
    for other in ("- a\n", "3\n", "stages: 3\n"):
        path.write_text(other)
        assert write_dvc_yaml(workspace, pipeline.document())
        assert path.read_bytes().endswith(whole[whole.index(b"stages:") :])


def test_torn_without_a_copy_is_dropped(workspace, pipeline):
    """Nothing to restore: the lock goes, and every stage counts as not run."""
    pipeline.run(workspace)
    (workspace / ".tidemill/dvc.lock.last").unlink()
    (workspace / "dvc.lock").write_bytes(b"schema: '2")
    assert "deleted" in repair(workspace)[0]
    assert read_lock(workspace) == {}
    assert pipeline.run(workspace) == ["shard", "train"]


GUARD = """
import sys
from dvc.lock import make_lock
with make_lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def guard(tmp_path, tmp_path_factory):
    """Starts a process that holds DVC's lock until it reads a line."""
    script = tmp_path / "guard.py"
    script.write_text(GUARD)
    with forked_commands(tmp_path_factory.getbasetemp()) as programs:
        yield lambda lock: subprocess.Popen(
            [programs / "forked-python", script, lock],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


@pytest.mark.slow
def test_a_lock_file_that_dvc_is_writing_is_left_alone(workspace, pipeline, guard):
    """What looks torn while its guard is held belongs to a living process: we are busy."""
    pipeline.run(workspace)
    (workspace / ".dvc/tmp/rwlock").write_text('{"wri')
    other = guard(workspace / ".dvc/tmp/rwlock.lock")
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(WorkspaceBusy):
            repair(workspace)
        assert (workspace / ".dvc/tmp/rwlock").exists()
    finally:
        other.communicate("\n")
    assert repair(workspace) != ()
    assert not (workspace / ".dvc/tmp/rwlock").exists()


def walk(workspace, pipeline, start, shell, steps):
    """Kill a fresh run at each of these writes; False as soon as one lies behind its end."""
    for step in steps:
        root = workspace.with_name(f"killed{step}")
        shutil.copytree(workspace, root)
        killed = start(root, f"/{root.name}/", str(step), check=False)
        assert killed.returncode in (0, -signal.SIGKILL)
        start(root)
        assert pipeline.run(root) == []
        assert CLEAN in shell(root, "dvc", "status")
        assert (root / "models/model.txt").read_text() == "3\n"
        if killed.returncode == 0:
            return False
    return True


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_every_write(workspace, pipeline, start, shell):
    """kill -9 at each write, rename and removal of a run: the next run ends undisturbed."""
    assert not walk(workspace, pipeline, start, shell, range(1, 200))


@pytest.mark.parametrize("count", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_killed_at_some_writes(workspace, pipeline, start, shell, count):
    """The same at one of them or a few, drawn by a seed."""
    assert walk(workspace, pipeline, start, shell, random.Random(3).sample(range(8, 40), count))
