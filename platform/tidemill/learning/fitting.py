"""The room's door: fit a learner to blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from tidemill.config import TrainingConfig
from tidemill.contracts import (
    Blocks,
    Engine,
    Fit,
    FitJob,
    FitReport,
    Scalar,
    Shelf,
    TargetSummary,
)
from tidemill.errors import ConfigError, TooFewRows
from tidemill.learners import LEARNERS, uncalibrated
from tidemill.learning.calibration import unweighted
from tidemill.learning.choice import choose_strategy, goes_on
from tidemill.learning.continuing import check_start
from tidemill.learning.ensemble import fit_ensemble
from tidemill.learning.parameters import complete
from tidemill.learning.sharded import by_shard
from tidemill.learning.targets import known_target, summarise_target
from tidemill.metrics import default_metric
from tidemill.schema import Task

__all__ = ["curve_metric", "fit"]


def curve_metric(learner: str, task: Task, metric: str = "auto") -> str:
    """The figure that a fit follows on its validation blocks.

    ``metric`` where the learner can follow it, else the task's default or the learner's first.

    >>> curve_metric("lightgbm", Task.BINARY, "average_precision")
    'average_precision'
    """
    able = LEARNERS[learner].metrics[task]
    wanted = default_metric(task) if metric == "auto" else metric
    return wanted if wanted in able else able[0]


def fit(
    config: TrainingConfig,
    params: Mapping[str, Scalar],
    train: Blocks,
    validation: Blocks,
    *,
    task: Task,
    classes: tuple[str, ...],
    seed: int,
    report: FitReport | None = None,
    metric: str = "auto",
    target: TargetSummary | None = None,
    start: Any = None,
    rounds: int | None = None,
    engine: Engine | None = None,
    shelf: Shelf | None = None,
) -> Fit:
    """Fit the configured learner.

    Parameters
    ----------
    config : TrainingConfig
        Learner, strategy, budget, class weights; ``config.params`` win over ``params``.
    params : mapping
        The learner's parameters, for example tuned ones.
    train, validation : Blocks
        ``validation`` stops the fit early; without rows nothing does.
    task : Task
    classes : tuple of str
        Labels in the order of their codes; empty for regression.
    seed : int
    report : callable or None
        Called with (step, figure); what it raises ends the fit and is passed on.
    metric : str
        The figure to follow, where the learner can; see :func:`curve_metric`.
    target : TargetSummary or None
        Of the training rows, if known: saves the pass that balanced weights and regression by
        sgd need otherwise.
    start : estimator or None
        A fitted one of the same learner and matrix to go on from.
    rounds : int or None
        So many rounds or epochs, whatever the parameters say: those that another fit found, for
        one that has no validation rows to stop by.
    engine : Engine or None
        Whose workers a strategy that spreads the fit uses; others do without.
    shelf : Shelf or None
        Of the fits of a search: what they have in common is made once.

    Raises
    ------
    ConfigError
        If a parameter is unknown or refused, the learner lacks the strategy, or cannot go on
        from ``start``.
    SchemaMismatch
        If ``start`` is of another matrix or other classes.
    BudgetExceeded
        If the fit would not fit into ``config.memory_budget_mb``.
    TooFewRows, TargetUnusable
        If there is nothing to learn from.

    Notes
    -----
    Memory: see the learner's ``needed_bytes``. Equal arguments give equal bytes. Balanced weights
    decide what is learnt, and are taken back from the probabilities.
    """
    choice = choose_strategy(
        config,
        rows=_enough_rows(train),
        n_features=len(train.names),
        task=task,
        n_classes=len(classes),
        shard_rows=max(sum(shard.rows) for shard in by_shard(train)),
    )
    if start is not None:
        _check_start(config, start, len(train.names), classes)
        start = uncalibrated(start)
    learner = LEARNERS[config.learner]
    whole = complete(config.learner, {**params, **config.params})
    summarised = partial(summarise_target, train, task, classes)
    job = FitJob(
        strategy=choice.strategy,
        params=whole | ({} if rounds is None else {learner.rounds: rounds}),
        train=train,
        validation=validation,
        task=task,
        classes=classes,
        summarised=summarised if target is None else partial(known_target, target),
        balanced=config.class_weight == "balanced" and task is not Task.REGRESSION,
        metric=curve_metric(config.learner, task, metric),
        seed=seed,
        report=report,
        start=start,
        engine=engine,
        ranks=config.ranks,
        shelf=shelf,
    )
    if engine is not None and choice.member:
        return fit_ensemble(
            learner, job, engine, member=choice.member, needed_bytes=choice.needed_bytes
        )
    if engine is None and choice.strategy not in learner.strategies:
        raise ValueError(f"{choice.strategy} spreads a fit over an engine, and none was given")
    fitted = learner().fit(job)
    return replace(fitted, estimator=unweighted(fitted.estimator, job))


def _enough_rows(train: Blocks) -> int:
    rows = sum(train.rows)
    if rows < 2:
        raise TooFewRows(
            f"there are {rows} training rows",
            remedy="give more data, or leave less of them out with sharding.holdout",
            rows=rows,
        )
    return rows


def _check_start(
    config: TrainingConfig, start: Any, n_features: int, classes: tuple[str, ...]
) -> None:
    name = config.learner
    if not goes_on(config, start):
        what = f"an ensemble of {name}" if LEARNERS[name].continues else name
        able = " or ".join(other for other, kind in LEARNERS.items() if kind.continues)
        raise ConfigError(
            f"{what} cannot go on from a fitted model",
            remedy=f"train it from scratch, or set training.learner to {able}, and "
            "training.strategy to auto",
            learner=name,
        )
    check_start(start, n_features, classes)
