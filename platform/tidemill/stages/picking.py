"""picking: which learner ``training.learner: auto`` takes, by a probe of the training rows.

Each candidate learns some of the training rows with its defaults, reduced as it wants them, and is
judged by folds of these. Nothing depends on a clock: costs come from counts, figures from rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.config import ReductionConfig, TrainingConfig, TuningConfig
from tidemill.errors import BudgetExceeded, ConfigError
from tidemill.features import encode_target, fit_reducer
from tidemill.learners import AUTO, AUTO_LEARNERS, LEARNERS, rare_defaults
from tidemill.learning import choose_strategy, fit_seconds
from tidemill.metrics import HIGHER_IS_BETTER, in_words
from tidemill.schema import Role, Task
from tidemill.stages.context import StageContext
from tidemill.stages.cross_validation import (
    FOLDS,
    CrossValidation,
    Judgement,
    MatrixBlocks,
    quarter_splits,
    split_rows,
)
from tidemill.stages.deciding import ChosenMetric, choose_metric
from tidemill.storage import (
    ShardManifest,
    Workspace,
    is_left,
    read_blocks,
    read_output,
    write_hashed,
)

if TYPE_CHECKING:
    from tidemill.features import ReductionReport
    from tidemill.features.reducer import Reducer

    Fitted = tuple[Reducer, ReductionReport]

__all__ = [
    "LearnerForecast",
    "Pick",
    "pick_learner",
    "picked",
    "quarter_splits",
    "sections_of_pick",
]

PICK = "learner.json"
_PROBE_ROWS = 6_000
_LEAST_ROWS = 1_000
_PROBE_CELLS = 250_000
_PROBE_BLOCKS = 32
_MANY_ROWS = 2_000
"""From so many rows three folds tell what five do."""
_AS_GOOD = 0.001
"""Share of the best figure by which a cheaper learner may be behind."""


@dataclass(frozen=True, slots=True)
class LearnerForecast:
    """What the probe says of a candidate.

    Parameters
    ----------
    learner : str
    value, error : float or None
        The figure on the probe's folds, and its standard error; None of one that was refused.
    expected : float or None
        The figure of a fit of all training rows.
    seconds : float
        Of one core, that a fit of all training rows takes.
    memory_mb : float
    refused : str
        Why it is no choice; empty if it is one.
    """

    learner: str
    value: float | None = None
    error: float | None = None
    expected: float | None = None
    seconds: float = 0.0
    memory_mb: float = 0.0
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Pick:
    """The learner, why in a sentence, and what was said of each candidate."""

    learner: str
    why: str
    metric: str
    candidates: tuple[LearnerForecast, ...]

    def save(self, folder: Path) -> None:
        """Write it beside the reducer that fits the learner."""
        write_hashed(folder / PICK, {**asdict(self), "candidates": self.rows()})

    def rows(self) -> list[dict[str, Any]]:
        """The candidates as a table."""
        return [asdict(one) for one in self.candidates]


def sections_of_pick(reduction: ReductionConfig, training: TrainingConfig) -> tuple[str, ...]:
    """Sections of params.yaml that the reducer depends on where a learner is ``auto``'s to say."""
    if training.learner == AUTO:
        return ("training", "tuning", "seed")
    return ("training",) if AUTO in (reduction.impute, reduction.encode, reduction.scale) else ()


def picked(workspace: Workspace, training: TrainingConfig) -> TrainingConfig:
    """The settings with the learner that was picked, where ``auto`` left it open.

    Raises
    ------
    ConfigError
        If the reducer that stands was made before ``auto`` was asked for.
    """
    if training.learner != AUTO:
        return training
    if not is_left(workspace.reducer / PICK):
        raise ConfigError(
            "training.learner: auto, and models/reducer was made for a learner that was named",
            remedy="run: tidemill run",
        )
    learner = read_output(workspace.reducer / PICK, lambda told: str(told["learner"]))
    return training.model_copy(update={"learner": learner})


def pick_learner(
    context: StageContext,
    manifest: ShardManifest,
    *,
    reduction: ReductionConfig,
    training: TrainingConfig,
    tuning: TuningConfig,
    seed: int,
) -> tuple[Pick, Fitted]:
    """Compare the candidates on some training rows; the reducer that fits the pick comes along.

    Those that the task, the reduction or ``training.memory_budget_mb`` does not allow are refused,
    with the reason. The best expected figure wins; a cheaper learner that is as good to a
    thousandth wins over it.

    Raises
    ------
    BudgetExceeded
        If no candidate fits.

    Notes
    -----
    Memory: one block and its matrix, and the probe: 250,000 values, or 1,000 rows where these
    are more. At most 6,000 rows of 32 blocks are learnt, whatever there is. Equal arguments give
    equal picks.
    """
    metric = choose_metric(tuning.metric, manifest, context.shards, setting="tuning.metric")
    fitted: dict[str, Fitted] = {}
    forecasts, probed = {}, {}
    for name in AUTO_LEARNERS:
        own = reduction.for_learner(name)
        refused = _unfit(name, own, manifest.schema.task)
        if not refused:
            reduced = own.model_dump_json()
            if reduced not in fitted:
                fitted[reduced] = fit_reducer(manifest, context.shards, own, engine=context.engine)
            probed[name] = reduced
        forecasts[name] = LearnerForecast(name, refused=refused)
    reducers = {reduced: reducer for reduced, (reducer, _) in fitted.items()}
    of_learner = dict(probed)
    for name, reduced in of_learner.items():
        width = len(reducers[reduced].get_feature_names_out())
        forecasts[name] = _costs(name, manifest, training, width)
        if forecasts[name].refused:
            del probed[name]
    if not probed:
        raise _none_fits(training, forecasts.values())
    judged = _judged(context, manifest, reducers, probed, training, metric, seed)
    for name, judge in judged.items():
        forecasts[name] = judge.told(forecasts[name], manifest.rows(Role.TRAIN))
    pick = _best(forecasts, judged, metric.name, manifest.rows(Role.TRAIN))
    return pick, fitted[of_learner[pick.learner]]


def _unfit(name: str, reduction: ReductionConfig, task: Task) -> str:
    learner = LEARNERS[name]
    if task not in learner.metrics:
        return f"does not learn {task} targets"
    if reduction.leaves_missing and not learner.takes_missing:
        return "needs every value, and reduction.impute: none keeps missing ones"
    return ""


def _costs(
    name: str, manifest: ShardManifest, training: TrainingConfig, width: int
) -> LearnerForecast:
    """Seconds and memory of a fit of all training rows; refused where that does not fit."""
    rows, schema = manifest.rows(Role.TRAIN), manifest.schema
    outputs = len(schema.classes) if schema.task is Task.MULTICLASS else 1
    found = LearnerForecast(name, seconds=fit_seconds(name, rows, width, outputs))
    try:
        choice = choose_strategy(
            training.model_copy(update={"learner": name}),
            rows=rows,
            shard_rows=max(shard.file.rows for shard in manifest.of(Role.TRAIN)),
            n_features=width,
            task=schema.task,
            n_classes=len(schema.classes),
        )
    except BudgetExceeded as exc:
        needed = float(exc.fields["needed_mb"])
        return replace(found, memory_mb=needed, refused=exc.message)
    return replace(found, memory_mb=round(choice.needed_bytes / 2**20, 1))


def _none_fits(training: TrainingConfig, found: Iterable[LearnerForecast]) -> BudgetExceeded:
    reasons = "; ".join(f"{one.learner}: {one.refused}" for one in found)
    return BudgetExceeded(
        f"training.learner: auto finds no learner that can be trained ({reasons})",
        remedy="set reduction.impute to auto, or raise training.memory_budget_mb",
        budget_mb=training.memory_budget_mb,
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """What the folds say of one candidate; of a quarter of the rows too where that tells more."""

    folds: CrossValidation
    full: Judgement
    quarter: Judgement | None

    def told(self, forecast: LearnerForecast, rows: int) -> LearnerForecast:
        """The forecast with its figures.

        What is missing to the figure of endless rows is taken to fall with the root of the rows:
        from a quarter to all of the probe it falls by as much as is left.
        """
        value, error = self.full.value, self.full.error
        expected = value
        if self.quarter is not None:
            gained = max(0.0, self.folds.lead(self.full, self.quarter).value)  # not where it is NaN
            learnt = float(np.mean([len(learnt) for learnt, _ in self.folds.splits]))
            gained *= 1.0 - (learnt / max(rows, learnt)) ** 0.5
            expected += gained if HIGHER_IS_BETTER[self.folds.metric] else -gained
        return replace(
            forecast, value=_rounded(value), error=_rounded(error), expected=_rounded(expected)
        )


def _judged(
    context: StageContext,
    manifest: ShardManifest,
    reducers: Mapping[str, Reducer],
    probed: Mapping[str, str],
    training: TrainingConfig,
    metric: ChosenMetric,
    seed: int,
) -> dict[str, _Judge]:
    """The candidates by folds; none where the rows are too few for two folds."""
    schema = manifest.schema
    matrices, y, times = _probe(context, manifest, reducers)
    splits = split_rows(
        None if schema.task is Task.REGRESSION else y,
        n_rows=len(y),
        folds=FOLDS if len(y) <= _MANY_ROWS else 3,
        seed=seed,
        times=times,
    )
    if len(splits) < 2:
        return {}
    fewer = quarter_splits(splits, y, schema.task) if manifest.rows(Role.TRAIN) > len(y) else ()
    found = {}
    for name, reduced in probed.items():
        names = tuple(str(column) for column in reducers[reduced].get_feature_names_out())
        rows = MatrixBlocks(names, matrices[reduced], y)
        own = training.model_copy(update={"learner": name})
        folds = CrossValidation(own, rows, splits, schema, metric.name, seed)
        params = rare_defaults(name) if metric.rare else {}
        full = folds.judge(params)
        quarter = replace(folds, splits=fewer).judge(params) if fewer else None
        if np.isfinite(full.value):
            found[name] = _Judge(folds, full, quarter)
    return found


def _probe(
    context: StageContext, manifest: ShardManifest, reducers: Mapping[str, Reducer]
) -> tuple[dict[str, npt.NDArray[np.float32]], npt.NDArray[Any], npt.NDArray[np.int64] | None]:
    """Training rows, evenly from blocks that are spread evenly: matrices, target, times."""
    schema = manifest.schema
    width = max(len(reducer.get_feature_names_out()) for reducer in reducers.values())
    wanted = min(_PROBE_ROWS, max(_LEAST_ROWS, _PROBE_CELLS // width))
    by_time = manifest.holdout.get("by") == "time" and schema.time is not None
    parts: dict[str, list[npt.NDArray[Any]]] = {reduced: [] for reduced in (*reducers, "y", "time")}
    blocks = _blocks(manifest)
    for entry, block, first in blocks:
        (table,) = read_blocks(context.shards.verified(entry.file), blocks=[block])
        rows = _evenly(len(table), -(-wanted // len(blocks)))
        for reduced, reducer in reducers.items():
            rule = reducer.fitted_rows
            matrix = (
                reducer.transform(table)
                if rule is None
                else rule.transform(table, entry.file, first)
            )
            parts[reduced].append(matrix[rows])
        parts["y"].append(encode_target(table[schema.target.name], schema)[rows])
        if by_time and schema.time is not None:
            times = table[schema.time.name].cast(pa.int64())
            parts["time"].append(np.asarray(times)[rows])
    joined = {name: np.concatenate(found) for name, found in parts.items() if found}
    return joined, joined["y"], joined.get("time")


def _blocks(manifest: ShardManifest) -> list[tuple[Any, int, int]]:
    """Of the training rows: shard, number of the block, and of its first row in the shard."""
    blocks = []
    for entry in manifest.of(Role.TRAIN):
        firsts = np.cumsum([0, *entry.file.blocks])
        blocks += [(entry, at, int(firsts[at])) for at, n in enumerate(entry.file.blocks) if n]
    return [blocks[at] for at in _evenly(len(blocks), _PROBE_BLOCKS)]


def _evenly(count: int, wanted: int) -> npt.NDArray[np.int64]:
    """At most ``wanted`` numbers below ``count``, as far apart as they can be."""
    return np.arange(min(count, wanted), dtype=np.int64) * count // max(min(count, wanted), 1)


def _best(
    forecasts: Mapping[str, LearnerForecast],
    judged: Mapping[str, _Judge],
    metric: str,
    rows: int,
) -> Pick:
    candidates = tuple(forecasts.values())
    able = [one for one in candidates if not one.refused]
    if not judged:
        name = "lightgbm" if not forecasts["lightgbm"].refused else able[0].learner
        why = f"{name}: the training rows are too few to compare learners by folds of them"
        return Pick(name, why, metric, candidates)
    sign = 1.0 if HIGHER_IS_BETTER[metric] else -1.0
    figures = {name: sign * float(forecasts[name].expected or 0.0) for name in judged}
    top = max(figures, key=figures.__getitem__)
    allowed = _AS_GOOD * abs(figures[top])
    name = next(name for name in judged if figures[name] >= figures[top] - allowed)
    others = {other: value for other, value in figures.items() if other != name}
    if not others:
        refused = "; ".join(f"{one.learner} {one.refused}" for one in candidates if one.refused)
        return Pick(name, f"{name}: no other one can be trained: {refused}", metric, candidates)
    rival = max(others, key=others.__getitem__)
    why = _why(forecasts[name], forecasts[rival], judged, metric, rows)
    return Pick(name, why, metric, candidates)


def _why(
    one: LearnerForecast,
    other: LearnerForecast,
    judged: Mapping[str, _Judge],
    metric: str,
    rows: int,
) -> str:
    mine, theirs = judged[one.learner], judged[other.learner]
    lead = mine.folds.lead(mine.full, theirs.full)
    relation = "better than" if lead.value > lead.error else "no worse than"
    if abs(lead.value) <= max(lead.error, _AS_GOOD) and one.seconds < other.seconds:
        relation = "as good as"
    probed = len(mine.folds.rows.y)
    said = (
        f"{one.learner}: {relation} {other.learner} on {probed:,} probe rows "
        f"({in_words(metric)} {one.value:.3f} +- {one.error:.3f} against {other.value:.3f})"
    )
    if mine.quarter is not None and lead.value <= lead.error:
        said += f", {one.expected:.3f} against {other.expected:.3f} expected of all {rows:,} rows"
    share = other.seconds / max(one.seconds, 1e-9)
    return f"{said} at 1/{share:.0f} of the time" if share >= 1.5 else said


def _rounded(value: float) -> float | None:
    """To what is the same on every machine; None where it is not known."""
    return round(value, 6) if np.isfinite(value) else None
