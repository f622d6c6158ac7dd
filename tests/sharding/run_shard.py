"""A process that shards, for tests that kill it; it notes which receipts each map found done.

Usage: run_shard.py BASE WORKERS CONFIG [NAME]

With a name it kills itself at the next change of a file after one whose path ends so was there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tidemill.config import ShardingConfig
from tidemill.engines import LocalEngine
from tidemill.sharding import shard
from tidemill.storage import StoreFolder, ValidatedManifest
from tidemill.testing.kills import Changes


class CountingEngine(LocalEngine):
    """Writes, after each map, when each receipt was written: work done again writes it anew."""

    base: Path

    def map(self, function, items, *, label, progress=None):
        results = super().map(function, items, label=label, progress=progress)
        receipts = {
            path.name: path.stat().st_mtime_ns for path in (self.base / "work").rglob("*[0-9].json")
        }
        (self.base / f"count-{label}.json").write_text(json.dumps(receipts))
        return results


if __name__ == "__main__":
    base = Path(sys.argv[1])
    if sys.argv[4:]:
        Changes(str(base), kill_past=sys.argv[4])
    with CountingEngine(int(sys.argv[2])) as engine:
        engine.base = base
        shard(
            ValidatedManifest.read(base / "validated"),
            StoreFolder.at(base / "validated"),
            ShardingConfig.model_validate_json(sys.argv[3]),
            dataset_key="ride_id",
            seed=7,
            engine=engine,
            work=StoreFolder.at(base / "work"),
            out=base / "shards",
        )
