"""The engine of one machine keeps the contract, and survives its workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tidemill.engines import LocalEngine
from tidemill.errors import WorkerLost
from tidemill.testing.engines import EngineContract


class TestLocalEngineInProcess(EngineContract):
    """One worker: everything happens in this process."""

    @pytest.fixture
    def engine(self):
        return LocalEngine(1)

    def test_it_starts_no_process(self, engine):
        """With one worker the function runs here."""
        assert engine.map(_pid, [1, 2, 3], label="pids") == [os.getpid()] * 3


@pytest.fixture(scope="module")
def pool():
    with LocalEngine(2) as engine:
        yield engine


class TestLocalEnginePool(EngineContract):
    """Two workers: a pool of processes."""

    @pytest.fixture
    def engine(self, pool):
        return pool

    def test_the_pool_serves_all_maps(self, engine):
        """The same worker processes answer map after map, none of them this one."""
        first = set(engine.map(_slow_pid, list(range(6)), label="pids"))
        second = set(engine.map(_slow_pid, list(range(6)), label="pids"))
        assert os.getpid() not in first | second
        assert len(first | second) <= 2

    def test_workers_compute_in_one_thread(self, engine):
        """BLAS in a worker has one thread, so that results do not depend on the machine."""
        counts = engine.map(_blas_threads, [1, 2], label="threads")
        assert counts == [[1] * len(counts[0])] * 2
        assert counts[0]


def _pid(_: int) -> int:
    return os.getpid()


def _slow_pid(_: int) -> int:
    time.sleep(0.02)
    return os.getpid()


def _blas_threads(_: int) -> list[int]:
    import numpy  # noqa: F401 - brings its BLAS
    from threadpoolctl import threadpool_info

    return [library["num_threads"] for library in threadpool_info()]


def _die(number: int) -> int:
    if number == 1:
        os._exit(7)
    return number


def test_a_dead_worker_is_reported_and_replaced():
    """A worker that dies: WorkerLost, retryable, with the label; the next map has new workers."""
    with LocalEngine(2) as engine:
        with pytest.raises(WorkerLost, match="scan of parts") as caught:
            engine.map(_die, [0, 1, 2, 3], label="scan of parts")
        assert caught.value.retryable
        assert caught.value.exit_code == 75
        assert engine.map(_pid, [0, 1], label="pids") != []
        assert engine.map(_die, [0, 2, 3], label="scan of parts") == [0, 2, 3]


def test_closing_ends_the_workers():
    """close ends the worker processes, and a later map starts others."""
    engine = LocalEngine(2)
    before = set(engine.map(_slow_pid, list(range(4)), label="pids"))
    engine.close()
    assert not [pid for pid in before if _alive(pid)]
    assert set(engine.map(_slow_pid, list(range(4)), label="pids")).isdisjoint(before)
    engine.close()


SCRIPT = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, {platform!r})
import tempfile
from tidemill.engines import LocalEngine
from tidemill.testing.engine_items import square
def work(mark):
    Path(mark).touch()
    time.sleep(60)

if __name__ == "__main__":
    engine = LocalEngine(2)
    engine.map(square, list(range(8)), label="warm")
    pids = list(engine._pool._processes)
    print(*pids, flush=True)
    {then}
"""


@pytest.mark.parametrize(
    "marks", [pytest.param(0, id="idle", marks=pytest.mark.slow), pytest.param(2, id="at work")]
)
def test_workers_end_with_a_killed_parent(tmp_path, marks):
    """kill -9 of the parent leaves no worker behind, idle or at work."""
    script = tmp_path / "parent.py"
    platform = str(Path(__file__).parents[2] / "platform")
    paths = [str(tmp_path / f"mark-{number}") for number in range(2)]
    then = f"engine.map(work, {paths}, label='work')" if marks else "time.sleep(60)"
    script.write_text(SCRIPT.format(platform=platform, then=then))
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as parent:
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2
        assert all(_alive(pid) for pid in workers)
        while len(list(tmp_path.glob("mark-*"))) < marks:
            time.sleep(0.01)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in workers if _alive(pid)]


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
