"""False alarms of harm and of outputs on streams that stand still; also where a refit serves.

``measure(_)`` returns everything that was measured, ``lines(found)`` the lines of the table.
What accuses is chance alone: every loss counts (all limits are 0), so the followed figure and its
guards together are held to the one stated rate. Beside it the share with the default limits. The
first streams draw scores and truth; the others are boosters: one that is judged on rows it never
saw, one refitted on all rows, which serves, and, where it knows its rows by heart, its two twins
that left half of the held-out rows out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from benchmarks.table import Line, line
from scipy import stats
from threadpoolctl import threadpool_limits

from tidemill.config import DriftConfig, HarmConfig
from tidemill.drift import (
    HeldOut,
    PerformanceModel,
    Reference,
    Yardstick,
    output_gap,
    output_schema,
    outputs_of,
    widest_gap,
)
from tidemill.drift import measure as measure_performance
from tidemill.profiling import Profile, fold
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill.stages.unseen import BY_HEART, loss_left

DEFAULTS = HarmConfig()
STRICT = HarmConfig(max_loss=0, max_log_loss=0, max_wrong=0, max_rmse=0, max_bias=0)
REFERENCES, WINDOWS = 6, 10
BLOCKS = ((64, 150),)
SIZES = (200, 1000)
TABLES, ROUNDS, MODELS, LIVE, LIVE_ROWS = (1500, 5000), (4, 100), 2, 15, 500
OF_TEN = 7
"""The judged model learns so many tenths of a table and is held to the others."""

Floats = npt.NDArray[np.float64]
Truth = npt.NDArray[Any]
Rows = tuple[Floats, Truth]
Draw = Callable[[np.random.Generator, int], Rows]

_LABEL = Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary")
_EDGES = tuple(np.linspace(-4, 4, 25).tolist())
_NUMBER = Column("y", ColumnType.NUMERIC, Purpose.TARGET, "float64", _EDGES)
_FEATURE = Column("x0", ColumnType.NUMERIC, Purpose.FEATURE, "float64", (-1.0, 0.0, 1.0))
_BINARY = TableSchema((_FEATURE, _LABEL), Task.BINARY, ("no", "yes"))
_CLASSES = TableSchema((_FEATURE, _LABEL), Task.MULTICLASS, ("a", "b", "c"))
_REGRESSION = TableSchema((_FEATURE, _NUMBER), Task.REGRESSION)
_OBJECTIVES = {
    Task.BINARY: {"objective": "binary"},
    Task.MULTICLASS: {"objective": "multiclass", "num_class": 3},
    Task.REGRESSION: {"objective": "regression"},
}


def _binary(rng: np.random.Generator, rows: int, base: float = -0.5, mood: float = 0.0) -> Rows:
    logit = rng.normal(base, 1.5, rows)
    truth = rng.random(rows) < 1 / (1 + np.exp(-logit - rng.normal(0, mood)))
    return 1 / (1 + np.exp(-logit)), truth.astype(np.int64)


def _classes(rng: np.random.Generator, rows: int) -> Rows:
    weights = rng.gamma(0.5, size=(rows, 3)) + 1e-3
    scores = weights / weights.sum(axis=1, keepdims=True)
    truth = (rng.random(rows)[:, None] > scores.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    return scores, truth.astype(np.int64)


def _numbers(rng: np.random.Generator, rows: int, heavy: bool = False) -> Rows:
    said = rng.normal(0, 1, rows)
    error = rng.standard_t(3, rows) if heavy else rng.normal(0, 1, rows)
    return said, said + error * (0.3 + 0.3 * np.abs(said))


STREAMS: dict[str, tuple[TableSchema, str, Draw]] = {
    "binary, ROC AUC": (_BINARY, "roc_auc", _binary),
    "binary, accuracy": (_BINARY, "accuracy", _binary),
    "rare class, ROC AUC": (_BINARY, "roc_auc", lambda rng, n: _binary(rng, n, -4.0)),
    "binary with moods, ROC AUC": (_BINARY, "roc_auc", lambda rng, n: _binary(rng, n, mood=0.2)),
    "three classes, accuracy": (_CLASSES, "accuracy", _classes),
    "regression, R2": (_REGRESSION, "r2", _numbers),
    "regression, heavy tails, MAE": (_REGRESSION, "mae", lambda rng, n: _numbers(rng, n, True)),
}
REFITTED: dict[str, tuple[TableSchema, str, float]] = {
    "refitted, binary, ROC AUC": (_BINARY, "roc_auc", -1.5),
    "refitted, rare class, ROC AUC": (_BINARY, "roc_auc", -4.0),
    "refitted, three classes, accuracy": (_CLASSES, "accuracy", 0.0),
    "refitted, regression, R2": (_REGRESSION, "r2", 0.0),
}
"""Schema, followed figure, and the logit around which the classes lie."""


def measure(_: Path) -> dict[str, Any]:
    """Accused windows of each stream: drawn ones by size, refitted ones by table and rounds."""
    with threadpool_limits(1):
        drawn = [
            accused(name, blocks, block_rows, size)
            for name in STREAMS
            for blocks, block_rows in BLOCKS
            for size in SIZES
        ]
        refitted = [
            served(name, rows, rounds) for name in REFITTED for rows in TABLES for rounds in ROUNDS
        ]
    return {
        "stated_rate": STRICT.false_alarm_rate,
        "stated_rate_of_drift": DriftConfig().false_alarm_rate,
        "drawn": drawn,
        "refitted": refitted,
    }


def lines(found: dict[str, Any]) -> list[Line]:
    """Lines for the table of ``python -m benchmarks``."""
    told = []
    for kind in ("drawn", "refitted"):
        told += _rates(f"all that are {kind}", found[kind], found["stated_rate"])
        for name in dict.fromkeys(run["stream"] for run in found[kind]):
            runs = [run for run in found[kind] if run["stream"] == name]
            told += _rates(name, runs, found["stated_rate"])
    runs = found["refitted"]
    windows = sum(run["windows"] for run in runs)
    for key, what in (("drifted", "with"), ("drifted_without_gap", "without")):
        said = f"outputs of the refitted called drift, {what} the gap between both models"
        share = sum(run[key] for run in runs) / windows
        told.append(line(said, share, found["stated_rate_of_drift"] / 10))
    return told


def _rates(name: str, runs: Sequence[dict[str, Any]], stated: float) -> list[Line]:
    windows = sum(run["windows"] for run in runs)
    strict, lenient = (sum(run[key] for run in runs) for key in ("accused", "with_limits"))
    low, high = stats.binomtest(strict, windows).proportion_ci(method="wilson")
    said = f"healthy windows accused, {name}; 95% of {windows:,}: {low:.1%} to {high:.1%}"
    usual = "  with the default limits"
    return [line(said, strict / windows, stated), line(usual, lenient / windows, stated)]


def accused(name: str, blocks: int, block_rows: int, size: int) -> dict[str, Any]:
    """How many of all healthy windows of a drawn stream are accused, and by which figure."""
    schema, metric, draw = STREAMS[name]
    rng = np.random.default_rng([blocks, size, len(name)])
    told = []
    for _ in range(REFERENCES):
        held = [HeldOut.of(schema, *draw(rng, block_rows)) for _ in range(blocks)]
        model = PerformanceModel.fit([(part.outcomes, part.figures) for part in held])
        told += [
            _accusers(model, metric, HeldOut.of(schema, *draw(rng, size))) for _ in range(WINDOWS)
        ]
    shape = {"stream": name, "blocks": blocks, "block_rows": block_rows, "rows": size}
    return {**shape, **_counted(told)}


def served(name: str, rows: int, rounds: int) -> dict[str, Any]:
    """The same of boosters: what serves is refitted and held to what its judged one showed."""
    schema, metric, base = REFITTED[name]
    told, gaps = [], []
    drifted = bare = 0
    for seed in range(MODELS):
        rng = np.random.default_rng([rows, rounds, seed, len(name)])
        x, y = _world(schema, base, rng, rows)
        learnt = rows * OF_TEN // 10
        judged = _boosted(schema, x[:learnt], y[:learnt], rounds)
        serving = _boosted(schema, x, y, rounds)
        held = [HeldOut.of(schema, judged.predict(x[at]), y[at]) for at in _parts(learnt, rows)]
        reference = _reference(schema, metric, x[:learnt], held)
        said = [_said(schema, model, x[:learnt]) for model in (judged, serving)]
        twins = _said(schema, judged, x[learnt:]), _unseen(schema, x, y, learnt, rounds)
        left = loss_left(schema, serving.predict(x[:learnt]), y[:learnt])
        counted = [said, twins] if left <= BY_HEART else [said]
        gapped = replace(reference, gap=widest_gap(output_gap(*each) for each in counted))
        with_gap, without = (Yardstick(r, DriftConfig(), seed=1) for r in (gapped, reference))
        for _ in range(LIVE):
            now, truth = _world(schema, base, rng, LIVE_ROWS)
            live = HeldOut.of(schema, serving.predict(now), truth)
            told.append(_accusers(reference.quality, metric, live))
            window = Profile.of(pa.table({"x0": now[:, 0]}), reference.live_schema)
            outputs = _said(schema, serving, now)
            drifted += _is_drift(with_gap, window, outputs)
            bare += _is_drift(without, window, outputs)
        new, _ = _world(schema, base, rng, 20_000)
        gaps.append(
            {
                "training": _distance(schema, judged, serving, x[:learnt]),
                "held_out": _distance(schema, judged, serving, x[learnt:]),
                "twins": _farthest(output_gap(*twins)),
                "loss_left": round(left, 3),
                "new": _distance(schema, judged, serving, new),
            }
        )
    shape = {"stream": name, "table": rows, "rounds": rounds, "rows": LIVE_ROWS, "gaps": gaps}
    return {**shape, **_counted(told), "drifted": drifted, "drifted_without_gap": bare}


def _accusers(model: PerformanceModel, metric: str, live: HeldOut) -> tuple[Sequence[str], bool]:
    """The figures that accuse if every loss counts; whether one does with the default limits."""
    blamed = measure_performance(model, metric, STRICT, figures=live.figures).accusers
    if not blamed:
        return (), False
    usual = measure_performance(model, metric, DEFAULTS, figures=live.figures)
    return blamed, bool(usual.accusers)


def _counted(told: Sequence[tuple[Sequence[str], bool]]) -> dict[str, Any]:
    return {
        "windows": len(told),
        "accused": sum(bool(blamed) for blamed, _ in told),
        "with_limits": sum(lenient for _, lenient in told),
        "by": dict(Counter(name for blamed, _ in told for name in blamed)),
    }


def _world(schema: TableSchema, base: float, rng: np.random.Generator, rows: int) -> Rows:
    """Eight normal features of a world that stands still, and what comes of them."""
    x = rng.normal(size=(rows, 8))
    signal = 1.2 * x[:, 0] - x[:, 1] * x[:, 2] + 0.5 * np.sin(3 * x[:, 3])
    if schema.task is Task.REGRESSION:
        return x, (signal + rng.normal(0, 0.5, rows)) / 2
    if schema.task is Task.BINARY:
        return x, (rng.random(rows) < 1 / (1 + np.exp(-signal - base))).astype(np.int64)
    return x, np.digitize(signal + rng.normal(0, 1.0, rows), (-1.0, 0.7))


def _boosted(schema: TableSchema, x: Floats, y: Truth, rounds: int) -> Any:
    settings = {**_OBJECTIVES[schema.task], "verbosity": -1, "num_threads": 1}
    return lightgbm.train({**settings, "deterministic": True}, lightgbm.Dataset(x, y), rounds)


def _unseen(schema: TableSchema, x: Floats, y: Truth, learnt: int, rounds: int) -> Profile:
    """What two twins say of the held-out rows, each of the half that it has not learnt."""
    halves = np.array_split(np.arange(learnt, len(x)), 2)
    return fold(
        _said(schema, _boosted(schema, np.delete(x, at, 0), np.delete(y, at), rounds), x[at])
        for at in halves
    )


def _parts(first: int, last: int) -> Iterator[slice]:
    cuts = np.linspace(first, last, max((last - first) // 100, 4) + 1).astype(int).tolist()
    return (slice(a, b) for a, b in pairwise(cuts))


def _reference(schema: TableSchema, metric: str, x: Floats, held: Sequence[HeldOut]) -> Reference:
    texts = pa.array(["no"] * len(x)) if schema.task is not Task.REGRESSION else np.zeros(len(x))
    blocks = [
        Profile.of(pa.table({"x0": x[at, 0], "y": texts[at.start : at.stop]}), schema)
        for at in _parts(0, len(x))
    ]
    quality = PerformanceModel.fit([(part.outcomes, part.figures) for part in held])
    outputs = [part.outputs for part in held]
    known = {"metric": metric, "figures": {}, "quality": quality, "time_ordered": True}
    return Reference.of(schema, blocks, outputs, **known)


def _said(schema: TableSchema, model: Any, x: Floats) -> Profile:
    return Profile.of(outputs_of(schema, model.predict(x)), output_schema(schema))


def _is_drift(yardstick: Yardstick, window: Profile, outputs: Profile) -> bool:
    found = yardstick.findings(window, outputs)
    return any(f.flagged and f.kind == "output drift" for f in found)


def _distance(schema: TableSchema, judged: Any, serving: Any, x: Floats) -> float:
    return _farthest(output_gap(*(_said(schema, model, x) for model in (judged, serving))))


def _farthest(gap: dict[str, dict[str, float]]) -> float:
    return round(max(tests["jensen_shannon"] for tests in gap.values()), 3)
