"""The driver's memory at 10, 100 and 1,000 shards of the same rows, which Dask's workers work on.

The cluster's scheduler and two workers are processes of the bench's own, so that what is measured
is the process that the user started: it lists shards, merges what comes back, and fits (by
stochastic gradient descent, which holds a block). ``TIDEMILL_BENCH_ROWS`` (default 200000) makes
it smaller.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import run
from benchmarks.table import Line, line
from distributed import LocalCluster

from tidemill.samples import write_sample

ROWS = int(os.environ.get("TIDEMILL_BENCH_ROWS", "200000"))
SHARDS = (10, 100, 1000)
SETTINGS = (
    "training.learner=sgd",
    "training.refit=none",
    "tuning.trials=0",
    "reduction.impute=mean",
    "reduction.encode=one_hot",
    "reduction.scale=standard",
)
TOOL = [sys.executable, "-m", "tidemill"]


def measure(folder: Path) -> dict[str, Any]:
    """Validate the rows once; then shard, reduce, train and evaluate at each number of shards."""
    raw, workspace = folder / "rides", folder / "workspace"
    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0"
    ) as cluster:
        command = [*TOOL, "run", "--direct", "--json", "-w", str(workspace)]
        command += ["--engine", cluster.scheduler_address.replace("tcp://", "dask://")]
        if not workspace.exists():
            write_sample(raw, rows=ROWS, months=12, seed=42)
            init = [*TOOL, "init", str(workspace), "--source", str(raw), "--target", "cancelled"]
            init += ["--time", "requested_at", "--key", "ride_id"]
            run([*init, *(f"--set={setting}" for setting in SETTINGS)], cwd=folder)
            run([*command, "--until", "ingest"], cwd=folder)
        return {str(shards): _measured(workspace, command, shards) for shards in SHARDS}


def _measured(workspace: Path, command: list[str], shards: int) -> dict[str, Any]:
    asked = [*command, "--until", "evaluate", f"--set=sharding.shards={shards}"]
    measured = run(asked, cwd=workspace, environment={"TIDEMILL_WORKERS": "2"})
    manifest = json.loads((workspace / "data" / "shards" / "manifest.json").read_text())
    stages = [one for one in json.loads(measured.stdout)["stages"] if one["state"] == "ran"]
    return {
        "shards": len(manifest["shards"]),
        "rows": ROWS,
        "cpu_seconds": round(measured.cpu_seconds, 1),
        "peak_memory_mb": round(measured.peak_memory_bytes / 1e6, 1),
        "by_stage_mb": {stage["stage"]: stage["peak_memory_mb"] for stage in stages},
        "worker_peak_memory_mb": max(stage.get("worker_peak_memory_mb", 0) for stage in stages),
    }


def lines(found: dict[str, Any]) -> list[Line]:
    """The driver's peak at most shards, over that at fewest."""
    few, *_, most = found.values()
    growth = most["peak_memory_mb"] / few["peak_memory_mb"]
    return [line(f"driver's memory, {most['shards']} / {few['shards']} shards", growth, 1.1)]
