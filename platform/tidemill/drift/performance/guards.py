"""What guards harm beside the followed figure: log loss and accuracy, or RMSE and bias.

A model can be wrong in a way that its followed figure does not see: the order of the scores stands
while all of them are off (ROC AUC), errors are no larger and all on one side (MAE). The log loss
sees sure answers that are wrong, the accuracy also those of a model that is never sure.

A guard is held to what held-out rows *with the same outputs* had, so that harder rows, which the
model says to be harder, accuse nobody; only other answers for the same outputs do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tidemill.config import HarmConfig
from tidemill.drift.performance.estimate import BAND, PerformanceModel
from tidemill.drift.performance.familywise import critical_score
from tidemill.drift.performance.standard_errors import distance_error
from tidemill.drift.performance.variation import Variation
from tidemill.metrics import Figures, RegressionFigures, in_words, shortfall
from tidemill.schema import Task

__all__ = [
    "BIAS",
    "Guard",
    "guard",
    "joint_score",
    "limits_of",
    "other_answers",
    "unknown_guards",
]

BIAS = "bias"
"""The one figure that is best at 0 and harmful on either side."""


@dataclass(frozen=True, slots=True)
class Guard:
    """A guarding figure of a window beside what it was expected to be.

    Parameters
    ----------
    metric : str
        ``log_loss``, ``accuracy``, ``rmse`` or ``bias``.
    expected : float
        On held-out rows with the same outputs; on all held-out rows where that cannot be told.
    measured, low, high : float
        On the labelled rows, and its 95% band around the distance from ``expected``.
    loss : float
        By how much it is worse than expected: in its own unit (``accuracy``), as a share of the
        log loss of a dummy (``log_loss``), of ``expected`` (``rmse``), of the held-out mean
        absolute error (``bias``, growth of its absolute value); below 0 if better.
    limit : float
        The loss that is harm.
    harmed : bool or None
        Whether the loss is beyond the limit, and the distance beyond chance; None while there
        are too few labels.
    acquitted : bool
        Whether the whole band lies within the limit.
    """

    metric: str
    expected: float
    measured: float
    low: float
    high: float
    loss: float
    limit: float
    harmed: bool | None
    acquitted: bool

    def said(self, rows: int) -> str:
        """What a person reads of a guard that accuses; ``rows`` are labelled."""
        went = {BIAS: "went", "accuracy": "fell"}.get(self.metric, "rose")
        return (
            f"{in_words(self.metric)} {went} to {self.measured:.3f} ({self.low:.3f} to "
            f"{self.high:.3f}) on {rows:,} labelled rows, where held-out rows with such outputs "
            f"had {self.expected:.3f}"
        )


def limits_of(task: Task, metric: str, config: HarmConfig) -> dict[str, float]:
    """The loss that is harm for each guard of a model that is followed by ``metric``."""
    limits = (
        {"rmse": config.max_rmse, BIAS: config.max_bias}
        if task is Task.REGRESSION
        else {"log_loss": config.max_log_loss, "accuracy": config.max_wrong}
    )
    return {n: limit for n, limit in limits.items() if limit is not None and n != metric}


def unknown_guards(quality: PerformanceModel, names: Sequence[str]) -> tuple[str, ...]:
    """Those of ``names`` that the reference cannot tell: it is of an older version of tidemill."""
    return tuple(name for name in names if math.isnan(_unit(quality, name, 0.0)))


def joint_score(
    rate: float, metric: str, guards: Sequence[str], variation: Variation
) -> tuple[float, bool]:
    """Standard errors beyond which a figure accuses, so that all together do at ``rate``.

    Bias counts twice: it accuses on both sides.

    Returns
    -------
    score : float
    joint : bool
        Whether held-out blocks told how any of the figures go together; else Bonferroni's holds.
    """
    tests = [(metric, 1), *((name, 1) for name in guards)]
    tests += [(BIAS, -1)] if BIAS in (metric, *guards) else []
    pairs = {}
    for j in range(len(tests)):
        for i in range(j):
            (a, one), (b, other) = tests[i], tests[j]
            known = -1.0 if a == b else variation.together.get(a, {}).get(b)
            if known is not None:
                pairs[i, j] = one * other * known
    joint = len(tests) == 1 or any(tests[i][0] != tests[j][0] for i, j in pairs)
    return critical_score(rate, len(tests), pairs), joint


def guard(
    quality: PerformanceModel,
    name: str,
    figures: Figures,
    limit: float,
    *,
    score: float,
    enough: bool,
    alike: bool,
) -> Guard | None:
    """Hold one guard of a window to what its rows should show; None where it is not defined.

    Labels of one class only (those of frauds may come first) are no sample of the rows: they
    tell nothing.

    Parameters
    ----------
    limit : float
        The loss that is harm.
    score : float
        Standard errors that are beyond chance, of :func:`joint_score`.
    enough : bool
        Whether there are labels enough to conclude anything.
    alike : bool
        Whether outputs mean for these rows what they meant for the held-out ones: not for
        segments, which are held to their own earlier figure.
    """
    value = figures.values()[name]
    if not math.isfinite(value) or name not in quality.figures or _of_one_class(figures):
        return None
    if alike:
        expected, error = quality.foretold(figures, name)
    else:
        expected, error = quality.figures[name], quality.error_of(figures, name)
    error = distance_error(name, value, expected, error)
    unit = _unit(quality, name, expected)
    if math.isnan(unit):
        return None
    loss = _share(shortfall(name, expected, value), unit)
    low, high = value - BAND * error, value + BAND * error
    worst = max(_share(shortfall(name, expected, end), unit) for end in (low, high))
    beyond = enough and loss > limit and abs(value - expected) > score * error
    return Guard(
        metric=name,
        expected=expected,
        measured=value,
        low=low if name == BIAS else max(low, 0.0),
        high=min(high, 1.0) if name == "accuracy" else high,
        loss=loss,
        limit=limit,
        harmed=beyond if enough else None,
        acquitted=enough and worst <= limit,
    )


def other_answers(
    quality: PerformanceModel, figures: Figures, config: HarmConfig
) -> tuple[Guard, ...]:
    """The guards that accuse: rows have other answers than held-out rows with the same outputs.

    Rows that the model says to be harder accuse nobody, so what is left is that a meaning has
    changed. Empty where that cannot be told: too few rows, nothing guarded, an old reference.

    Parameters
    ----------
    quality : PerformanceModel
        The model's, on its held-out rows.
    figures : Figures
        Of the same model on the rows in question.
    """
    limits = limits_of(quality.task, "", config)
    names = [name for name in limits if name not in unknown_guards(quality, tuple(limits))]
    if not names:
        return ()
    score, _ = joint_score(config.false_alarm_rate, names[0], names[1:], quality.variation)
    enough = figures.count >= config.min_labels
    found = (
        guard(quality, name, figures, limits[name], score=score, enough=enough, alike=True)
        for name in names
    )
    return tuple(each for each in found if each is not None and each.harmed)


def _of_one_class(figures: Figures) -> bool:
    if isinstance(figures, RegressionFigures):
        return False
    return int((figures.confusion.sum(axis=1) > 0).sum()) < 2


def _share(growth: float, unit: float) -> float:
    """Growth as a share; whatever grew from nothing grew without bound."""
    if unit > 0:
        return growth / unit
    return math.inf if growth > 0 else 0.0


def _unit(quality: PerformanceModel, name: str, expected: float) -> float:
    """What a loss is a share of; NaN where the reference does not know it."""
    if name not in quality.figures:
        return math.nan
    if name == "log_loss":
        return quality.dummy
    if name == "accuracy":
        return 1.0
    return quality.figures["mae"] if name == BIAS else expected
