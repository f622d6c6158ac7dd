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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The study of one worker, from the beginning to the end."""
    return run(tmp_path_factory.mktemp("alone") / "study")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_same_study_for_any_number_of_workers(tmp_path, undisturbed, workers):
    """Processes change nothing: values, order, pruning, best."""
    study = run(tmp_path / "many", "--workers", workers)
    assert study == undisturbed
    assert {trial["state"] for trial in study["trials"]} == {"complete", "pruned"}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_study_goes_on_to_the_same_end(tmp_path, undisturbed, workers):
    """kill -9 in the middle: no finished trial runs again, and the result is the same."""
    folder = tmp_path / "killed"
    process = start(folder, "--workers", workers, "--seconds", 0.04)
    journal = folder / "study.journal"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"tidemill:number") >= 5:
            break
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    finished = journal.read_bytes().count(b"tidemill:number")
    assert 5 <= finished < 12, "it was killed in the middle"
    (folder / "calls").unlink()
    assert run(folder, "--workers", workers) == undisturbed
    assert calls(folder) == 12 - finished
