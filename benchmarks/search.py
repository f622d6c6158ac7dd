"""A search by successive halving, beside Optuna's TPE by hand and scikit-learn's halving.

A simulated table on which LightGBM's parameters matter; the same matrices, space, learner, number
of parameters and validation rows. Ours is ``tidemill run --direct --until tune`` from a reduced
table, with its start, DVC and MLflow; ``tuning.max_rows`` is all rows. TPE learns all rows in each
trial, and stops rounds early as ours does; its CPU seconds are those until its best is within .001
of the best that anybody found. scikit-learn's has the rounds of ours and no early stopping, as it
has no way to; its best is fitted on all rows at last. ``TIDEMILL_BENCH_ROWS`` (default 500000).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from benchmarks.measure import Measured, run
from benchmarks.peer_environments import PEERS, REPOSITORY
from benchmarks.table import Line, line

ROWS = int(os.environ.get("TIDEMILL_BENCH_ROWS", "500000"))
TRIALS = 32
NEAR = 0.001
NAMES = {"tpe": ("Optuna's TPE on all rows", 5.0), "halving": ("HalvingRandomSearchCV", 1.5)}
"""What each peer is called, and how many times our CPU seconds its own should be."""
SETTINGS = (
    f"tuning.trials={TRIALS}",
    f"tuning.max_rows={ROWS}",
    "tuning.scheduler=halving",
    "tuning.metric=roc_auc",
    "sharding.holdout.by=hash",
)


def measure(folder: Path) -> dict[str, Any]:
    """Ours, then each peer."""
    workspace = _reduced(folder)
    ours = _ours(folder, workspace)
    _leave_matrices(workspace, folder / "matrices")
    peers = {peer: _peer(folder, peer) for peer in NAMES}
    return {"rows": ROWS, "trials": TRIALS, "ours": ours, "peers": peers}


def lines(found: dict[str, Any]) -> list[Line]:
    """Each peer's CPU seconds as times ours, until it is near the best or ends; what it misses."""
    ours = found["ours"]
    best = max(one["value"] for one in (ours, *found["peers"].values()))
    told = [line(f"{found['rows']:,} rows: the best found less ours", best - ours["value"], NEAR)]
    for peer, (name, target) in NAMES.items():
        of_peer = found["peers"][peer]
        reached = [cpu for cpu, value in of_peer["history"] if value >= best - NEAR]
        seconds = reached[0] if reached else of_peer["cpu_seconds"]
        told.append(line(f"the best found less that of {name}", best - of_peer["value"], NEAR))
        what = "  its CPU seconds until it was near, times ours"
        if not reached:
            what = "  its CPU seconds, which did not bring it near, times ours"
        told.append(line(what, seconds / ours["cpu_seconds"], target, least=True))
        memory = of_peer["peak_mb"] / ours["peak_mb"]
        told.append(line("  in peak memory", memory, 1, least=True))
    return told


def _reduced(folder: Path) -> Path:
    from sklearn.datasets import make_classification

    raw, workspace = folder / "raw", folder / "workspace"
    shutil.rmtree(folder, ignore_errors=True)
    raw.mkdir(parents=True)
    X, y = make_classification(
        ROWS, 30, n_informative=14, n_redundant=4, n_clusters_per_class=24, flip_y=0.05,
        class_sep=0.7, random_state=3,
    )  # fmt: skip
    frame = pd.DataFrame(X.astype(np.float32), columns=[f"x{i}" for i in range(30)])
    frame.assign(target=np.where(y == 1, "yes", "no")).to_parquet(raw / "table.parquet")
    tool = [sys.executable, "-m", "tidemill"]
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    init = ["init", str(workspace), "--source", str(raw), "--target", "target", *settings]
    run([*tool, *init], cwd=folder)
    run([*tool, "run", "--direct", "--until", "reduce"], cwd=workspace)
    return workspace


def _ours(folder: Path, reduced: Path) -> dict[str, Any]:
    workspace = folder / "workspace-tuned"
    shutil.copytree(reduced, workspace)
    command = [sys.executable, "-m", "tidemill", "run", "--direct", "--until", "tune"]
    measured = run(command, cwd=workspace)
    found = json.loads((workspace / "models" / "params.json").read_text())
    return {**_figures(measured), "value": found["value"], "params": found["params"]}


def _leave_matrices(workspace: Path, matrices: Path) -> None:
    """What our trials learn and are judged by, for the peers."""
    from tidemill.config import read_params
    from tidemill.engines import open_engine
    from tidemill.pipeline.running import context_for
    from tidemill.schema import Role
    from tidemill.settings import Settings
    from tidemill.stages.blocks import reduced_blocks
    from tidemill.stages.cross_validation import MatrixBlocks
    from tidemill.storage import ShardManifest, Workspace

    matrices.mkdir()
    at, settings = Workspace.at(workspace), Settings(workers=1)
    manifest = ShardManifest.read(at.shards)
    with open_engine(settings) as engine:
        params = read_params((at.root / "params.yaml").read_text())
        context = context_for(at, params, settings, engine)
        for role in (Role.TRAIN, Role.VALIDATION):
            rows = MatrixBlocks.of(reduced_blocks(context, manifest, role))
            np.save(matrices / f"{role.value}-x.npy", rows.X)
            np.save(matrices / f"{role.value}-y.npy", rows.y)


def _peer(folder: Path, peer: str) -> dict[str, Any]:
    command = [sys.executable, str(PEERS / "run_search.py"), peer]
    given = [str(folder / "matrices"), str(TRIALS)]
    measured = run([*command, *given], cwd=folder, environment={"PYTHONPATH": str(REPOSITORY)})
    found: dict[str, Any] = json.loads(measured.stdout.strip().splitlines()[-1])
    return _figures(measured) | found


def _figures(measured: Measured) -> dict[str, float]:
    return {
        "seconds": round(measured.seconds, 2),
        "cpu_seconds": round(measured.cpu_seconds, 2),
        "peak_mb": round(measured.peak_memory_bytes / 1e6, 1),
    }
