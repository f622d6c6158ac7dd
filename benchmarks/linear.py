"""Scale, PCA and a logistic model from CSV to a ROC AUC, beside Spark ML and Dask-ML.

The same files, the same columns (22 numbers, hour and weekday of the time), the last fifth by time
as test rows, impute and scale, 20 principal components, logistic loss. Each side is a process of
its own with two cores, in turn; Dask-ML has an environment of its own, made from its lock. Ours is
``tidemill run --direct --until evaluate``, with all that a run checks and keeps.
``TIDEMILL_BENCH_ROWS`` (default 2000000) makes it smaller.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import Measured, run
from benchmarks.peer_environments import PEERS, REPOSITORY, peer_python
from benchmarks.rides import TEXTS, TIME, TIMES
from benchmarks.table import Line, line

from tidemill.samples import write_sample

ROWS = int(os.environ.get("TIDEMILL_BENCH_ROWS", "2000000"))
REPEATS = 2
NAMES = {"spark_ml": ("Spark ML local[2]", 6.0), "dask_ml": ("Dask-ML, 2 workers", 1.8)}
"""What each peer is called, and how many times our wall its own should be."""
DROPPED = [name for name in (*TIMES, *TEXTS, "is_airport") if name != TIME]
SETTINGS = (
    "tuning.trials=0",
    "training.learner=linear",
    "training.strategy=merged",
    "training.refit=none",
    "reduction.impute=mean",
    "reduction.scale=standard",
    "reduction.max_correlation=1.0",
    "reduction.project=pca",
    "reduction.components=20",
    f"dataset.drop={json.dumps(DROPPED)}",
)


def measure(folder: Path) -> dict[str, Any]:
    """Ours and both peers in turn, ``REPEATS`` times."""
    raw = folder / f"rides-{ROWS}"
    if not raw.exists():
        write_sample(raw, rows=ROWS, months=12, seed=42)
    pythons = {"spark_ml": Path(sys.executable), "dask_ml": peer_python(folder, "dask_ml")}
    rounds = []
    for _ in range(REPEATS):
        once = {"tidemill": _ours(folder, raw)}
        for peer, python in pythons.items():
            command = [str(python), str(PEERS / f"run_{peer}.py"), str(raw)]
            where = {"PYTHONPATH": str(REPOSITORY), "PYSPARK_PYTHON": str(python)}
            once[peer] = _told(run(command, cwd=folder, environment=where))
        rounds.append(once)
    return {"rows": ROWS, "rounds": rounds}


def lines(found: dict[str, Any]) -> list[Line]:
    """Each peer's figures as times ours, and the gap of the ROC AUC."""
    told, size = [], f"{found['rows']:,} rows"
    for peer, (name, target) in NAMES.items():

        def ratio(figure: str, peer: str = peer) -> float:
            return statistics.median(
                o[peer][figure] / o["tidemill"][figure] for o in found["rounds"]
            )

        gap = max(o[peer]["roc_auc"] - o["tidemill"]["roc_auc"] for o in found["rounds"])
        told += [
            line(f"{size}: wall, {name}, times ours", ratio("seconds"), target, least=True),
            line("  in CPU seconds", ratio("cpu_seconds"), target, least=True),
            line("  in peak memory", ratio("peak_mb"), 1, least=True),
            line("  by how much its ROC AUC is better", gap, 0.003),
        ]
    return told


def _ours(folder: Path, raw: Path) -> dict[str, float]:
    workspace = folder / "workspace"
    shutil.rmtree(workspace, ignore_errors=True)
    tool = [sys.executable, "-m", "tidemill"]
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    columns = ["--target", "cancelled", "--time", TIME, "--key", "ride_id"]
    run([*tool, "init", str(workspace), "--source", str(raw), *columns, *settings], cwd=folder)
    command = [*tool, "run", "--direct", "--until", "evaluate"]
    measured = run(command, cwd=workspace, environment={"TIDEMILL_WORKERS": "2"})
    scores = json.loads((workspace / "reports" / "metrics.json").read_text())
    return _figures(measured, scores["test"]["roc_auc"])


def _told(measured: Measured) -> dict[str, float]:
    return _figures(measured, json.loads(measured.stdout.strip().splitlines()[-1])["roc_auc"])


def _figures(measured: Measured, roc_auc: float) -> dict[str, float]:
    return {
        "seconds": round(measured.seconds, 2),
        "cpu_seconds": round(measured.cpu_seconds, 2),
        "peak_mb": round(measured.peak_memory_bytes / 1e6, 1),
        "roc_auc": roc_auc,
    }
