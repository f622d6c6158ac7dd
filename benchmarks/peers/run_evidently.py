"""Evidently's data drift preset: ``run_evidently.py WINDOW REFERENCE``."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers.stopwatch import Stopwatch


def main(window: Path, reference: Path) -> None:
    watch = Stopwatch()
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    watch.imported()
    now = pd.read_parquet(window)
    before = pd.read_parquet(reference, columns=list(now.columns))
    found = Report([DataDriftPreset()]).run(now, before).dict()
    watch.tell(
        metric["config"]["column"]
        for metric in found["metrics"]
        if metric["config"]["type"].endswith(":ValueDrift")
        and metric["value"] > metric["config"]["threshold"]
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
