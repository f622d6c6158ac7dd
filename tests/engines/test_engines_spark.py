"""Spark's executors keep the engines' contract, on the cluster of a standalone master."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import psutil
import pytest

from tidemill.engines import open_engine
from tidemill.engines.spark import SparkEngine
from tidemill.errors import (
    DependencyMissing,
    ServiceUnavailable,
    StoreUnseen,
    UsageError,
    WorkerLost,
)
from tidemill.settings import Settings
from tidemill.testing.bad_engines import BAD_ENGINES
from tidemill.testing.engine_items import square
from tidemill.testing.engines import EngineContract


@pytest.fixture(scope="module")
def cluster(spark_cluster):
    """A master and two workers, by their command lines."""
    with spark_cluster(2) as found:
        yield found


@pytest.fixture(scope="module")
def shared(cluster):
    """The engine at that cluster's address."""
    with open_engine(Settings(engine=f"spark://{cluster.address}", workers=2)) as engine:
        yield engine


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("clause", BAD_ENGINES)
def test_it_keeps_the_contract(shared, clause):
    """A master and two workers elsewhere keep each clause."""
    getattr(EngineContract(), clause)(shared)


@pytest.mark.slow
def test_a_process_has_one_session(cluster, shared):
    """A second engine in this process is refused before Spark does it, with what to do."""
    shared.map(square, [1], label="squares")
    with (
        closing(SparkEngine(1, address=cluster.address)) as second,
        pytest.raises(UsageError, match="a Spark session already") as caught,
    ):
        second.map(square, [1], label="squares")
    assert "close the other engine" in caught.value.remedy


def _slowly(folder: Path, number: int) -> int:
    executor = next(one.pid for one in psutil.Process().parents() if one.name() == "java")
    with (folder / f"{number}").open("a") as file:
        file.write(f"{executor}\n")
    time.sleep(0.3)
    return number


@pytest.mark.slow
def test_a_killed_executor_costs_the_items_it_had(shared, tmp_path):
    """One of two is killed: all results come, and only what it ran runs again."""
    items, killed = list(range(24)), None
    found = []
    for index, result in shared.stream(partial(_slowly, tmp_path), items, label="kill"):
        found.append((index, result))
        if killed is None and len(found) == 4:
            killed = int((tmp_path / f"{index}").read_text())
            os.kill(killed, signal.SIGKILL)
    assert sorted(found) == [(n, n) for n in items]
    begun = {path.name: path.read_text().split() for path in tmp_path.iterdir()}
    assert len([pids for pids in begun.values() if len(pids) > 1]) <= 1
    assert len({pid for pids in begun.values() for pid in pids}) > 1


@pytest.mark.slow
def test_workers_of_another_python_are_told(shared, monkeypatch):
    """A Python that is not there, or without our packages: the error says which, and the remedy."""
    shared.close()
    monkeypatch.setenv("PYSPARK_PYTHON", "/no/such/python")
    try:
        with pytest.raises(UsageError, match="/no/such/python") as caught:
            shared.map(square, [1], label="squares")
    finally:
        shared.close()
    assert "PYSPARK_PYTHON" in caught.value.remedy


def _hidden(folder: Path) -> list[str]:
    """The command that runs another where that folder is empty: in a view of its own."""
    mounted = f'mount -t tmpfs none {folder} && exec "$0" "$@"'
    return ["unshare", "--mount", "sh", "-c", mounted]


@pytest.mark.slow
def test_a_worker_elsewhere_without_the_store_is_refused(spark_cluster, shared, tmp_path):
    """A worker that has another folder in that place works on nothing, and writes nothing."""
    shared.close()
    store, marks = tmp_path / "ws", tmp_path / "marks"
    store.mkdir()
    marks.mkdir()
    if subprocess.run([*_hidden(store), "true"], capture_output=True).returncode:
        pytest.skip("only root may give a process a view of its own of the disk")
    with spark_cluster(0) as cluster:
        cluster.add_worker(through=_hidden(store))
        with (
            open_engine(
                Settings(engine=f"spark://{cluster.address}", workers=1), store=str(store)
            ) as engine,
            pytest.raises(StoreUnseen, match=f"does not see the store {store}"),
        ):
            engine.map(partial(_slowly, marks), [1, 2], label="marks")
    assert not list(marks.iterdir())


@pytest.mark.slow
def test_without_workers_it_says_so_and_a_late_one_is_enough(spark_cluster, shared):
    """Where nobody works an error tells how to start one; work that waits begins when it comes."""
    shared.close()
    with spark_cluster(0) as empty:
        with (
            closing(SparkEngine(1, address=empty.address, wait_seconds=2)) as engine,
            pytest.raises(ServiceUnavailable, match="no executor for us for 2 seconds") as caught,
        ):
            engine.map(square, [1, 2], label="squares")
        assert f"worker.Worker spark://{empty.address}" in caught.value.remedy
        with closing(SparkEngine(1, address=empty.address)) as engine:
            stream = engine.stream(square, iter([2, 3]), label="squares")
            empty.add_worker()
            assert sorted(stream) == [(0, 4), (1, 9)]


@pytest.mark.slow
def test_what_runs_outlives_its_master(spark_cluster, shared, tmp_path):
    """Executors go on without a master; when they are gone too, no others come, and it is told."""
    shared.close()
    with (
        spark_cluster(1) as cluster,
        closing(SparkEngine(1, address=cluster.address, wait_seconds=60)) as engine,
    ):
        stream = engine.stream(partial(_slowly, tmp_path), range(200), label="squares")
        next(stream)
        os.killpg(cluster.master.pid, signal.SIGKILL)
        cluster.master.wait()
        assert len([next(stream) for _ in range(20)]) == 20
        os.killpg(cluster.workers[0].pid, signal.SIGKILL)
        with pytest.raises((ServiceUnavailable, WorkerLost)) as caught:
            list(stream)
        assert cluster.address in f"{caught.value} {caught.value.remedy}"


@pytest.mark.slow
def test_a_killed_jvm_is_told_and_the_next_call_has_another(shared):
    """The driver's JVM is killed while items wait for it."""
    stream = shared.stream(time.sleep, [0] + [60] * 3, label="naps")
    next(stream)
    [jvm] = [one for one in psutil.Process().children() if "pyspark-shell" in one.cmdline()]
    jvm.kill()
    with pytest.raises(WorkerLost, match="JVM ended during naps"):
        list(stream)
    assert shared.map(square, [2, 3], label="squares") == [4, 9]


def test_no_master_is_said():
    """Nothing answers at the address; no JVM is started to find out."""
    with (
        closing(SparkEngine(1, address="127.0.0.1:9", wait_seconds=1)) as engine,
        pytest.raises(ServiceUnavailable, match=r"no Spark master answers at 127\.0\.0\.1:9"),
    ):
        engine.map(square, [1], label="squares")


@pytest.mark.parametrize("address", ["here", "here:there", ":7077"])
def test_an_address_is_a_host_and_a_port(address):
    """Anything else is told before anybody is asked."""
    with (
        open_engine(Settings(engine=f"spark://{address}")) as engine,
        pytest.raises(UsageError, match="no address of a Spark master"),
    ):
        engine.map(square, [1], label="squares")


def test_without_java_the_remedy_is_said(monkeypatch, tmp_path):
    """Neither in JAVA_HOME nor in the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for home, said in ((None, "none here"), (tmp_path, "JAVA_HOME")):
        if home is None:
            monkeypatch.delenv("JAVA_HOME", raising=False)
        else:
            monkeypatch.setenv("JAVA_HOME", str(home))
        with (
            closing(SparkEngine(2)) as engine,
            pytest.raises(DependencyMissing, match=said) as caught,
        ):
            engine.map(square, [1, 2], label="squares")
        assert "install Java 17" in caught.value.remedy


def test_without_pyspark_the_extra_is_named(monkeypatch):
    """The package alone would not do: the extra brings what must stand beside it."""
    monkeypatch.setitem(sys.modules, "pyspark", None)
    for name in ("tidemill.engines.spark", "tidemill.engines.spark_driver"):
        monkeypatch.delitem(sys.modules, name)
    from tidemill.addresses import implementation

    with pytest.raises(DependencyMissing, match="'pyspark', which is not installed") as caught:
        implementation(
            "spark",
            {"spark": "tidemill.engines.spark:SparkEngine"},
            group="tidemill.engines",
            setting="TIDEMILL_ENGINE",
        )
    assert "install tidemill[spark]" in caught.value.remedy
