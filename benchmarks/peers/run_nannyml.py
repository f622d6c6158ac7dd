"""NannyML's univariate drift: ``run_nannyml.py WINDOW REFERENCE``; the window is one chunk."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers.stopwatch import Stopwatch

METHODS = ["jensen_shannon", "kolmogorov_smirnov", "wasserstein"]


def main(window: Path, reference: Path) -> None:
    watch = Stopwatch()
    import nannyml
    import pandas as pd

    watch.imported()
    now = pd.read_parquet(window)
    before = pd.read_parquet(reference, columns=list(now.columns))
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=list(now.columns), continuous_methods=METHODS, chunk_size=len(now)
    )
    result = calculator.fit(before).calculate(now).filter(period="analysis")
    alerts = result.to_df().xs("alert", axis=1, level=2)
    watch.tell({column for column, _ in alerts.columns[alerts.any()]})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
