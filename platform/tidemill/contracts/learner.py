"""What fits a model to blocks, and owns all facts about itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt

from tidemill.contracts.engine import Engine
from tidemill.contracts.partials import Blocks
from tidemill.schema import Task

__all__ = [
    "Fit",
    "FitJob",
    "FitReport",
    "Learner",
    "Parameter",
    "Scalar",
    "Shelf",
    "TargetSummary",
]

Made = TypeVar("Made")
Scalar = str | int | float | bool | None


FitReport = Callable[[int, float], None]
"""Called with (step, validation figure) while a fit goes on; what it raises ends the fit."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a learner, or setting of a step: what it may be, where a search looks.

    Parameters
    ----------
    default : text, number, boolean or None
        A boolean default means that booleans are allowed, None that null is.
    low, high : float or None
        Bounds of a number, both included; without ``low`` no number is allowed.
    whole : bool
        Whether only whole numbers are.
    words : tuple of str
        The texts that are allowed.
    null : bool
        Whether null is allowed although it is not the default.
    aliases : tuple of str
        Other names of it.
    search : mapping
        ``{low, high, log, step}`` or ``{choices}``, as in params.yaml; empty: it is not searched.
    searched : tuple of Task
        The tasks that it is searched for.
    rare : text, number, boolean or None
        The default where the positive class is rare, if that is another one.
    """

    default: Scalar
    low: float | None = None
    high: float | None = None
    whole: bool = False
    words: tuple[str, ...] = ()
    null: bool = False
    aliases: tuple[str, ...] = ()
    search: Mapping[str, Any] = field(default_factory=dict)
    searched: tuple[Task, ...] = tuple(Task)
    rare: Scalar = None

    def takes(self, value: object) -> bool:
        """Whether the parameter may have this value."""
        if value is None:
            return self.null or self.default is None
        if isinstance(value, bool):
            return isinstance(self.default, bool)
        if isinstance(value, str):
            return value in self.words
        if not isinstance(value, (int, float)) or self.low is None:
            return False
        return (
            self.low <= value <= (math.inf if self.high is None else self.high)
            and math.isfinite(value)
            and (not self.whole or value == int(value))
        )

    @property
    def values(self) -> str:
        """What it may be, in words."""
        ways = []
        if self.words:
            ways.append(f"one of {', '.join(self.words)}")
        if self.low is not None:
            kind = "a whole number" if self.whole else "a number"
            if self.high is not None:
                kind += f" from {self.low:g} to {self.high:g}"
            elif math.isfinite(self.low):
                kind += f" of at least {self.low:g}"
            ways.append(kind)
        if isinstance(self.default, bool):
            ways.append("true or false")
        if self.null or self.default is None:
            ways.append("null")
        return " or ".join(ways)


@dataclass(frozen=True)
class TargetSummary:
    """The training target.

    Parameters
    ----------
    counts : tuple of int
        Rows of each class; empty for regression.
    mean, std : float
        For regression; the standard deviation is 1 where the target is constant.
    """

    counts: tuple[int, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    def class_weights(self) -> npt.NDArray[np.float64]:
        """Weight of a row of each class under ``balanced``: rows / (classes * class rows).

        >>> TargetSummary(counts=(90, 10)).class_weights().round(3)
        array([0.556, 5.   ])
        """
        counts = np.asarray(self.counts, np.float64)
        return np.asarray(counts.sum() / (len(counts) * np.maximum(counts, 1.0)))


class Shelf:
    """What a learner has made of the rows, kept for the next fit on the same rows.

    It holds one thing, and in another process nothing. Memory: that thing, between fits too.
    """

    def __init__(self) -> None:
        self._held: tuple[Any, Any] | None = None

    def __reduce__(self) -> tuple[type[Shelf], tuple[()]]:
        return Shelf, ()

    @contextmanager
    def borrowed(self, key: Any, make: Callable[[], Made]) -> Iterator[Made]:
        """What was made for an equal ``key``, else what ``make`` makes now.

        Nobody else has it meanwhile: a fit beside this one makes its own. What was made for
        another key is let go first.
        """
        held, self._held = self._held, None
        if held is None or held[0] != key:
            held = None
            held = (key, make())
        try:
            yield held[1]
        finally:
            self._held = held


@dataclass(frozen=True)
class FitJob:
    """One fit: settings, data, and what is known about the target.

    Parameters
    ----------
    strategy : str
        One of the learner's.
    params : mapping
        Complete: the learner's defaults with the given values over them, all allowed.
    train, validation : Blocks
        ``validation`` may have no rows; then nothing stops early.
    task : Task
    classes : tuple of str
        Labels in the order of their codes; empty for regression.
    summarised : callable
        Gives the summary of the training target; may take a pass over the blocks. Picklable.
    balanced : bool
        Weigh rows so that every class has the same total weight.
    metric : str
        The figure to follow on the validation blocks.
    seed : int
    report : callable or None
    start : estimator or None
        A fitted one of the same kind and matrix to go on from, where the learner ``continues``.
    engine : Engine or None
        Whose workers a strategy that spreads the fit may use; None where no such one is asked for.
    ranks : int
        Of the strategy ``distributed``: processes that fit together, each with its share of the
        rows.
    shelf : Shelf or None
        Where fits on the same rows, which only differ in their parameters, may leave what they
        have in common; the blocks can then be compared with ``==``.
    """

    strategy: str
    params: Mapping[str, Scalar]
    train: Blocks
    validation: Blocks
    task: Task
    classes: tuple[str, ...]
    summarised: Callable[[], TargetSummary]
    balanced: bool
    metric: str
    seed: int
    report: FitReport | None = None
    start: Any = None
    engine: Engine | None = None
    ranks: int = 1
    shelf: Shelf | None = None

    @property
    def has_validation(self) -> bool:
        """Whether there are rows to stop early by."""
        return sum(self.validation.rows) > 0

    @cached_property
    def target(self) -> TargetSummary:
        """Class counts, or mean and standard deviation, of the training rows."""
        return self.summarised()

    def number(self, name: str) -> float:
        """The parameter ``name``, which is a number."""
        return float(cast("float", self.params[name]))


@dataclass(frozen=True)
class Fit:
    """A fitted estimator and how it came to be.

    Parameters
    ----------
    estimator : scikit-learn compatible
        ``predict``; for classifiers ``predict_proba`` and ``classes_`` (the labels).
    strategy : str
        That of the job.
    metric : str
        What the curve shows.
    curve : tuple of (step, figure)
        On the validation blocks, steps counted from 1; empty without such blocks.
    n_iterations : int
        Epochs or rounds that the estimator holds.
    warnings : tuple of str
        What a person should know although it was fitted.
    """

    estimator: Any
    strategy: str
    metric: str
    curve: tuple[tuple[int, float], ...] = field(default=())
    n_iterations: int = 0
    warnings: tuple[str, ...] = ()


class Learner(Protocol):
    """One way to learn from blocks, and every fact about it.

    What it promises, and a test of ``tidemill.testing.learners`` each holds it to:

    - It learns what there is to learn, and nothing from shuffled targets; balanced weights are
      those of :meth:`TargetSummary.class_weights`, and raise the rarer class: the caller takes
      back what they do to the probabilities. Estimators speak in labels, in the order of their
      codes.
    - Equal jobs give equal bytes, whatever the number of threads.
    - The curve has an entry a step; without validation rows it is empty and the fit still stands.
    - What it says of missing values is true: it learns from them, or refuses them with
      ``ConfigError``. Fewer than two classes are ``TargetUnusable``.
    - Fits are stored, sealed, loaded and asked by production code: its lists of types suffice,
      loaded ones answer the same, and are saved to the same bytes.
    - ``check`` refuses what native code could not follow; ``weights`` has a value a column.
    - Where it ``continues``, a fit begins where ``job.start`` was.
    - Its module imports no heavy library: its facts are asked for wherever params.yaml is read.

    Attributes
    ----------
    strategies : tuple of str
        How it can meet the shards; ``auto`` takes the first that the memory budget allows.
    spread : tuple of str
        Strategies that spread one fit over the workers of ``FitJob.engine``. They are taken only
        where they are asked for.
    rounds : str
        The parameter that holds the epochs or rounds of a fit which nothing stops early.
    continues : bool
        Whether a fit can go on from ``job.start``.
    takes_missing, wants_scaled : bool
        Whether it learns from NaN; whether columns had better be one-hot and standardised.
    parameters : mapping of str to Parameter
    metrics : mapping of Task to tuple of str
        The tasks that it learns, and the figures that it can follow, the preferred one first.
    estimators : tuple of str
        Full names of the types that ``Fit.estimator`` can have.
    holds : mapping of str to tuple of str
        By skops' loader ("ObjectNode", "LossNode", ...): the types within those, beside numbers,
        arrays, texts, lists and dictionaries. No function can be among them.
    trusted : tuple of str
        Which of both skops does not trust by itself.
    requires : tuple of str
        Packages that a model needs, beside those of tidemill; models name their versions.
    """

    strategies: ClassVar[tuple[str, ...]]
    spread: ClassVar[tuple[str, ...]]
    rounds: ClassVar[str]
    continues: ClassVar[bool]
    takes_missing: ClassVar[bool]
    wants_scaled: ClassVar[bool]
    parameters: ClassVar[Mapping[str, Parameter]]
    metrics: ClassVar[Mapping[Task, tuple[str, ...]]]
    estimators: ClassVar[tuple[str, ...]]
    holds: ClassVar[Mapping[str, tuple[str, ...]]]
    trusted: ClassVar[tuple[str, ...]]
    requires: ClassVar[tuple[str, ...]]

    def needed_bytes(self, strategy: str, rows: int, n_features: int, n_outputs: int) -> int:
        """Memory that a fit takes, apart from what does not grow with rows."""

    def fit(self, job: FitJob) -> Fit:
        """Learn from ``job.train``, stopping by ``job.validation``."""

    def check(self, estimator: Any, n_outputs: int) -> None:
        """Refuse a loaded estimator that would read out of bounds or not end: ``ValueError``.

        ``n_outputs`` is 1 but for three classes and more. Its classes, number of features, and an
        answer to one row are checked for every learner.
        """

    def weights(self, estimator: Any) -> npt.NDArray[np.float64]:
        """How much the estimator looks at each column; (n_features,), none below 0."""
