"""Which strategy meets the shards, within the memory budget, and why."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill.config import TrainingConfig
from tidemill.errors import BudgetExceeded, ConfigError
from tidemill.learning.learner import Learner
from tidemill.learning.learners import LEARNERS
from tidemill.schema import Task

__all__ = ["Choice", "choose_strategy"]

_MB = 1 << 20
_ALTERNATIVES = ("hist_gradient_boosting", "lightgbm", "sgd")  # each needs less than the one before


@dataclass(frozen=True)
class Choice:
    """The strategy, and the reason in one sentence."""

    strategy: str
    why: str


def choose_strategy(
    config: TrainingConfig, *, rows: int, n_features: int, task: Task, n_classes: int = 2
) -> Choice:
    """Choose how ``config.learner`` meets the shards.

    Parameters
    ----------
    config : TrainingConfig
    rows, n_features : int
        Training rows; columns after reduction.
    task : Task
    n_classes : int
        Matters for multiclass only.

    Raises
    ------
    ConfigError
        If ``training.strategy`` is one that the learner does not have.
    BudgetExceeded
        If the fit would need more than ``training.memory_budget_mb``; the remedy names the
        nearest learner that fits.
    """
    learner = LEARNERS[config.learner]()
    if config.strategy not in ("auto", learner.strategy):
        able = [name for name, kind in LEARNERS.items() if kind.strategy == config.strategy]
        raise ConfigError(
            f"training.strategy: {config.learner} cannot learn {config.strategy}",
            remedy=f"set training.strategy to auto or {learner.strategy}, "
            f"or training.learner to {' or '.join(able)}",
            learner=config.learner,
            strategy=config.strategy,
            possible=learner.strategy,
        )
    outputs = n_classes if task is Task.MULTICLASS else 1
    needed = learner.needed_bytes(rows, n_features, outputs) / _MB
    if needed > config.memory_budget_mb:
        raise _over_budget(config, needed, rows, n_features, outputs)
    return Choice(learner.strategy, _why(config, learner, needed, rows, n_features))


def _why(
    config: TrainingConfig, learner: Learner, needed: float, rows: int, n_features: int
) -> str:
    if learner.strategy == "incremental":
        return f"{config.learner} sees one block at a time; its memory does not grow with rows"
    return (
        f"{config.learner} on {rows} rows x {n_features} features needs about {needed:.0f} MB "
        f"of the {config.memory_budget_mb} MB that training.memory_budget_mb allows"
    )


def _over_budget(
    config: TrainingConfig, needed: float, rows: int, n_features: int, outputs: int
) -> BudgetExceeded:
    later = _ALTERNATIVES[_ALTERNATIVES.index(config.learner) + 1 :]
    nearest = next(
        name
        for name in later
        if LEARNERS[name]().needed_bytes(rows, n_features, outputs) <= config.memory_budget_mb * _MB
    )
    return BudgetExceeded(
        f"{config.learner} on {rows} rows x {n_features} features needs about {needed:.0f} MB; "
        f"training.memory_budget_mb allows {config.memory_budget_mb}",
        remedy=f"set training.learner: {nearest} (strategy {LEARNERS[nearest].strategy}), "
        f"or raise training.memory_budget_mb to {needed + 1:.0f}",
        needed_mb=round(needed, 1),
        budget_mb=config.memory_budget_mb,
        nearest=nearest,
        nearest_strategy=LEARNERS[nearest].strategy,
    )
