"""One writer to a workspace, and where everything lies in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tidemill.errors import WorkspaceBusy
from tidemill.storage import Workspace, workspace_lock

HOLDER = """
import sys, time
sys.path.insert(0, {platform!r})
from tidemill.storage import Workspace, workspace_lock
with workspace_lock(Workspace.at({root!r})):
    print("held", flush=True)
    time.sleep({seconds})
"""


def _holder(root: Path, seconds: float) -> subprocess.Popen[bytes]:
    platform = str(Path(__file__).parents[2] / "platform")
    code = HOLDER.format(platform=platform, root=str(root), seconds=seconds)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_second_process_is_refused_and_told_who_holds(tmp_path):
    """Another process holds the workspace: WorkspaceBusy, exit code 75, with its pid."""
    with _holder(tmp_path, 60) as process:
        with pytest.raises(WorkspaceBusy) as caught, workspace_lock(Workspace.at(tmp_path)):
            pass
        process.kill()
    assert caught.value.fields["holder"] == str(process.pid)
    assert caught.value.exit_code == 75
    assert "--wait" in caught.value.remedy


def test_a_lock_dies_with_its_holder(tmp_path):
    """kill -9 of the holder frees the workspace at once."""
    with _holder(tmp_path, 60) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with workspace_lock(Workspace.at(tmp_path)):
        assert (tmp_path / ".tidemill" / "lock").read_text() == f"{os.getpid()}\n"


def test_what_a_killed_writer_left_is_swept(tmp_path):
    """Files under the names of our temporaries, where only the holder writes; no others."""
    stale = f".manifest.json.{'0a' * 16}.tmp"
    swept = [tmp_path / folder / stale for folder in ("data/shards", "models", ".tidemill/work/x")]
    kept = [tmp_path / "data" / "mine.tmp", tmp_path / stale, tmp_path / ".tidemill" / stale]
    for path in (*swept, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    with workspace_lock(Workspace.at(tmp_path)):
        assert [path.exists() for path in swept] == [False] * 3
        assert [path.exists() for path in kept] == [True] * 3


def test_waiting_gets_the_lock(tmp_path):
    """With wait_seconds the second process gets the workspace when the first is done."""
    with _holder(tmp_path, 0.5):
        began = time.monotonic()
        with workspace_lock(Workspace.at(tmp_path), wait_seconds=30):
            assert time.monotonic() - began < 20


def test_a_lock_is_given_back(tmp_path):
    """Leaving the block frees the workspace, also after an error; inside, it is exclusive."""
    workspace = Workspace.at(tmp_path)
    with workspace_lock(workspace), pytest.raises(WorkspaceBusy), workspace_lock(workspace):
        pass
    with pytest.raises(ZeroDivisionError), workspace_lock(workspace):
        raise ZeroDivisionError
    with workspace_lock(workspace):
        pass


def test_places_lie_under_the_root(tmp_path):
    """Every place is inside the workspace; work is outside the outputs that DVC tracks."""
    workspace = Workspace.at(tmp_path)
    names = [name for name in dir(Workspace) if isinstance(getattr(Workspace, name), property)]
    places = [getattr(workspace, name) for name in names]
    assert len(set(places)) == len(places)
    assert all(place.is_relative_to(tmp_path) for place in places)
    assert workspace.work("shard", "key").is_relative_to(workspace.hidden)
