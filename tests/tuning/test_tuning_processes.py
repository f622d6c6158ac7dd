"""The search in real processes: any number of workers, and one that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("run_study.py")


def start(folder, *options):
    folder.mkdir(exist_ok=True)
    platform = str(SCRIPT.parents[2] / "platform")
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), *map(str, options)],
        env={**os.environ, "PYTHONPATH": platform},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(folder, *options):
    process = start(folder, *options)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()
    return json.loads(out)


def calls(folder):
    return len((folder / "calls").read_text().splitlines())


@pytest.fixture(scope="module", params=["none", "halving"])
def scheduler(request):
    """One rung, and three."""
    return request.param


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, scheduler):
    """The study of one worker, from the beginning to the end."""
    study = run(tmp_path_factory.mktemp("alone") / "study", "--scheduler", scheduler)
    assert len({trial["share"] for trial in study["trials"]}) == (1 if scheduler == "none" else 3)
    return study


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_same_study_for_any_number_of_workers(tmp_path, undisturbed, scheduler, workers):
    """Processes change nothing: values, order, pruning, best."""
    study = run(tmp_path / "many", "--workers", workers, "--scheduler", scheduler)
    assert study == undisturbed
    assert {trial["state"] for trial in study["trials"]} == {"complete", "pruned"}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_study_goes_on_to_the_same_end(tmp_path, undisturbed, scheduler, workers):
    """kill -9 in the middle: no finished trial runs again, and the result is the same."""
    folder = tmp_path / "killed"
    given = ("--workers", workers, "--scheduler", scheduler)
    process = start(folder, *given, "--seconds", 0.04)
    journal = folder / "study.journal"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"tidemill:number") >= 5:
            break
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    finished = journal.read_bytes().count(b"tidemill:number")
    trials = len(undisturbed["trials"])
    assert 5 <= finished < trials, "it was killed in the middle"
    (folder / "calls").unlink()
    assert run(folder, *given) == undisturbed
    assert calls(folder) == trials - finished
