"""Dask's workers keep the engines' contract, on a cluster of this machine and at an address."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import dask
import pytest

import tidemill
from tidemill.engines import open_engine
from tidemill.engines.dask import DaskEngine
from tidemill.errors import (
    BudgetExceeded,
    ServiceUnavailable,
    StoreUnseen,
    UsageError,
    WorkerLost,
)
from tidemill.settings import Settings
from tidemill.testing.bad_engines import BAD_ENGINES
from tidemill.testing.engine_items import CountedConstant, arrivals, square
from tidemill.testing.engines import EngineContract

#: What Dask could break most easily, and what costs little; the rest is for make test-all.
QUICK = {
    "test_it_is_an_engine",
    "test_no_items_no_results",
    "test_a_fold_merges_from_left_to_right",
    "test_a_stream_has_every_item_once",
    "test_an_error_keeps_type_remedy_and_fields",
    "test_workers_see_the_same_packages",
    "test_one_thread_a_worker",
    "test_leaving_a_stream_stops_the_work",
}


@pytest.fixture(scope="module")
def cluster(dask_cluster):
    """A scheduler and two workers, by their command lines."""
    with dask_cluster(2) as found:
        yield found


@pytest.fixture(scope="module")
def shared(cluster):
    """The engine at that cluster's address."""
    with open_engine(Settings(engine=f"dask://{cluster.address}", workers=2)) as engine:
        yield engine


@pytest.mark.parametrize(
    "clause",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in BAD_ENGINES],
)
def test_it_keeps_the_contract(shared, clause):
    """A scheduler and two workers elsewhere keep each clause."""
    getattr(EngineContract(), clause)(shared)


@pytest.fixture(scope="module")
def own():
    """The engine with a cluster of its own."""
    with open_engine(Settings(engine="dask", workers=2)) as engine:
        yield engine


@pytest.mark.slow
class TestOwnDaskCluster(EngineContract):
    """Without an address it starts processes of its own."""

    @pytest.fixture
    def engine(self, own):
        return own


def _slowly(folder: Path, number: int) -> int:
    with (folder / f"{number}").open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(0.3)
    return number


def _worker(_: int) -> int:
    time.sleep(0.1)
    return os.getpid()


def _meet(folder: Path, _: bytes, number: int) -> bool:
    """Whether the other one of two items runs at the same time."""
    (folder / f"{number}").touch()
    ends = time.monotonic() + 20
    while not (folder / f"{1 - number}").exists() and time.monotonic() < ends:
        time.sleep(0.01)
    return time.monotonic() < ends


def test_two_items_are_begun_at_once_by_two_workers(shared, tmp_path):
    """Though the first worker alone has the function, which is large, and may soon be free."""
    ends = time.monotonic() + 60
    while len(set(shared.map(_worker, range(8), label="who"))) < 2:  # the second one comes
        assert time.monotonic() < ends
    work = partial(_meet, tmp_path, bytes(30_000_000))
    assert shared.map(work, (0, 1), label="meet") == [True, True]


def _arrivals(constant: CountedConstant, number: int) -> int:
    time.sleep(0.3)
    return arrivals(constant, number)


@pytest.mark.slow
def test_a_function_that_dask_took_away_is_not_unpacked_again():
    """It takes what nobody needs for a while from a worker, and brings it when it is needed."""

    def now_and_then():
        for number in range(12):
            time.sleep(0.5)
            yield number

    with (
        dask.config.set({"distributed.scheduler.active-memory-manager.interval": "100ms"}),
        open_engine(Settings(engine="dask", workers=3)) as engine,
    ):
        work = partial(_arrivals, CountedConstant())
        found = [count for _, count in engine.stream(work, now_and_then(), label="arrivals")]
    assert found == [1] * 12


def _wait_for(engine, workers: int) -> None:
    """A worker's process takes as long as the machine lets it."""
    ends = time.monotonic() + 60
    while engine.workers < workers:
        assert time.monotonic() < ends, f"no {workers} workers"
        time.sleep(0.1)


@pytest.mark.slow
def test_a_killed_worker_costs_the_items_it_had(cluster, shared, tmp_path):
    """One of two workers is killed: all results come, and only what it ran runs again."""
    extra = cluster.add_worker("--no-nanny")
    _wait_for(shared, 3)
    items, killed = list(range(24)), None
    found = []
    for index, result in shared.stream(partial(_slowly, tmp_path), items, label="kill"):
        found.append((index, result))
        begun = [int(pid) for path in tmp_path.iterdir() for pid in path.read_text().split()]
        if killed is None and extra.pid in begun:
            os.killpg(extra.pid, signal.SIGKILL)
            killed = extra.pid
    assert killed is not None
    assert sorted(found) == [(n, n) for n in items]
    twice = [path.name for path in tmp_path.iterdir() if len(path.read_text().split()) > 1]
    assert len(twice) <= 1


def _greedy(number: int) -> int:
    held = b"x" * (number << 20)
    time.sleep(30)
    return len(held)


@pytest.mark.slow
def test_an_item_that_needs_too_much_memory_ends_the_work(dask_cluster):
    """Dask kills the worker that holds more than its limit, four times; then we are told why."""
    with (
        dask_cluster(1, "--memory-limit", "400MiB") as cluster,
        closing(DaskEngine(1, address=cluster.address)) as engine,
        pytest.raises(WorkerLost, match="greed: 4 workers of the Dask cluster died") as caught,
    ):
        engine.map(_greedy, [1000], label="greed")
    assert "--memory-limit" in caught.value.remedy


@pytest.mark.slow
def test_an_item_that_a_worker_may_not_hold_is_not_begun(dask_cluster, tmp_path):
    """What is said to need more than the worker's limit is refused there; no worker is killed."""
    with (
        dask_cluster(1, "--memory-limit", "1GiB") as cluster,
        closing(DaskEngine(1, address=cluster.address)) as engine,
    ):
        slowly = partial(_slowly, tmp_path)
        with pytest.raises(BudgetExceeded, match="may hold 1024 MiB, and an item needs 700 MiB"):
            list(engine.stream(slowly, range(3), label="much", item_bytes=700 << 20))
        with pytest.raises(BudgetExceeded, match="an item needs 700 MiB"):
            engine.map(slowly, range(3), label="much", item_bytes=700 << 20)
        assert not list(tmp_path.iterdir())
        with pytest.raises(BudgetExceeded) as caught:
            list(engine.stream(slowly, range(3), label="much", item_bytes=1 << 30))
        assert "--memory-limit 1408MiB" in caught.value.remedy
        few = engine.stream(slowly, range(3), label="few", item_bytes=600 << 20)
        assert sorted(few) == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.slow
def test_without_workers_it_says_so(dask_cluster):
    """A cluster in which nobody works is an error after the stated time, with the command."""
    with (
        dask_cluster(0) as empty,
        closing(DaskEngine(1, address=empty.address, wait_seconds=2)) as engine,
        pytest.raises(ServiceUnavailable, match="has had no worker for 2 seconds") as caught,
    ):
        engine.map(square, [1, 2], label="squares")
    assert f"dask worker {empty.address}" in caught.value.remedy


@pytest.mark.slow
def test_a_cluster_that_emptied_between_two_works_has_its_time_again(dask_cluster):
    """The wait for a worker begins with the work, not when the last one left."""
    with (
        dask_cluster(1, "--no-nanny") as cluster,
        closing(DaskEngine(1, address=cluster.address, wait_seconds=4)) as engine,
    ):
        assert engine.map(square, [2], label="squares") == [4]
        os.killpg(cluster.workers[0].pid, signal.SIGKILL)
        time.sleep(6)
        began = time.monotonic()
        with pytest.raises(ServiceUnavailable, match="has had no worker for 4 seconds"):
            engine.map(square, [3], label="squares")
        assert time.monotonic() - began > 4


@pytest.mark.slow
def test_a_late_worker_is_enough(dask_cluster):
    """Work that waits begins when the first worker comes."""
    with (
        dask_cluster(0) as empty,
        closing(DaskEngine(1, address=empty.address)) as engine,
    ):
        stream = engine.stream(square, iter([2, 3]), label="squares")
        empty.add_worker("--no-nanny")
        assert sorted(stream) == [(0, 4), (1, 9)]


def test_no_scheduler_is_said():
    """Nothing answers at the address."""
    with (
        closing(DaskEngine(1, address="127.0.0.1:9", wait_seconds=1)) as engine,
        pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:9"),
    ):
        engine.map(square, [1], label="squares")


@pytest.mark.slow
def test_a_scheduler_that_dies_is_told_at_once(dask_cluster, tmp_path):
    """The map ends with what can be done; it does not wait."""
    with (
        dask_cluster(1, "--no-nanny") as cluster,
        closing(DaskEngine(1, address=cluster.address)) as engine,
    ):
        stream = engine.stream(partial(_slowly, tmp_path), range(50), label="squares")
        next(stream)
        os.killpg(cluster.scheduler.pid, signal.SIGKILL)
        with pytest.raises(WorkerLost, match="scheduler"):
            list(stream)


@pytest.mark.slow
def test_workers_of_several_threads_are_refused(dask_cluster):
    """Items that share a process would share its BLAS; the worker says how to start it."""
    with (
        dask_cluster(1, "--nthreads", "2", "--no-nanny") as cluster,
        closing(DaskEngine(1, address=cluster.address)) as engine,
        pytest.raises(UsageError, match="2 items at once") as caught,
    ):
        engine.map(square, [1], label="squares")
    assert "--nthreads 1" in caught.value.remedy


def _hidden(folder: Path) -> list[str]:
    """The command that runs another where that folder is empty: in a view of its own."""
    mounted = f'mount -t tmpfs none {folder} && exec "$0" "$@"'
    return ["unshare", "--mount", "sh", "-c", mounted]


@pytest.mark.slow
def test_a_worker_elsewhere_without_the_store_is_refused(dask_cluster, tmp_path):
    """A worker that has another folder in that place works on nothing, and writes nothing."""
    store = tmp_path / "ws"
    store.mkdir()
    if subprocess.run([*_hidden(store), "true"], capture_output=True).returncode:
        pytest.skip("only root may give a process a view of its own of the disk")
    with dask_cluster(0) as cluster:
        settings = Settings(engine=f"dask://{cluster.address}", workers=1)
        cluster.add_worker("--no-nanny", through=_hidden(store))
        marks = tmp_path / "marks"
        marks.mkdir()
        with (
            open_engine(settings, store=str(store)) as engine,
            pytest.raises(StoreUnseen, match=f"does not see the store {store}"),
        ):
            engine.map(partial(_slowly, marks), [1, 2], label="marks")
        assert not list(marks.iterdir())
        os.killpg(cluster.workers[0].pid, signal.SIGKILL)
        cluster.add_worker("--no-nanny")
        with open_engine(settings, store=str(store)) as engine:
            assert engine.map(partial(_slowly, marks), [1, 2], label="marks") == [1, 2]


OURS = Path(tidemill.__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (
            [path for path in OURS.iterdir() if path.name[:2] != "__"],
            rf"has tidemill 0\.0\.9, and its caller has tidemill {tidemill.__version__}$",
        ),
        ([OURS / "errors.py"], r"a worker has no module tidemill\.engines, and its caller has one"),
    ],
    ids=["another version", "one without engines"],
)
def test_a_worker_of_another_version_is_refused(dask_cluster, tmp_path, parts, told):
    """Before it works on anything, alone and beside one of ours, and with what to do."""
    marks, other = tmp_path / "marks", tmp_path / "other" / "tidemill"
    marks.mkdir()
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('__version__ = "0.0.9"\n')
    for part in parts:
        (other / part.name).symlink_to(part)
    with (
        dask_cluster(0) as cluster,
        open_engine(Settings(engine=f"dask://{cluster.address}", workers=1)) as engine,
    ):
        cluster.add_worker("--no-nanny", through=["env", f"PYTHONPATH={other.parent}"])
        with pytest.raises(UsageError, match=told) as caught:
            engine.map(partial(_slowly, marks), range(40), label="alone")
        assert "start workers with the Python and packages of the caller" in caught.value.remedy
        assert not list(marks.iterdir())
        cluster.add_worker("--no-nanny")
        _wait_for(engine, 2)
        with pytest.raises(UsageError, match=told):
            engine.map(partial(_slowly, marks), range(40), label="beside")
        assert f"{cluster.workers[0].pid}\n" not in [path.read_text() for path in marks.iterdir()]
        os.killpg(cluster.workers[0].pid, signal.SIGKILL)
        assert engine.map(partial(_slowly, marks), [1, 2], label="gone") == [1, 2]


def test_an_engine_that_takes_no_address_says_so():
    """`local://...` is a mistake, not another engine."""
    with pytest.raises(UsageError, match="address"), open_engine(Settings(engine="local://here")):
        pytest.fail("it was opened")
