"""kill -9 under load: what was acknowledged is there, once, and in its window."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tidemill.ledger import Ledger
from tidemill.testing.postgres import PostgresServer
from tidemill.testing.traffic import CountingFolding, window_counts

RUN = Path(__file__).with_name("run_appends.py")
PLATFORM = Path(__file__).parents[2] / "platform"


def killed_run(url: str, round_: int, lines: int) -> tuple[set[str], set[str]]:
    """Let the process acknowledge some batches, kill it at once; the ids of events and labels."""
    process = subprocess.Popen(
        [sys.executable, str(RUN), url, str(round_)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PLATFORM)},
    )
    assert process.stdout is not None
    output = []
    for line in process.stdout:
        output.append(line)
        if len(output) == lines:
            break
    time.sleep(random.Random(round_).random() * 0.02)
    process.send_signal(signal.SIGKILL)
    output += process.stdout.readlines()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    said = [line.split() for line in output if line.endswith("\n")]
    events = {name for words in said if words[0] == "e" for name in words[1:]}
    labels = {name for words in said if words[0] == "l" for name in words[1:]}
    return events, labels


def check(url: str, events: set[str], labels: set[str]) -> None:
    """Every acknowledged row is stored; every stored row is counted once."""
    with Ledger.open(url, folding=CountingFolding(), flush_ids=500) as ledger:
        ledger.settle(120)
        rows = ledger.events.recent(limit=10**9)
        assert rows is not None
        stored = rows["event_id"].to_pylist()
        assert len(stored) == len(set(stored)), "a row is stored twice"
        assert events <= set(stored), "an acknowledged row is lost"
        assert rows["position"].to_pylist() == list(range(len(stored)))
        counted = sum(found["rows"] for found in window_counts(ledger).values())
        assert counted == len(stored), "windows count other rows than are stored"
        truths = [row for batch in ledger.events.labelled() for row in batch.to_pylist()]
        labelled = [row["event_id"] for row in truths]
        assert len(labelled) == len(set(labelled))
        assert labels & set(stored) <= set(labelled), "an acknowledged label is lost"
        assert len(labels - set(stored)) <= ledger.labels.pending()
        figures = sum(found["rows"] for found in window_counts(ledger, "figures").values())
        assert figures == len(labelled)


def kill_many_times(url: str, times: int) -> None:
    events: set[str] = set()
    labels: set[str] = set()
    for round_ in range(times):
        more = killed_run(url, round_, lines=20 + 17 * (round_ % 9))
        events |= more[0]
        labels |= more[1]
        check(url, events, labels)
    assert len(events) > 100 * times


def test_a_kill_on_sqlite(tmp_path):
    """One kill."""
    kill_many_times(f"sqlite:///{tmp_path / 'ledger.db'}", 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_thirty_kills_on_sqlite(tmp_path):
    """Thirty kills in a row."""
    kill_many_times(f"sqlite:///{tmp_path / 'ledger.db'}", 30)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_on_postgres(postgres: PostgresServer):
    """Six kills in a row; the server goes on and gives the lock to the next."""
    kill_many_times(postgres.new_database(), 6)
