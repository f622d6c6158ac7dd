"""Clusters of real processes on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CLUSTER_SECONDS = 60


@dataclass
class DaskCluster:
    """A scheduler and workers, each a process that was started by its own command line."""

    folder: Path
    scheduler: subprocess.Popen[bytes]
    address: str
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def add_worker(self, *options: str, through: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """One more worker of one thread; ``through`` is a command that runs the one behind it."""
        name = f"worker-{len(self.workers)}"
        command = ["worker", f"tcp://{self.address}", "--nthreads", "1", "--no-dashboard"]
        command += ["--local-directory", str(self.folder), *options]
        self.workers.append(_started(self.folder / f"{name}.log", *command, through=through))
        return self.workers[-1]

    def end(self) -> None:
        """End all of them."""
        for process in [*self.workers, self.scheduler]:
            with_group(process, signal.SIGKILL)
            process.wait()


def with_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a process and to those that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _started(log: Path, *command: str, through: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            [*through, sys.executable, "-m", "distributed.cli.dask_" + command[0], *command[1:]],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@pytest.fixture(scope="session")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """Start a cluster with so many workers, for the length of a block."""

    @contextmanager
    def running(workers: int, *options: str) -> Iterator[DaskCluster]:
        folder = tmp_path_factory.mktemp("dask")
        told = folder / "scheduler.json"
        scheduler = _started(
            folder / "scheduler.log",
            "scheduler",
            *("--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
            *("--scheduler-file", str(told)),
        )
        cluster = DaskCluster(folder, scheduler, "")
        try:
            ends = time.monotonic() + CLUSTER_SECONDS
            while not (told.exists() and told.stat().st_size):
                assert scheduler.poll() is None, (folder / "scheduler.log").read_text()
                assert time.monotonic() < ends, "no scheduler"
                time.sleep(0.05)
            cluster.address = json.loads(told.read_text())["address"].removeprefix("tcp://")
            for _ in range(workers):
                cluster.add_worker(*options)
            yield cluster
        finally:
            cluster.end()

    return running
