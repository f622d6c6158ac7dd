"""kill -9 anywhere: outputs whole or absent, nothing left running, and the next run goes on."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tidemill.config import load_params
from tidemill.engines import LocalEngine
from tidemill.pipeline import STAGES
from tidemill.settings import Settings
from tidemill.stages import SplitLines, StageContext
from tidemill.storage import ShardManifest, StoreFolder, ValidatedManifest, Workspace, read_json
from tidemill.testing.forks import forked_commands
from tidemill.testing.workspaces import output_hashes
from tidemill.versioning import Versions, read_lock, repair

HERE = Path(__file__).parent
Ended = namedtuple("Ended", "code log seconds changes")
Whole = namedtuple("Whole", "hashes version")
TOKEN = "TIDEMILL_TEST_RUN"


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Ended]]:
    """Run the command line in a process of its own, which may be killed.

    ``kill_at``: at the N-th change of a file. ``kill_past``: at the first one after a file of
    that name is there. ``kill_after``: seconds after its start. ``kill_when``: once that is so.
    """
    ended = contextlib.ExitStack()
    programs = ended.enter_context(forked_commands(tmp_path_factory.getbasetemp()))
    server = subprocess.Popen(
        [programs / "forked-python", HERE / "run_killed.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout.readline() == "ready\n"
    logs = tmp_path_factory.mktemp("logs")

    def run(
        root: Path,
        *,
        workers: int = 1,
        until: str = "register",
        kill_at: int | None = None,
        kill_past: str | None = None,
        kill_after: float | None = None,
        kill_when: Callable[[], bool] | None = None,
    ) -> Ended:
        token, log = uuid.uuid4().hex, logs / f"{uuid.uuid4().hex}.log"
        order = {
            "arguments": ["run", "--direct", "-w", str(root), "--wait", "30", "--until", until],
            "environment": {TOKEN: token, "TIDEMILL_WORKERS": str(workers)},
            "root": str(root),
            "log": str(log),
            "kill_at": kill_at,
            "kill_past": kill_past,
        }
        server.stdin.write(json.dumps(order) + "\n")
        server.stdin.flush()
        pid, began = int(server.stdout.readline()), time.monotonic()
        over = threading.Event()
        if kill_after is not None:
            kill_when = lambda: time.monotonic() > began + kill_after  # noqa: E731
        watch = threading.Thread(target=kill_once, args=(pid, kill_when, over))
        watch.start()
        code = int(server.stdout.readline())
        seconds = time.monotonic() - began
        over.set()
        watch.join()
        assert not survivors(token), log.read_text()
        counted = Path(f"{log}.changes")
        changes = int(counted.read_text()) if counted.exists() else 0
        return Ended(code, log.read_text(), seconds, changes)

    with ended:
        yield run
        server.stdin.close()
        server.stdout.close()
        server.wait(timeout=30)


def kill_once(pid: int, so: Callable[[], bool] | None, over: threading.Event) -> None:
    """Kill a process as soon as something is so, unless it is over by then."""
    while so is not None and not over.wait(0.01):
        if so():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return


def survivors(token: str, seconds: float = 20.0) -> list[int]:
    """Processes of a run that are still there after a while: its workers must end with it."""
    deadline = time.monotonic() + seconds
    while True:
        found = [p.pid for p in psutil.process_iter() if of_run(p, token)]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def of_run(process: psutil.Process, token: str) -> bool:
    """Whether a living process has the run's token in its environment."""
    try:
        environment = process.environ()
        return environment.get(TOKEN) == token and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.fixture(scope="module")
def undisturbed(blank, start, tmp_path_factory) -> Any:
    """One whole run as the killed ones would have been: hashes, seconds, changes of files."""
    root = tmp_path_factory.mktemp("undisturbed") / "ws"
    shutil.copytree(blank, root)
    ended = start(root)
    assert ended.code == 0, ended.log
    assert ended.changes > 100
    made = namedtuple("Made", "hashes seconds changes version")
    version = Versions(root).dataset_version()
    return made(output_hashes(root), ended.seconds, ended.changes, version)


def check_whole_or_absent(root: Path, hashes: dict[str, str]) -> list[str]:
    """Each stage's output is what it must be, or not there; returns the stages that are there."""
    found, there = output_hashes(root), []
    for stage in STAGES:
        for out in stage.outs:
            wanted = {
                n: h for n, h in hashes.items() if n == out.path or n.startswith(out.path + "/")
            }
            present = {
                n: h for n, h in found.items() if n == out.path or n.startswith(out.path + "/")
            }
            assert present in ({}, wanted), f"{out.path} is neither whole nor absent"
            if present:
                there.append(out.path)
    for folder, kind in (("validated", ValidatedManifest), ("shards", ShardManifest)):
        if (root / "data" / folder).exists():
            manifest = kind.read(root / "data" / folder)
            entries = manifest.parts if folder == "validated" else manifest.shards
            for entry in entries:
                StoreFolder.at(root / "data" / folder).verified(entry.file)
    return there


def below(place: str, hashes: dict[str, str]) -> dict[str, str]:
    """The part of ``hashes`` that is the file or folder ``place``."""
    return {n: h for n, h in hashes.items() if n == place or n.startswith(f"{place}/")}


Finished = namedtuple("Finished", "splits shards stages")


def finished_work(root: Path) -> Finished:
    """What a killed run had finished: files with their time and inode, by name."""
    work = root / ".tidemill" / "work"
    splits = {}
    for receipt in work.glob("ingest/*/receipts/*.json"):
        part = receipt.parents[1] / "parts" / read_json(receipt)["part"]["path"]
        splits[part.name] = (part.stat().st_ino, part.stat().st_mtime_ns)
    shards = {}
    for receipt in work.glob("shard/*/cut/*/shards/shard-*[0-9].json"):
        file = receipt.parent / read_json(receipt)["entry"]["file"]["path"]
        shards[file.name] = (file.stat().st_ino, file.stat().st_mtime_ns)
    return Finished(splits, shards, recorded_stages(root))


def recorded_stages(root: Path) -> set[str]:
    """What the next run will find recorded: what was not confirmed, or is torn, it takes back."""
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder)
        (other / ".tidemill").mkdir()
        for name in ("dvc.lock", ".tidemill/dvc.lock.last", ".tidemill/dvc.lock.writing"):
            if (root / name).exists():
                shutil.copy(root / name, other / name)
        repair(other)
        return set(read_lock(other))


def check_not_redone(root: Path, before: Finished, log: str) -> None:
    """Finished splits and shards are the very files of before; finished stages did not start."""
    for folder, files in (("validated", before.splits), ("shards", before.shards)):
        left = [path.stat() for path in (root / "data" / folder).iterdir()]
        there = {(found.st_ino, found.st_mtime_ns) for found in left}
        redone = [name for name, identity in files.items() if identity not in there]
        assert not redone, f"{folder}: {redone} redone"
    for stage in before.stages - {"register"}:
        assert f"{stage}: current" in log, f"{stage} was run again"


def kill_and_resume(root: Path, start: Any, undisturbed: Any, **how: Any) -> Finished:
    """Kill a run, look at what it left, run again, and compare the end with an undisturbed one."""
    workers = how.pop("workers", 1)
    ended = start(root, workers=workers, **how)
    assert ended.code in (-signal.SIGKILL, 0), ended.log
    check_whole_or_absent(root, undisturbed.hashes)
    before = finished_work(root)
    again = start(root, workers=workers)
    assert again.code == 0, again.log
    assert output_hashes(root) == undisturbed.hashes
    assert Versions(root).dataset_version() == undisturbed.version
    check_not_redone(root, before, again.log)
    return before


@pytest.fixture
def fresh(blank, tmp_path) -> Path:
    """A workspace that was never run."""
    return Path(shutil.copytree(blank, tmp_path / "ws"))


def points(seed: int, number: int, total: int) -> list[int]:
    """Seeded points, one in each of ``number`` equal stretches."""
    draw = random.Random(seed)
    return [1 + int((i + draw.random()) * (total - 1) / number) for i in range(number)]


def kill_scanning(root: Path, start: Any, hashes: dict[str, str]) -> Finished:
    """Kill a run while its two worker processes scan; what it had finished by then."""
    receipts = root / ".tidemill" / "work" / "ingest"
    ended = start(root, workers=2, kill_when=lambda: any(receipts.glob("*/receipts/*")))
    assert ended.code == -signal.SIGKILL, ended.log
    assert check_whole_or_absent(root, hashes) == ["data/source.json", "data/schema.json"]
    scanned = finished_work(root)
    assert 1 <= len(scanned.splits) <= 3
    return scanned


def test_a_killed_run_goes_on(fresh, start, finished):
    """Killed while two worker processes scan: they are gone, and what was finished stays.

    The shards are those of a run that was not killed.
    """
    scanned = kill_scanning(fresh, start, output_hashes(finished))
    again = start(fresh, until="shard")
    assert again.code == 0, again.log
    stages = ("look", "ingest", "shard")
    assert output_hashes(fresh, *stages) == output_hashes(finished, *stages)
    assert Versions(fresh).dataset_version() == Versions(finished).dataset_version()
    check_not_redone(fresh, scanned, again.log)


@pytest.mark.slow
def test_a_run_that_is_killed_twice_goes_on(fresh, start, finished):
    """While two worker processes scan, and again once a stage past sharding is recorded."""
    whole = Whole(output_hashes(finished), Versions(finished).dataset_version())
    scanned = kill_scanning(fresh, start, whole.hashes)
    kept = kill_and_resume(fresh, start, whole, kill_past="models/params.json")
    assert {"look", "ingest", "shard", "reduce"} <= kept.stages
    check_not_redone(fresh, scanned._replace(stages=set()), "")


@pytest.mark.slow
def test_finished_splits_are_not_redone(fresh, start, undisturbed):
    """Killed once two splits are scanned: the next run keeps their files."""
    assert start(fresh, until="look").code == 0
    params, place = load_params(fresh), Workspace.at(fresh)
    context = StageContext(place, Settings(), LocalEngine(1), None)
    lines = SplitLines(context, dataset=params.dataset, ingestion=params.ingestion)
    past = f"receipts/{[*lines.items()][1].key}.json"
    kept = kill_and_resume(fresh, start, undisturbed, kill_past=past)
    assert len(kept.splits) == 2


@pytest.mark.slow
def test_finished_shards_are_not_redone(fresh, start, undisturbed):
    """Killed once two shards are written: the next run keeps those files."""
    kept = kill_and_resume(fresh, start, undisturbed, kill_past="/shard-00001.json")
    assert len(kept.shards) == 2


@pytest.mark.slow
def test_workers_end_with_a_killed_run(fresh, start, undisturbed):
    """Killed while two worker processes scan: they are gone, and the next run goes on with two."""
    receipts = fresh / ".tidemill" / "work" / "ingest"
    kept = kill_and_resume(
        fresh, start, undisturbed, workers=2, kill_when=lambda: any(receipts.glob("*/receipts/*"))
    )
    assert 1 <= len(kept.splits) <= 3


@pytest.mark.slow
@pytest.mark.parametrize("number", range(24))
def test_killed_before_each_kind_of_change(number, fresh, start, undisturbed):
    """Seeded points over all changes of files that a run makes, one in each 24th of them."""
    at = points(2024, 24, undisturbed.changes)[number]
    kill_and_resume(fresh, start, undisturbed, kill_at=at)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(12))
def test_killed_at_a_seeded_moment(number, fresh, start, undisturbed):
    """Seeded moments, also inside writes of libraries; every second run has two workers."""
    share = (number + random.Random(number).random()) / 12
    kill_and_resume(
        fresh, start, undisturbed, workers=1 + number % 2, kill_after=undisturbed.seconds * share
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("call", ["write", "fsync", "rename", "pwrite64"])
@pytest.mark.parametrize("number", range(2))
def test_killed_inside_a_system_call(call, number, fresh, start, undisturbed, shell, tmp_path):
    """strace kills the process at a seeded write, sync or rename, whichever library makes it."""
    counting = Path(shutil.copytree(fresh, tmp_path / "counting"))
    command = ["tidemill", "run", "--direct", "--wait", "30"]
    trace = ["strace", "-f", "-qq", "-e", f"trace={call}", "-o"]
    shell(counting, *trace, tmp_path / "count", *command)
    pids = [line.split()[0] for line in (tmp_path / "count").read_text().splitlines()]
    most = max(pids.count(pid) for pid in set(pids))
    inject = f"inject={call}:signal=KILL:when={points(len(call), 2, most)[number]}"
    done = shell(fresh, *trace, os.devnull, "-e", inject, *command, check=False)
    assert done.returncode != 0
    check_whole_or_absent(fresh, undisturbed.hashes)
    before = finished_work(fresh)
    again = start(fresh)
    assert again.code == 0, again.log
    assert output_hashes(fresh) == undisturbed.hashes
    check_not_redone(fresh, before, again.log)
