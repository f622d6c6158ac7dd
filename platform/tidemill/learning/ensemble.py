"""A model a shard, and what their votes weigh: the strategy ``shard_ensemble`` of every learner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from statistics import median_low
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.contracts import Blocks, Engine, Fit, FitJob, Learner
from tidemill.errors import TargetUnusable
from tidemill.learning.calibration import unweighted
from tidemill.learning.scoring import predict_scores
from tidemill.learning.sharded import by_shard
from tidemill.learning.targets import summarise_target
from tidemill.metrics import figures_of
from tidemill.profiling import fold
from tidemill.schema import Task

__all__ = ["fit_ensemble", "skill"]


@dataclass(frozen=True)
class _Member:
    """What came of one shard; no estimator where it could not be learnt from alone."""

    shard: str
    rows: int
    fit: Fit | None = None
    skill: float = 0.0
    problem: str = ""


def fit_ensemble(
    learner: type[Learner], job: FitJob, engine: Engine, *, member: str, needed_bytes: int
) -> Fit:
    """Fit a model a shard over ``engine``; weigh their votes by what they say of validation rows.

    A member's weight is its skill (:func:`skill`), or nothing where it has none; without
    validation rows, and where no member has any, it is the rows that it learnt. A shard that
    cannot be learnt from alone is left out, with a warning. The result is the same whatever the
    engine.

    Parameters
    ----------
    learner : type of Learner
    job : FitJob
        The fit of all shards.
    engine : Engine
    member : str
        The strategy by which each shard is learnt.
    needed_bytes : int
        What the fit of the largest shard holds.

    Returns
    -------
    Fit
        An ``EnsembleClassifier`` or ``EnsembleRegressor``, without a curve; ``n_iterations`` is
        the members' median.

    Raises
    ------
    TargetUnusable
        If no shard can be learnt from alone.
    BudgetExceeded
        If a worker is known to have no room for ``needed_bytes``.

    Notes
    -----
    Memory of a worker: the learner's, for the largest shard. Here: all members.
    """
    from tidemill.learning.voting import EnsembleClassifier, EnsembleRegressor

    shards = by_shard(job.train)
    alone = replace(job, strategy=member, train=job.train.take(()), engine=None, report=None)
    learn = partial(_learnt, learner=learner, job=alone)
    members = engine.map(learn, shards, label="train a model a shard", item_bytes=needed_bytes)
    fits = [one.fit for one in members if one.fit is not None]
    if not fits:
        raise TargetUnusable(
            f"none of {len(members)} shards can be learnt from alone: {members[0].problem}",
            remedy="set training.strategy to auto, or sharding.strategy to hash and "
            "sharding.shards to fewer",
            shards=len(members),
        )
    weights, warnings = _weighed([one for one in members if one.fit is not None], job)
    estimators = [fit.estimator for fit in fits]
    estimator: EnsembleClassifier | EnsembleRegressor = (
        EnsembleRegressor(estimators, weights)
        if job.task is Task.REGRESSION
        else EnsembleClassifier(estimators, weights)
    )
    return Fit(
        estimator,
        job.strategy,
        job.metric,
        n_iterations=median_low(fit.n_iterations for fit in fits),
        warnings=(*_left_out(members), *warnings),
    )


def skill(estimator: Any, blocks: Blocks, task: Task, n_classes: int) -> float:
    """How much of a dummy's loss on the blocks an estimator takes away; 0 where there is none.

    Of the log loss of one who knows the shares of the classes, or of the variance (then it is R2).
    Memory: one block.
    """
    codes = tuple(str(code) for code in range(n_classes))
    figures = fold(
        figures_of(task, predict_scores(estimator, X, task), y, classes=codes) for X, y in blocks
    )
    if task is Task.REGRESSION:
        return float(np.nan_to_num(figures.values()["r2"]))
    counts = figures.confusion.sum(axis=1)  # type: ignore[union-attr]
    shares = counts[counts > 0] / counts.sum()
    dummy = -float((shares * np.log(shares)).sum())
    return float(np.nan_to_num(1.0 - figures.values()["log_loss"] / dummy)) if dummy > 0 else 0.0


def _learnt(shard: Blocks, *, learner: type[Learner], job: FitJob) -> _Member:
    """The member of one shard, judged on the validation rows."""
    rows, name = sum(shard.rows), shard.shards[0]
    if rows < 2:
        return _Member(name, rows, problem="it has one row")
    summarised = partial(summarise_target, shard, job.task, job.classes)
    try:
        alone = replace(job, train=shard, summarised=summarised)
        fit = learner().fit(alone)
        fit = replace(fit, estimator=unweighted(fit.estimator, alone))
    except TargetUnusable as exc:
        return _Member(name, rows, problem=exc.message)
    judged = 0.0
    if job.has_validation:
        judged = skill(fit.estimator, job.validation, job.task, len(job.classes))
    return _Member(name, rows, fit, judged)


def _weighed(
    members: list[_Member], job: FitJob
) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
    weights = np.array([max(one.skill, 0.0) for one in members])
    if weights.any():
        return weights / weights.sum(), ()
    rows = np.array([one.rows for one in members], np.float64)
    said = (
        "no model of a shard is better than a dummy on the validation rows: their votes weigh by "
        "the rows that they learnt"
    )
    return rows / rows.sum(), (said,) if job.has_validation else ()


def _left_out(members: list[_Member]) -> tuple[str, ...]:
    lost = [one for one in members if one.problem]
    if not lost:
        return ()
    return (
        f"{len(lost)} of {len(members)} shards teach nothing by themselves and are left out "
        f"({sum(one.rows for one in lost)} rows): {lost[0].shard}: {lost[0].problem}"
        f"{' ...' if len(lost) > 1 else ''}",
    )
