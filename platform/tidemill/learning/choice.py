"""Which strategy meets the shards, within the memory budget, and why."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tidemill.config import TrainingConfig
from tidemill.contracts import Learner
from tidemill.errors import BudgetExceeded, ConfigError
from tidemill.learners import (
    DISTRIBUTED,
    LEARNERS,
    SHARD_ENSEMBLE,
    is_ensemble,
    strategies_of,
    uncalibrated,
)
from tidemill.schema import Task

__all__ = ["Choice", "choose_strategy", "goes_on", "of_one_process"]

_MB = 1 << 20

_NeededMb = Callable[[Learner, str], float]


@dataclass(frozen=True)
class Choice:
    """The strategy, the memory that its fit takes, and the reason in one sentence.

    Parameters
    ----------
    strategy : str
    needed_bytes : int
        The learner's own estimate, see :meth:`Learner.needed_bytes`.
    why : str
    member : str
        By which strategy each model of a ``shard_ensemble`` is learnt; empty elsewhere.
    """

    strategy: str
    needed_bytes: int
    why: str
    member: str = ""


def choose_strategy(
    config: TrainingConfig,
    *,
    rows: int,
    n_features: int,
    task: Task,
    n_classes: int = 2,
    shard_rows: int | None = None,
) -> Choice:
    """Choose how ``config.learner`` meets the shards.

    ``auto`` takes the first of the learner's strategies that the budget allows.

    Parameters
    ----------
    config : TrainingConfig
    rows, n_features : int
        Training rows; columns after reduction.
    task : Task
    n_classes : int
        Matters for multiclass only.
    shard_rows : int or None
        Rows of the largest shard, all that a ``shard_ensemble`` learns from at once; None: all,
        and ranks of equal rows.

    Raises
    ------
    ConfigError
        If the learner does not learn such a target, or ``training.strategy`` is one that it does
        not have.
    BudgetExceeded
        If the fit would need more than ``training.memory_budget_mb``; the remedy names the
        nearest way that fits, if there is one.
    """
    learner = LEARNERS[config.learner]()
    _check_able(config, learner, task)
    outputs = n_classes if task is Task.MULTICLASS else 1

    def needed_mb(learner: Learner, strategy: str, rows: int = rows) -> float:
        if strategy == DISTRIBUTED:
            rows = _of_a_rank(config.ranks, rows, shard_rows or 1)
        return learner.needed_bytes(strategy, rows, n_features, outputs) / _MB

    if config.strategy == SHARD_ENSEMBLE:
        return _of_a_shard(
            config, rows=shard_rows or rows, n_features=n_features, task=task, n_classes=n_classes
        )
    wanted = learner.strategies if config.strategy == "auto" else (config.strategy,)
    needs = {way: needed_mb(learner, way) for way in wanted}
    fitting = [way for way in wanted if needs[way] <= config.memory_budget_mb]
    strategy = fitting[0] if fitting else min(needs, key=needs.__getitem__)
    needed = needs[strategy]
    needed_bytes = round(needed * _MB)
    each = f" in each of {config.ranks} ranks" if strategy == DISTRIBUTED else ""
    size = (
        f"{config.learner} on {rows} rows x {n_features} features needs about {needed:.0f} MB{each}"
    )
    if not fitting:
        raise _over_budget(config, size, needed, _nearest(config, task, needed_mb))
    if needed == needed_mb(learner, strategy, 2 * rows):
        return Choice(
            strategy,
            needed_bytes,
            f"{config.learner} sees one block at a time; its memory does not grow with rows",
        )
    budget = f"{config.memory_budget_mb} MB that training.memory_budget_mb allows"
    return Choice(strategy, needed_bytes, f"{size} of the {budget}")


def of_one_process(config: TrainingConfig) -> TrainingConfig:
    """The same settings for a fit that spreads over nothing: that of a trial."""
    alone = config.strategy in ("auto", *LEARNERS[config.learner].strategies)
    return config if alone else config.model_copy(update={"strategy": "auto"})


def goes_on(config: TrainingConfig, estimator: Any) -> bool:
    """Whether the configured learner can go on from a fitted estimator of its own."""
    ensemble = config.strategy == SHARD_ENSEMBLE or is_ensemble(uncalibrated(estimator))
    return LEARNERS[config.learner].continues and not ensemble


def _of_a_rank(ranks: int, rows: int, shard_rows: int) -> int:
    """Rows of the rank that has most, where shards are as large as the largest."""
    shards = math.ceil(rows / shard_rows)
    return min(rows, math.ceil(shards / ranks) * shard_rows)


def _of_a_shard(
    config: TrainingConfig, *, rows: int, n_features: int, task: Task, n_classes: int
) -> Choice:
    """How the members of an ensemble meet their shards."""
    alone = of_one_process(config)
    one = choose_strategy(alone, rows=rows, n_features=n_features, task=task, n_classes=n_classes)
    why = f"a model a shard, the largest by {one.strategy}: {one.why}"
    return Choice(SHARD_ENSEMBLE, one.needed_bytes, why, one.strategy)


def _check_able(config: TrainingConfig, learner: Learner, task: Task) -> None:
    if task not in learner.metrics:
        able = [name for name, kind in LEARNERS.usable().items() if task in kind.metrics]
        raise ConfigError(
            f"training.learner: {config.learner} does not learn {task} targets",
            remedy=f"set training.learner to {' or '.join(able)}",
            learner=config.learner,
            task=str(task),
        )
    if config.strategy not in ("auto", *strategies_of(config.learner)):
        usable = LEARNERS.usable().items()
        able = [name for name, _ in usable if config.strategy in strategies_of(name)]
        possible = " or ".join(strategies_of(config.learner))
        raise ConfigError(
            f"training.strategy: {config.learner} cannot learn {config.strategy}",
            remedy=f"set training.strategy to auto or {possible}, "
            f"or training.learner to {' or '.join(able)}",
            learner=config.learner,
            strategy=config.strategy,
            possible=possible,
        )


def _nearest(
    config: TrainingConfig, task: Task, needed_mb: _NeededMb
) -> tuple[str, str] | tuple[None, None]:
    """Learner and strategy that need the most of what the budget allows."""
    ways = [
        (needed_mb(kind(), strategy), name, strategy)
        for name, kind in LEARNERS.usable().items()
        if task in kind.metrics
        for strategy in kind.strategies
    ]
    fitting = [way for way in ways if way[0] <= config.memory_budget_mb]
    return max(fitting, key=lambda way: way[0])[1:] if fitting else (None, None)


def _over_budget(
    config: TrainingConfig,
    size: str,
    needed: float,
    nearest: tuple[str, str] | tuple[None, None],
) -> BudgetExceeded:
    name, strategy = nearest
    instead = f"set training.learner: {name} (strategy {strategy}), or " if name else ""
    if name == config.learner:
        instead = f"set training.strategy: {strategy}, or "
    return BudgetExceeded(
        f"{size}; training.memory_budget_mb allows {config.memory_budget_mb}",
        remedy=f"{instead}raise training.memory_budget_mb to {needed + 1:.0f}",
        needed_mb=round(needed, 1),
        budget_mb=config.memory_budget_mb,
        nearest=name,
        nearest_strategy=strategy,
    )
