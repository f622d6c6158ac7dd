"""The whole job, from raw CSV to a registered model, beside a plain in-memory script.

Same table, checks and hold-out by time, same features (impute, scale, one-hot, 20 principal
components), same learner (logistic loss by stochastic gradient descent), same figure, both logged
to a fresh MLflow store. Ours runs with ``--direct``: the script has no orchestrator either.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import Measured, run
from benchmarks.table import Line, line

PLAIN = Path(__file__).with_name("plain.py")
SUITE = Path(__file__).parents[1] / "expectations" / "suite.json"
SETTINGS = (
    "tuning.trials=0",
    "training.learner=sgd",
    "reduction.impute=mean",
    "reduction.encode=one_hot",
    "reduction.scale=standard",
    "reduction.max_correlation=1.0",
    "reduction.project=pca",
    "reduction.components=20",
    # The script fits once, and so do we.
    "training.refit=none",
)


PLAN = ((2_000_000, 3), (10_000_000, 1))
"""Rows, and pairs of runs."""


def measure(folder: Path) -> dict[str, Any]:
    """Both sizes, one after the other."""
    return {"runs": [compare(folder, rows, repeats) for rows, repeats in PLAN]}


def lines(found: dict[str, Any]) -> list[Line]:
    """The lines of the table."""
    small, big = found["runs"]
    growth = big["ours"]["peak_mb"] / small["ours"]["peak_mb"]
    return [
        line("whole job, 2M rows: wall, ours / plain", small["wall_ratio"], 1.3),
        line("whole job, 10M rows: wall, ours / plain", big["wall_ratio"], 1.0),
        line("whole job, 10M rows: memory, ours / plain", big["memory_ratio"], 1 / 6),
        line("peak memory, 10M / 2M rows", growth, 1.15),
    ]


def compare(folder: Path, rows: int, repeats: int) -> dict[str, Any]:
    """Run both in turn ``repeats`` times; return medians, the ratio pair by pair, both figures."""
    from tidemill.samples import write_sample

    raw = folder / f"rides-{rows}"
    if not raw.exists():
        write_sample(raw, rows=rows, months=12, seed=42)
    pairs = [(_ours(folder, raw), _plain(folder, raw)) for _ in range(repeats)]
    ours, plain = [a for a, _ in pairs], [b for _, b in pairs]
    return {
        "rows": rows,
        "repeats": repeats,
        "ours": _medians([run for run, _ in ours]),
        "plain": _medians([run for run, _ in plain]),
        "wall_ratio": statistics.median(
            a.seconds / b.seconds for (a, _), (b, _) in zip(ours, plain, strict=True)
        ),
        "memory_ratio": statistics.median(
            a.peak_memory_bytes / b.peak_memory_bytes
            for (a, _), (b, _) in zip(ours, plain, strict=True)
        ),
        "roc_auc_ours": ours[0][1],
        "roc_auc_plain": plain[0][1],
    }


def _ours(folder: Path, raw: Path) -> tuple[Measured, float]:
    workspace = folder / "workspace"
    shutil.rmtree(workspace, ignore_errors=True)
    tool = [sys.executable, "-m", "tidemill"]
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    columns = ["--target", "cancelled", "--time", "requested_at", "--key", "ride_id"]
    run(
        [*tool, "init", str(workspace), "--source", str(raw), *columns, *settings],
        cwd=folder,
    )
    shutil.copy(SUITE, workspace / "expectations" / "suite.json")
    measured = run([*tool, "run", "--direct", "--json"], cwd=workspace)
    return measured, json.loads(measured.stdout)["challenger"]


def _plain(folder: Path, raw: Path) -> tuple[Measured, float]:
    store = folder / "plain"
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir()
    command = [sys.executable, str(PLAIN), str(raw), f"sqlite:///{store / 'mlflow.db'}"]
    measured = run(command, cwd=store, environment={"PYTHONPATH": str(PLAIN.parents[1])})
    return measured, json.loads(measured.stdout.strip().splitlines()[-1])["roc_auc"]


def _medians(runs: list[Measured]) -> dict[str, float]:
    return {
        "seconds": round(statistics.median(r.seconds for r in runs), 2),
        "cpu_seconds": round(statistics.median(r.cpu_seconds for r in runs), 2),
        "peak_mb": round(statistics.median(r.peak_memory_bytes for r in runs) / 1e6, 1),
    }
