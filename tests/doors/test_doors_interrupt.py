"""Ctrl-C: a word about what is kept, exit code 130, and the next run goes on."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tidemill.testing.forks import forked_commands
from tidemill.testing.workspaces import output_hashes


@pytest.fixture(params=["by a fork", pytest.param("by itself", marks=pytest.mark.slow)])
def tidemill(request, tmp_path_factory):
    """The words that start the command; by itself, Ctrl-C reaches the process that works."""
    if request.param == "by itself":
        yield [sys.executable, "-m", "tidemill"]
        return
    with forked_commands(tmp_path_factory.getbasetemp()) as programs:
        yield [programs / "tidemill"]


def test_ctrl_c_keeps_finished_work(tidemill, blank, finished, copy, cli):
    """Interrupted once ingest has begun: no traceback, and the same end after all."""
    root = copy(blank)
    process = subprocess.Popen(
        [*tidemill, "run", "--direct", "-w", root], stderr=subprocess.PIPE, text=True
    )
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("ingest: started"):
            process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, said
    process.stderr.close()
    assert "goes on from there" in said[-1]
    assert not [line for line in said if "Traceback" in line]
    assert cli("run", "--direct", "--until", "shard", "-w", root).code == 0
    stages = ("look", "ingest", "shard")
    assert output_hashes(root, *stages) == output_hashes(finished, *stages)
