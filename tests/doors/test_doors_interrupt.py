"""Ctrl-C: a word about what is kept, exit code 130, and the next run goes on."""

from __future__ import annotations

import signal
import subprocess

from tidemill.testing.forks import forked_commands
from tidemill.testing.workspaces import output_hashes


def test_ctrl_c_keeps_finished_work(blank, finished, copy, cli, tmp_path_factory):
    """Interrupted once ingest has begun: no traceback, and the same end after all."""
    root = copy(blank)
    with forked_commands(tmp_path_factory.getbasetemp()) as programs:
        process = subprocess.Popen(
            [programs / "tidemill", "run", "--direct", "-w", str(root)],
            stderr=subprocess.PIPE,
            text=True,
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
