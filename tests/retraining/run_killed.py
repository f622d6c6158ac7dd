"""A retraining in a process of its own: run_killed.py ROOT ROWS.parquet [KILL_AT].

Kills itself at its KILL_AT-th change of a file below ROOT; else prints its outcome and how many
changes it has seen.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}


def count_changes(root: str, kill_at: int | None) -> list[int]:
    """Count changes of files in this process; kill it at one of them."""
    seen = [0]

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event in CHANGES:
            path = arguments[0]
        else:
            return
        if str(path).startswith(root):
            seen[0] += 1
            if seen[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return seen


def main(root: str, rows: str, kill_at: str | None = None) -> None:
    """Retrain for the decision d1."""
    import pyarrow.parquet as pq

    from tidemill.engines import LocalEngine
    from tidemill.retraining import Order, retrain
    from tidemill.settings import Settings
    from tidemill.storage import Workspace, workspace_lock

    table, place = pq.read_table(rows), Workspace.at(root)
    seen = count_changes(str(Path(root).resolve()), int(kill_at) if kill_at else None)
    with workspace_lock(place, wait_seconds=60), LocalEngine(1) as engine:
        done = retrain(
            place,
            lambda: table.to_batches(max_chunksize=400),
            Order("d1", "the answer has turned round"),
            settings=Settings(workers=1),
            engine=engine,
        )
    print(json.dumps({"facts": done.facts, "changes": seen[0]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
