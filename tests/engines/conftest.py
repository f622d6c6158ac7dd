"""Clusters of real processes on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLUSTER_SECONDS = 180


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


@dataclass
class SparkCluster:
    """A standalone master and workers, each a JVM that was started by its own command line."""

    folder: Path
    master: subprocess.Popen[bytes]
    address: str = ""
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def add_worker(self, *, through: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """One more worker, of one core; ``through`` is a command that runs the one behind it."""
        place = self.folder / f"worker-{len(self.workers)}"
        options = ["--host", "127.0.0.1", "--webui-port", "0", "--cores", "1", "--memory", "1G"]
        command = ["worker.Worker", *options, "--work-dir", str(place), f"spark://{self.address}"]
        log = self.folder / f"{place.name}.log"
        self.workers.append(_spark_class(log, *command, through=through))
        return self.workers[-1]

    def end(self) -> None:
        """End all of them; the executors end with their workers."""
        for process in [*self.workers, self.master]:
            with_group(process, signal.SIGKILL)
            process.wait()


#: JVMs that live for a minute on a shared machine: nothing is compiled to the utmost.
LIGHT_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def _spark_class(log: Path, name: str, *options: str, through: Sequence[str] = ()):
    # Beside it in the environment's bin/ is one that looks for the first Python of the PATH.
    program = Path(find_spec("pyspark").origin).with_name("bin") / "spark-class"
    # Executors run in folders of their own, and functions of these tests are found from here.
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SPARK_DAEMON_MEMORY": "192m",
        "SPARK_DAEMON_JAVA_OPTS": LIGHT_JAVA,
        "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",
    }
    with log.open("wb") as file:
        return subprocess.Popen(
            [*through, str(program), f"org.apache.spark.deploy.{name}", *options],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )


@pytest.fixture(scope="session")
def light_spark() -> Iterator[None]:
    """Spark's JVMs of this process and for it are small, and reached at 127.0.0.1."""
    with pytest.MonkeyPatch.context() as patch:
        java = f"--conf spark.executor.extraJavaOptions='{LIGHT_JAVA}'"
        patch.setenv(
            "PYSPARK_SUBMIT_ARGS", f"{java} --driver-java-options '{LIGHT_JAVA}' pyspark-shell"
        )
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        yield


@pytest.fixture(scope="session")
def spark_cluster(tmp_path_factory: pytest.TempPathFactory, light_spark: None) -> Callable:
    """Start a cluster with so many workers, for the length of a block."""

    @contextmanager
    def running(workers: int) -> Iterator[SparkCluster]:
        folder = tmp_path_factory.mktemp("spark")
        log = folder / "master.log"
        options = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        cluster = SparkCluster(folder, _spark_class(log, "master.Master", *options))
        try:
            ends = time.monotonic() + CLUSTER_SECONDS
            while not (told := re.search(r"master at spark://(\S+:\d+)", log.read_text())):
                assert cluster.master.poll() is None, log.read_text()
                assert time.monotonic() < ends, "no master"
                time.sleep(0.1)
            cluster.address = told[1]
            for _ in range(workers):
                cluster.add_worker()
            yield cluster
        finally:
            cluster.end()

    return running
