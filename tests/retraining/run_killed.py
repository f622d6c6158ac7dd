"""A retraining in a process of its own: run_killed.py ROOT ROWS.parquet [KILL_AT].

Kills itself at its KILL_AT-th change of a file below ROOT; else prints its outcome and how many
changes it has seen.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tidemill.testing.kills import Changes


def main(root: str, rows: str, kill_at: str | None = None) -> None:
    """Retrain for the decision d1."""
    import pyarrow.parquet as pq

    from tidemill.engines import LocalEngine
    from tidemill.retraining import Order, retrain
    from tidemill.settings import Settings
    from tidemill.storage import Workspace, workspace_lock

    table, place = pq.read_table(rows), Workspace.at(root)
    seen = Changes(str(Path(root).resolve()), kill_at=int(kill_at) if kill_at else None)
    with workspace_lock(place, wait_seconds=60), LocalEngine(1) as engine:
        done = retrain(
            place,
            lambda: table.to_batches(max_chunksize=400),
            Order("d1", "the answer has turned round"),
            settings=Settings(workers=1),
            engine=engine,
        )
    print(json.dumps({"facts": done.facts, "changes": seen.seen}))


if __name__ == "__main__":
    main(*sys.argv[1:])
