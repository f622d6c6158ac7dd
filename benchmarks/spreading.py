"""Fits over several workers beside that of one process: quality on real sets, memory of a worker.

Quality: the sets are sharded eight ways, and each way of learning has the learner's defaults, no
search, and the same validation rows; the figures are those of the test rows, which are later rows
or those of another file. Memory: ``TIDEMILL_BENCH_ROWS`` (default 3000000) rows of 10 columns in
eight shards, made block by block where they are read, five rounds; the peak is that of the largest
process that takes part, without what it holds for a fit of few rows. Neither depends on how busy
the machine is.
"""

from __future__ import annotations

import os
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
from benchmarks.table import Line, line

from tidemill.config import TrainingConfig, load_params, set_params
from tidemill.contracts import Blocks
from tidemill.drafting import init_workspace
from tidemill.engines import LocalEngine
from tidemill.learning import fit, predict_scores
from tidemill.metrics import figures_of
from tidemill.pipeline import context_for, find_stage
from tidemill.profiling import fold
from tidemill.schema import Role, Task
from tidemill.settings import Settings
from tidemill.stages.blocks import reduced_blocks
from tidemill.storage import ShardManifest, Workspace

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ROWS = int(os.environ.get("TIDEMILL_BENCH_ROWS", "3000000"))
SHARDS = 8
WORKERS = 2
SETS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "adult": (
        "adult/raw/adults.parquet",
        "class",
        ("sharding.holdout.by=order", "sharding.holdout.test=0.3"),
    ),
    "elec2": (  # date and nswprice give the answer away
        "elec2/elec2.csv",
        "class",
        ("dataset.drop=[date, nswprice]", "sharding.holdout.by=order"),
    ),
    "kddcup99": (
        "kddcup99/*.parquet",
        "attack",
        (
            "dataset.derive.attack=label <> 'normal'",
            "dataset.drop=[label]",
            "sharding.holdout.by=file",
            "sharding.holdout.test=test_corrected.parquet",
        ),
    ),
}
WAYS: dict[str, Sequence[Mapping[str, Any]]] = {
    "lightgbm": [
        {"strategy": "boosted"},
        {"strategy": "shard_ensemble"},
        {"strategy": "distributed", "ranks": 2},
    ],
    "linear": [{"strategy": "incremental"}, {"strategy": "merged"}],
    "sgd": [{"strategy": "incremental"}, {"strategy": "averaged"}, {"strategy": "shard_ensemble"}],
}
"""Of each learner: that of one process first."""
LINEAR = ("reduction.impute=mean", "reduction.encode=one_hot", "reduction.scale=standard")
REDUCTION = {
    "lightgbm": ["reduction.impute=none"],
    **{learner: [f"training.learner={learner}", *LINEAR] for learner in ("linear", "sgd")},
}
LARGE = [*WAYS["lightgbm"], {"strategy": "distributed", "ranks": 4}]
LOST = 0.003
"""ROC AUC that may be lost beside one process."""


def measure(folder: Path) -> dict[str, Any]:
    """ROC AUC by set, learner and way; MB by way."""
    for archive in SETS:
        with tarfile.open(DATA / f"{archive}.tar.gz") as tar:
            tar.extractall(folder, filter="data")
    with LocalEngine(WORKERS) as engine:
        quality = {name: _quality(folder, name, engine) for name in SETS}
    few, many = (MadeBlocks(rows // 64) for rows in (64_000, ROWS))
    memory = {}
    for way in LARGE:
        idle, busy = (_peak_bytes(blocks, way) for blocks in (few, many))
        memory[_name(way)] = round((busy - idle) / 1e6, 1)
    return {"shards": SHARDS, "rows": ROWS, "quality": quality, "memory_mb": memory}


def lines(found: dict[str, Any]) -> list[Line]:
    """What is lost beside one process, and the share of its memory."""
    told = []
    for name, learners in found["quality"].items():
        for learner, ways in learners.items():
            (_, alone), *others = ways.items()
            for way, value in others:
                told.append(line(f"{name}: {learner}, ROC AUC lost by {way}", alone - value, LOST))
    (_, alone), *others = found["memory_mb"].items()
    for way, value in others:
        told.append(line(f"memory of the largest process, {way} / one", value / alone, 1.0))
    return told


def _name(way: Mapping[str, Any]) -> str:
    return " ".join(str(value) for value in way.values())


def _quality(folder: Path, name: str, engine: LocalEngine) -> dict[str, dict[str, float]]:
    source, target, assignments = SETS[name]
    workspace, settings = Workspace.at(folder / f"{name}-workspace"), Settings(workers=WORKERS)
    init_workspace(
        workspace,
        source=str(folder / source),
        target=target,
        time=None,
        key=None,
        assignments=[f"sharding.shards={SHARDS}", *assignments],
        engine=engine,
    )
    for stage in ("look", "ingest", "shard"):
        _stage(stage, workspace, settings, engine)
    return {learner: _learnt(workspace, settings, learner, engine) for learner in WAYS}


def _stage(name: str, workspace: Workspace, settings: Settings, engine: LocalEngine) -> None:
    params = load_params(workspace.root)
    find_stage(name).run(context_for(workspace, params, settings, engine), params)


def _learnt(
    workspace: Workspace, settings: Settings, learner: str, engine: LocalEngine
) -> dict[str, float]:
    """ROC AUC on the test rows, by way."""
    path = workspace.root / "params.yaml"
    path.write_text(set_params(path.read_text(), REDUCTION[learner]))
    _stage("reduce", workspace, settings, engine)
    params, manifest = load_params(workspace.root), ShardManifest.read(workspace.shards)
    context, schema = context_for(workspace, params, settings, engine), manifest.schema
    train, held, test = (
        reduced_blocks(context, manifest, role) for role in (Role.TRAIN, Role.VALIDATION, Role.TEST)
    )
    said: dict[str, Any] = {"task": schema.task, "classes": schema.classes, "seed": params.seed}
    found = {}
    for way in WAYS[learner]:
        config = TrainingConfig(learner=learner, **way)
        model = fit(config, {}, train, held, engine=engine, **said).estimator
        scored = ((predict_scores(model, X, schema.task), y) for X, y in test)
        figures = (figures_of(schema.task, *each, classes=schema.classes) for each in scored)
        found[_name(way)] = round(float(fold(figures).values()["roc_auc"]), 4)
    return found


@dataclass(frozen=True)
class MadeBlocks:
    """64 blocks of made rows in eight shards; picklable, holds nothing."""

    block_rows: int
    blocks: tuple[int, ...] = tuple(range(64))
    names: tuple[str, ...] = tuple(f"x{column}" for column in range(10))

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of each block."""
        return (self.block_rows,) * len(self.blocks)

    @property
    def shards(self) -> tuple[str, ...]:
        """The shard of each block."""
        return tuple(f"{block * SHARDS // 64:05d}" for block in self.blocks)

    def take(self, blocks: Sequence[int]) -> MadeBlocks:
        """Those blocks alone."""
        return replace(self, blocks=tuple(self.blocks[block] for block in blocks))

    def read(self, block: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """One block's matrix and target."""
        draw = np.random.default_rng(self.blocks[block])
        X = draw.standard_normal((self.block_rows, len(self.names)), np.float32)
        return X, (X[:, :3].sum(axis=1) + draw.standard_normal(len(X)) > 0).astype(np.int32)

    def __iter__(self) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]]:
        return (self.read(block) for block in range(len(self.blocks)))


def _peak_bytes(train: MadeBlocks, way: Mapping[str, Any]) -> int:
    """The peak of the largest process below this one, in a fit of its own pool."""
    with LocalEngine(int(way.get("ranks", WORKERS))) as engine, _peaks() as peaks:
        spread = way["strategy"] != LARGE[0]["strategy"]
        learn = partial(_fit_made, train=train, way=way)
        if spread:
            learn(engine=engine)
        else:
            list(engine.stream(learn, [None], label="fit in one worker"))
    return max(peaks.values())


def _fit_made(engine: LocalEngine | None, *, train: Blocks, way: Mapping[str, Any]) -> None:
    config = TrainingConfig(learner="lightgbm", memory_budget_mb=100_000, **way)
    said: dict[str, Any] = {"task": Task.BINARY, "classes": ("no", "yes"), "seed": 1}
    fit(config, {"num_iterations": 5}, train, train.take(()), engine=engine, **said)


@contextmanager
def _peaks() -> Iterator[dict[int, int]]:
    """Peak resident bytes by process below this one; as the kernel tells them (Linux)."""
    peaks: dict[int, int] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            for member in psutil.Process().children(recursive=True):
                with suppress(OSError, psutil.Error, IndexError):
                    status = Path(f"/proc/{member.pid}/status").read_text()
                    peaks[member.pid] = int(status.split("VmHWM:")[1].split()[0]) * 1024

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()
