from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tidemill.orchestration.services import ManagedService
from tidemill.orchestration.supervisor import Supervisor

# A command with a child in a session of its own, as Prefect's worker may have them.
FAMILY = "setsid sleep 1000 & echo $! > other; echo $$ > self; exec sleep 1000"


def read_pid(path: Path) -> int:
    deadline = time.monotonic() + 10
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return int(path.read_text())


def family(folder: Path, command: str = FAMILY) -> ManagedService:
    return ManagedService("family", ("/bin/sh", "-c", command), folder, dict(os.environ))


def test_nothing_survives_the_supervisor(tmp_path, gone):
    """kill -9 of the supervising process ends the command and what the command started."""
    script = (
        "import os, sys, time; from pathlib import Path\n"
        "from tidemill.orchestration.services import ManagedService\n"
        "from tidemill.orchestration.supervisor import leashed\n"
        "folder = Path(sys.argv[1])\n"
        "command = ('/bin/sh', '-c', sys.argv[2])\n"
        "leashed(ManagedService('family', command, folder, dict(os.environ)), folder / 'log')\n"
        "time.sleep(1000)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), FAMILY],
        env={**os.environ, "PYTHONPATH": "platform"},
    )
    other, itself = read_pid(tmp_path / "other"), read_pid(tmp_path / "self")

    holder.kill()
    holder.wait()

    assert gone(itself)
    assert gone(other)


def test_orphans_that_end_leave_no_zombies(supervisor, tmp_path):
    """Grandchildren whose parent is gone are the leash's: it asks how they ended meanwhile."""
    orphans = "for n in 1 2 3; do setsid sh -c 'sleep 0.2 & exit' & done; wait; echo $$ > self; "
    supervisor.start(family(tmp_path, orphans + "exec sleep 1000"))
    read_pid(tmp_path / "self")
    leash = psutil.Process(supervisor._children["family"].process.pid)

    def left() -> list[str]:
        return [child.status() for child in leash.children(recursive=True)]

    tend_until(supervisor, lambda: len(left()) == 1)
    assert left() == [psutil.STATUS_SLEEPING]
    assert leash.status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def supervisor(tmp_path):
    """A supervisor in a process of its own would be true to life; here it is this one."""
    lines: list[str] = []
    with Supervisor(tmp_path / "logs", lines.append, grace_seconds=0.3) as found:
        found.lines = lines
        yield found


def tend_until(supervisor, condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, supervisor.lines
        supervisor.tend()
        time.sleep(0.05)


@pytest.mark.parametrize("victim", ["command", "leash"])
def test_what_dies_is_started_again(supervisor, tmp_path, gone, victim):
    """A service whose command, or whose leash, is killed runs again, and nothing is left over."""
    supervisor.start(family(tmp_path))
    first, other = read_pid(tmp_path / "self"), read_pid(tmp_path / "other")
    (tmp_path / "self").unlink()
    leash = supervisor._children["family"].process.pid

    os.kill(first if victim == "command" else leash, signal.SIGKILL)

    tend_until(supervisor, (tmp_path / "self").exists)
    assert read_pid(tmp_path / "self") != first
    assert gone(first)
    assert gone(other)
    assert supervisor.lines
    assert "family ended" in supervisor.lines[0]


def test_closing_leaves_no_process(supervisor, tmp_path, gone):
    """Stopping ends commands that ignore SIGTERM, too."""
    supervisor.start(family(tmp_path, "trap '' TERM; " + FAMILY.replace("exec ", "")))
    itself, other = read_pid(tmp_path / "self"), read_pid(tmp_path / "other")

    supervisor.close()

    assert gone(itself, seconds=0.5)
    assert gone(other, seconds=0.5)


def test_the_pause_grows_with_every_death(supervisor, tmp_path):
    """A command that cannot live is not started in a busy loop."""
    supervisor.start(family(tmp_path, "exit 3"))

    tend_until(supervisor, lambda: len(supervisor.lines) == 2)

    assert "exit code 3); starting it again in 1 s" in supervisor.lines[0]
    assert "in 2 s" in supervisor.lines[1]
