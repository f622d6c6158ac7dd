"""What a learner is, what it is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol

from tidemill.config import Scalar
from tidemill.contracts import Blocks
from tidemill.learning.targets import TargetSummary, summarise_target
from tidemill.schema import Task

__all__ = ["Fit", "Job", "Learner", "Report"]

Report = Callable[[int, float], None]
"""Called with (step, validation figure) while a fit goes on; what it raises ends the fit."""


@dataclass(frozen=True)
class Job:
    """One fit: settings, data, and what is known about the target.

    Parameters
    ----------
    params : mapping
        Complete: the learner's defaults with the given values over them.
    train, validation : Blocks
        ``validation`` may have no rows; then nothing stops early.
    task : Task
    classes : tuple of str
        Labels in the order of their codes; empty for regression.
    known_target : TargetSummary or None
        Of the training rows, where the caller has it; otherwise a pass finds it when needed.
    balanced : bool
        Weigh rows so that every class has the same total weight.
    metric : str
        The figure to follow on the validation blocks.
    seed : int
    report : callable or None
    start : estimator or None
        A fitted one of the same kind and matrix to go on from, where the learner ``continues``.
    """

    params: Mapping[str, Scalar]
    train: Blocks
    validation: Blocks
    task: Task
    classes: tuple[str, ...]
    known_target: TargetSummary | None
    balanced: bool
    metric: str
    seed: int
    report: Report | None = None
    start: Any = None

    @property
    def has_validation(self) -> bool:
        """Whether there are rows to stop early by."""
        return sum(self.validation.rows) > 0

    @cached_property
    def target(self) -> TargetSummary:
        """Class counts, or mean and standard deviation, of the training rows."""
        if self.known_target is not None:
            return self.known_target
        return summarise_target(self.train, self.task, self.classes)


@dataclass(frozen=True)
class Fit:
    """A fitted estimator and how it came to be.

    Parameters
    ----------
    estimator : scikit-learn compatible
        ``predict``; for classifiers ``predict_proba`` and ``classes_`` (the labels).
    strategy : str
        incremental, boosted or in_memory.
    metric : str
        What the curve shows.
    curve : tuple of (step, figure)
        On the validation blocks: epochs (sgd) or boosting rounds; empty without such blocks.
    n_iterations : int
        Epochs or rounds that the estimator holds.
    """

    estimator: Any
    strategy: str
    metric: str
    curve: tuple[tuple[int, float], ...] = field(default=())
    n_iterations: int = 0


class Learner(Protocol):
    """One way to learn from blocks. Deterministic: equal jobs give equal bytes.

    ``continues`` says whether a fit can go on from ``job.start``; ``rounds`` names the parameter
    that holds the epochs or rounds of a fit which nothing stops early.
    """

    strategy: ClassVar[str]
    rounds: ClassVar[str]
    continues: ClassVar[bool]
    defaults: ClassVar[Mapping[str, Scalar]]
    aliases: ClassVar[Mapping[str, str]]
    metrics: ClassVar[Mapping[Task, tuple[str, ...]]]

    def needed_bytes(self, rows: int, n_features: int, n_outputs: int) -> int:
        """Memory that a fit takes, apart from what does not grow with rows."""

    def space(self, task: Task) -> dict[str, dict[str, Any]]:
        """Where to search for good parameters, in the form of params.yaml."""

    def fit(self, job: Job) -> Fit:
        """Learn from ``job.train``, stopping by ``job.validation``."""
