"""The main job and a retraining on a cluster's workers leave the bytes that they leave here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from distributed import LocalCluster, SchedulerPlugin

from tidemill.config import set_params
from tidemill.contracts import AHEAD, Engine
from tidemill.engines import open_engine
from tidemill.pipeline import run_pipeline
from tidemill.retraining import Order, retrain
from tidemill.schema import Role
from tidemill.settings import Settings
from tidemill.storage import ShardManifest, Workspace, hash_file, read_blocks
from tidemill.testing.shells import plain_shell
from tidemill.testing.workspaces import copy_workspace, small_workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

LOCAL = Settings(workers=1)


@pytest.fixture(scope="module", autouse=True)
def _surroundings():
    with plain_shell():
        yield


@pytest.fixture(scope="module", params=["dask", "spark"])
def elsewhere(request) -> Iterator[Settings]:
    """The settings that send work to two workers, started by their command lines."""
    with request.getfixturevalue(f"{request.param}_cluster")(2) as cluster:
        yield Settings(engine=f"{request.param}://{cluster.address}", workers=2)


class Deadly:
    """An engine over another: in each of its maps, folds and streams one worker dies.

    It is killed when it has done an item and before it has told so; ``folder`` has a file for each
    label with the items that were begun, and one for each death.
    """

    def __init__(self, inner: Engine, folder: Path) -> None:
        self.inner, self.folder = inner, folder
        self.handed: Counter[str] = Counter()

    @property
    def workers(self) -> int:
        return self.inner.workers

    @property
    def host(self) -> str:
        return self.inner.host

    def map(self, function, items, *, label, **told):
        self.handed[label] += len(items)
        return self.inner.map(self._deadly(function, label), items, label=label, **told)

    def fold(self, function, items, merge, *, label, progress=None):
        self.handed[label] += len(items)
        deadly = self._deadly(function, label)
        return self.inner.fold(deadly, items, merge, label=label, progress=progress)

    def stream(self, function, items, *, label, **bounds):
        def counted():
            for item in items:
                self.handed[label] += 1
                yield item

        return self.inner.stream(self._deadly(function, label), counted(), label=label, **bounds)

    def close(self) -> None:
        self.inner.close()

    def redone(self) -> dict[str, int]:
        """Items that were begun again, by label."""
        return {
            label: len((self.folder / f"{_name(label)}.begun").read_text()) - handed
            for label, handed in self.handed.items()
            if handed
        }

    def _deadly(self, function, label):
        return partial(_do_and_die, self.folder, _name(label), function)


def _name(label: str) -> str:
    return label.replace(" ", "-").replace("/", "-")


def _do_and_die(folder: Path, name: str, function: Callable[[Any], Any], item: Any) -> Any:
    with (folder / f"{name}.begun").open("a") as file:
        file.write(".")
    result = function(item)
    with suppress(FileExistsError):
        (folder / f"{name}.died").touch(exist_ok=False)
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def drafted(root: Path) -> Path:
    """A workspace of 6,000 rides of 3 files, several batches each; nothing is run yet."""
    small_workspace(root, settings=["ingestion.batch_rows=700", "tuning.workers=2"])
    path = root / "params.yaml"
    path.write_text(set_params(path.read_text(), ["monitoring.retraining.max_regression=1.0"]))
    return root


def made(root: Path, settings: Settings, deaths: Path | None = None) -> None:
    """A drafted workspace after one whole run."""
    drafted(root)
    with _opened(settings, deaths) as engine:
        run_pipeline(Workspace.at(root), settings=settings, engine=engine)


@contextmanager
def _opened(settings: Settings, deaths: Path | None) -> Iterator[Engine]:
    with open_engine(settings, preload=("tidemill.stages",)) as engine:
        if deaths is None:
            yield engine
            return
        deaths.mkdir(parents=True)
        deadly = Deadly(engine, deaths)
        yield deadly
        # Each worker has one thread: the item that it died at, and what else it had finished and
        # not yet told.
        redone = deadly.redone()
        assert len(list(deaths.glob("*.died"))) == len(redone) > 4, redone
        assert all(1 <= count <= AHEAD for count in redone.values()), redone


def retrained(root: Path, settings: Settings, deaths: Path | None = None) -> None:
    """Learn from labelled live rows: those of the shards, once more, with other answers."""
    manifest = ShardManifest.read(root / "data" / "shards")
    files = [root / "data" / "shards" / shard.file.path for shard in manifest.of_origin("").shards]
    table = pa.concat_tables(table for file in files for table in read_blocks(file))
    table = table.unify_dictionaries().slice(0, 1500)
    answers = table["cancelled"].cast(pa.string())
    features = [column.name for column in manifest.schema.features]
    live = pa.table(
        {
            "event_id": pa.array([f"e{number}" for number in range(1500)]),
            "at": table["requested_at"],
            **{name: table[name] for name in features},
            "cancelled": pa.array([{"1": "0", "0": "1"}[str(one)] for one in answers]),
        }
    )
    with _opened(settings, deaths) as engine:
        retrain(
            Workspace.at(root),
            lambda: live.to_batches(max_chunksize=400),
            Order("d1", "the answer has turned round", ()),
            settings=settings,
            engine=engine,
        )


def left(root: Path) -> dict[str, str]:
    """What stands below data, models and reports; of the summary all but costs, ids and paths."""
    files = (file for top in ("data", "models", "reports") for file in (root / top).rglob("*"))
    found = {str(file.relative_to(root)): hash_file(file) for file in files if file.is_file()}
    summary = json.loads((root / "reports" / "summary.json").read_text())
    for own in ("seconds", "mlflow_run", "run_id", "reports", "data_docs"):
        del summary[own]
    for stage in summary["stages"]:
        del stage["seconds"], stage["peak_memory_mb"]
        for own in ("worker_cpu_seconds", "worker_peak_memory_mb"):
            stage.pop(own, None)
    found["reports/summary.json"] = json.dumps(summary)
    return found


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """The workspace after a run in this process; never change it, take a copy."""
    root = tmp_path_factory.mktemp("here") / "ws"
    made(root, LOCAL)
    return root


@pytest.mark.parametrize("deadly", [False, True], ids=["calm", "a death a map"])
def test_the_main_job_and_a_retraining_leave_the_same_bytes(here, elsewhere, tmp_path, deadly):
    """Every file of data, models and reports is that of a run in this process.

    Also where a worker is killed in each map of each stage; then few items are done again.
    """
    there, deaths = tmp_path / "there" / "ws", tmp_path / "deaths"
    made(there, elsewhere, deaths / "job" if deadly else None)
    job = left(there)
    assert job == left(here)
    assert len(job) > 40
    if not deadly:
        told = json.loads((there / "reports" / "summary.json").read_text())["stages"]
        peaks = {stage["stage"]: stage.get("worker_peak_memory_mb", 0) for stage in told}
        assert peaks["ingest"] > 50, peaks
    again = copy_workspace(here, tmp_path / "ws")
    retrained(there, elsewhere, deaths / "retraining" if deadly else None)
    retrained(again, LOCAL)
    assert left(there) == left(again)
    assert left(there).keys() > job.keys()


DENSE = ["reduction.impute=mean", "reduction.encode=one_hot", "reduction.scale=standard"]
SPREAD = {
    "averaged": ["training.learner=sgd", "training.params={max_epochs: 3}", *DENSE],
    "distributed": [],
    "merged": ["training.learner=linear", "training.params={}", *DENSE],
    "shard_ensemble": [],
}
"""Settings for each strategy that uses the workers."""


@pytest.mark.parametrize("strategy", SPREAD)
def test_a_fit_over_the_workers_leaves_the_same_bytes(here, elsewhere, tmp_path, strategy):
    """Of train, refit and a retraining: the models are those of workers in this process."""
    found = []
    for name, settings in {"here": Settings(workers=2), "there": elsewhere}.items():
        root = copy_workspace(here, tmp_path / name / "ws")
        path = root / "params.yaml"
        asked = ["tuning.space={}", "sharding.shards=5", f"training.strategy={strategy}"]
        path.write_text(set_params(path.read_text(), [*asked, *SPREAD[strategy]]))
        with _opened(settings, None) as engine:
            run_pipeline(Workspace.at(root), settings=settings, engine=engine)
        job = left(root)
        retrained(root, settings)
        found.append((job, left(root)))
        told = json.loads((root / "models" / "candidate" / "training.json").read_text())
        assert told["strategy"] == strategy
    assert len(ShardManifest.read(root / "data" / "shards").of(Role.TRAIN)) > 2
    assert found[0] == found[1]


class Headcount(SchedulerPlugin):
    """How many workers there were, after each that came or went."""

    def __init__(self) -> None:
        self.counts = [0]

    def add_worker(self, scheduler, worker):
        self.counts.append(len(scheduler.workers))

    def remove_worker(self, scheduler, worker, **_):
        self.counts.append(len(scheduler.workers))

    def emptied(self) -> list[int]:
        """Wait until nobody is there; the counts since the last time, the next ones begin anew."""
        ends = time.monotonic() + 120
        while self.counts[-1]:
            assert time.monotonic() < ends, self.counts
            time.sleep(0.1)
        counts, self.counts = self.counts, [0]
        return counts


@pytest.fixture
def adaptive():
    """A cluster that starts a worker when there is work, at most three, and ends idle ones."""
    with LocalCluster(
        n_workers=0, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        headcount = Headcount()
        cluster.scheduler.add_plugin(headcount)
        cluster.adapt(minimum=0, maximum=3, interval="500ms", wait_count=4, target_duration="1s")
        yield cluster.scheduler_address.removeprefix("tcp://"), headcount


def run_command_line(root: Path, address: str) -> str:
    """A whole run there, from a shell; what it said if it failed."""
    command = [sys.executable, "-m", "tidemill", "run", "--direct", "-w", str(root)]
    command += ["--engine", f"dask://{address}"]
    environment = {**os.environ, "TIDEMILL_WORKERS": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    return done.stderr if done.returncode else ""


@pytest.mark.timeout(1800)
def test_a_queue_of_runs_fills_and_empties_an_adaptive_cluster(here, adaptive, tmp_path):
    """One run, then two at once: workers come for each and go again, and all leave equal bytes."""
    address, headcount = adaptive
    first = drafted(tmp_path / "0" / "ws")
    roots = [first, *(copy_workspace(first, tmp_path / name / "ws") for name in ("1", "2"))]
    for queue in (roots[:1], roots[1:]):
        assert not headcount.counts[-1]
        with ThreadPoolExecutor() as pool:
            assert not any(pool.map(partial(run_command_line, address=address), queue))
        counts = headcount.emptied()
        assert 2 <= max(counts) <= 3, counts
        assert counts[-1] == 0
    assert [left(root) == left(here) for root in roots] == [True] * 3
