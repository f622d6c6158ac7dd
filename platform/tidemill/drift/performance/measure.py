"""How good the model is in a window: measured where labels came, expected where they did not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from statistics import NormalDist
from typing import Any, Self

from tidemill.config import HarmConfig
from tidemill.drift.findings import Finding
from tidemill.drift.performance.estimate import (
    BAND,
    MEAN_ERRORS,
    MOST_UNSEEN,
    Estimate,
    PerformanceModel,
)
from tidemill.drift.performance.guards import Guard, guard, joint_score, limits_of, unknown_guards
from tidemill.drift.performance.reconciling import Reconciled, Trust
from tidemill.drift.performance.standard_errors import distance_error
from tidemill.metrics import HIGHER_IS_BETTER, BinaryFigures, Figures, in_words, shortfall
from tidemill.profiling.floats import from_document, to_document

__all__ = ["DENIED", "RELATIVE", "Performance", "measure", "performance_findings", "worse_by"]

RELATIVE = frozenset({"mae", "rmse"})
"""Figures in the target's own unit: their loss is told as a share of the held-out figure."""

DENIED = "these labels contradict it"
"""Said of an estimate by the labels of its own window."""

_ONE_SIDED = 1.645
_ALONE = "held to its share of the rate alone: too few held-out blocks tell how figures go together"


@dataclass(frozen=True, slots=True)
class Performance:
    """A window's figures beside the held-out ones; NaN and None where they cannot be told.

    All but ``guards``, ``joint`` and ``unguarded`` are of the followed figure.

    Parameters
    ----------
    metric : str
        The figure that is followed; ``accuracy`` where predictions came without scores.
    held_out : float
        On the rows held out when the champion was made.
    rows, labelled_rows : int
        Rows with an output; rows whose truth is known.
    measured, low, high : float
        The figure on the labelled rows, and its 95% band: noise of these rows and of the
        held-out ones, and the spread between held-out time blocks.
    loss : float
        By how much it is worse than held out; below 0 if better; relative for rmse and mae.
    harmed : bool or None
        Whether the loss is beyond ``max_loss``, the held-out figure outside the band, and, of a
        figure that depends on the mix of rows, their mean error has grown as well (see
        ``MEAN_ERRORS``); None while there are too few labels.
    acquitted : bool
        Whether the whole band lies within ``max_loss``.
    estimated, estimated_low, estimated_high, estimated_loss : float
        The same before labels, from the outputs; the band also holds the doubt of the model.
    suspected : bool or None
        The same of the estimate; None where there is none that is trusted.
    doubt : str
        Why an estimate that could be made is not trusted; empty where it is. Labels of its own
        window that contradict it (``DENIED``) leave ``suspected`` as it was.
    mixed : bool
        Whether only the mean error acquits: the figure fell because other rows came, not
        because they are answered worse.
    guards : tuple of Guard
        The figures beside the followed one that accuse too; of the labelled rows.
    joint : bool
        Whether the chance of a false accusation is shared by what held-out blocks told of how
        the figures go together; else each is held to its part of it (Bonferroni).
    unguarded : tuple of str
        Guards that the reference does not know: it was made by an older version of tidemill.
    """

    metric: str
    held_out: float
    rows: int = 0
    labelled_rows: int = 0
    measured: float = math.nan
    low: float = math.nan
    high: float = math.nan
    loss: float = math.nan
    harmed: bool | None = None
    acquitted: bool = False
    estimated: float = math.nan
    estimated_low: float = math.nan
    estimated_high: float = math.nan
    estimated_loss: float = math.nan
    suspected: bool | None = None
    mixed: bool = False
    guards: tuple[Guard, ...] = ()
    joint: bool = True
    unguarded: tuple[str, ...] = ()
    doubt: str = ""

    @property
    def measurable(self) -> bool:
        """Whether any figure is measured on labels enough."""
        return any(harmed is not None for harmed in (self.harmed, *_each(self.guards, "harmed")))

    @property
    def accusers(self) -> tuple[str, ...]:
        """Names of the figures that accuse: the followed one, then guards."""
        own = (self.metric,) if self.harmed else ()
        return own + tuple(g.metric for g in self.guards if g.harmed)

    @property
    def cleared(self) -> bool:
        """Whether every figure acquits."""
        return self.acquitted and all(g.acquitted for g in self.guards)

    def doubted(self, max_loss: float) -> tuple[str, ...]:
        """Names of the figures whose loss would be harm if it were certain; with labels enough."""
        own = (self.metric,) if self.harmed is not None and self.loss > max_loss else ()
        beside = (g.metric for g in self.guards if g.harmed is not None and g.loss > g.limit)
        return own + tuple(beside)

    def blamed(self, max_loss: float) -> tuple[str, ...]:
        """Names of the figures that confirmed harm rests on: those that accuse, else in doubt."""
        return self.accusers or self.doubted(max_loss)

    def to_json(self) -> dict[str, Any]:
        """A JSON document; NaN becomes null."""
        document = _written(asdict(self))
        return document | {
            "guards": [_written(asdict(g)) for g in self.guards],
            "unguarded": list(self.unguarded),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote, also before there were guards."""
        guards = tuple(Guard(**_read(Guard, g)) for g in document.get("guards", ()))
        unguarded = tuple(document.get("unguarded", ()))
        return cls(**_read(cls, document) | {"guards": guards, "unguarded": unguarded})


def measure(
    quality: PerformanceModel,
    metric: str,
    config: HarmConfig,
    *,
    figures: Figures | None = None,
    estimate: Estimate | None = None,
    trust: Trust | None = None,
    comparisons: int = 1,
    alike: bool = True,
) -> Performance:
    """Hold a window, or a slice of it, to the held-out rows.

    Parameters
    ----------
    quality : PerformanceModel
        The reference's.
    metric : str
    config : HarmConfig
    figures : BinaryFigures, MulticlassFigures or RegressionFigures, or None
        Of the labelled rows, with scores as :func:`tidemill.drift.scores_of_outputs` has them.
    estimate : Estimate or None
        From ``quality.estimate`` on the outputs of all rows.
    trust : Trust or None
        What became of earlier estimates; widens the band, or takes the estimate's voice away.
    comparisons : int
        Windows and slices judged together: the chance of a false accusation is divided by it
        (Bonferroni); the bands that are shown stay at 95%.
    alike : bool
        Whether outputs mean for these rows what they meant for the held-out ones; not for
        slices, whose guards are held to the slice's own figures.

    Notes
    -----
    The followed figure and its guards share ``config.false_alarm_rate`` (see ``jointly``).
    Standard errors are analytic (see ``bands``); nothing here passes over rows.
    """
    with_scores = figures is None or not _without_scores(figures)
    if not with_scores:
        metric, estimate = "accuracy", None
    held_out = quality.figures.get(metric, math.nan)
    rate = config.false_alarm_rate / max(comparisons, 1)
    found: dict[str, Any] = {"metric": metric, "held_out": held_out}
    if figures is not None and figures.count:
        limits = limits_of(quality.task, metric, config) if with_scores else {}
        found |= _guarded(quality, metric, held_out, figures, config, limits, rate, alike)
    if estimate is not None and config.estimate and estimate.metric == metric:
        alone = -NormalDist().inv_cdf(rate)
        expected = _estimated(quality, held_out, estimate, config, alone, trust or Trust())
        if found.get("harmed") is not None:
            expected["mixed"] = found["mixed"]  # what is measured outweighs what is expected
            known = Reconciled(estimate, found["measured"], found["error"])
            if known.contradicts(config.max_loss, held_out):
                expected["doubt"] = DENIED
        found |= expected
    found.pop("error", None)
    return Performance(**found)


def worse_by(metric: str, held_out: float, value: float) -> float:
    """By how much ``value`` is worse than ``held_out``, in the unit of ``max_loss``.

    >>> round(worse_by("roc_auc", 0.80, 0.75), 3), round(worse_by("mae", 2.0, 3.0), 3)
    (0.05, 0.5)
    """
    loss = shortfall(metric, held_out, value)
    if metric not in RELATIVE:
        return loss
    return loss / held_out if held_out else (math.inf if loss > 0 else 0.0)


def performance_findings(performance: Performance, config: HarmConfig) -> list[Finding]:
    """The measured figure, its guards and the estimated one as findings, where they can be told."""
    found = []
    if performance.harmed is not None:
        detail = (
            f"{in_words(performance.metric)} {performance.measured:.3f} on "
            f"{performance.labelled_rows:,} labelled rows, held out {performance.held_out:.3f}"
        )
        found.append(_finding("performance", performance, performance.harmed, config, detail))
    found += _guard_findings(performance)
    if performance.suspected is not None:
        detail = (
            f"{in_words(performance.metric)} estimated at {performance.estimated:.3f} "
            f"({performance.estimated_low:.3f} to {performance.estimated_high:.3f}) "
            f"before labels, held out {performance.held_out:.3f}"
        ) + (f"; {performance.doubt}" if performance.doubt else "")
        found.append(_finding("estimate", performance, performance.suspected, config, detail))
    return found


def _guard_findings(performance: Performance) -> list[Finding]:
    """One finding a guard; what cannot be guarded is told too, and flags nothing."""
    alone = "" if performance.joint else f"; {_ALONE}"
    found = [
        Finding(
            "performance",
            "",
            g.metric,
            g.loss,
            g.limit,
            None,
            g.harmed,
            f"{in_words(g.metric)} {g.measured:.3f} on {performance.labelled_rows:,} labelled "
            f"rows, {g.expected:.3f} expected of them{alone}",
        )
        for g in performance.guards
        if g.harmed is not None
    ]
    for name in performance.unguarded if performance.measurable else ():
        detail = (
            f"{in_words(name)} is not guarded: the reference of this version was made before it "
            "was kept; versions that are registered from now on have it"
        )
        found.append(Finding("performance", "", name, math.nan, math.inf, None, False, detail))
    return found


def _finding(
    kind: Any, performance: Performance, flagged: bool, config: HarmConfig, detail: str
) -> Finding:
    loss = performance.loss if kind == "performance" else performance.estimated_loss
    return Finding(kind, "", performance.metric, loss, config.max_loss, None, flagged, detail)


def _guarded(
    quality: PerformanceModel,
    metric: str,
    held_out: float,
    figures: Figures,
    config: HarmConfig,
    limits: dict[str, float],
    rate: float,
    alike: bool,
) -> dict[str, Any]:
    """The measured figure and its guards, all held to one rate."""
    unguarded = unknown_guards(quality, tuple(limits))
    names = [name for name in limits if name not in unguarded]
    score, joint = joint_score(rate, metric, names, quality.variation)
    enough = figures.count >= config.min_labels
    guards = [
        guard(quality, name, figures, limits[name], score=score, enough=enough, alike=alike)
        for name in names
    ]
    return {
        **_measured(quality, metric, held_out, figures, config, score),
        "guards": tuple(found for found in guards if found is not None),
        "joint": joint,
        "unguarded": unguarded,
    }


def _measured(
    quality: PerformanceModel,
    metric: str,
    held_out: float,
    figures: Figures,
    config: HarmConfig,
    strict: float,
) -> dict[str, Any]:
    value = figures.values()[metric]
    if not (math.isfinite(value) and math.isfinite(held_out)):
        return {"labelled_rows": figures.count}
    error = distance_error(metric, value, held_out, quality.error_of(figures, metric))
    loss = worse_by(metric, held_out, value)
    enough = figures.count >= config.min_labels
    beyond = enough and loss > config.max_loss and abs(value - held_out) > strict * error
    behind = MEAN_ERRORS.get(metric)
    grown = behind is None or _grown(
        quality, behind, figures.values()[behind], quality.error_of(figures, behind)
    )
    worst = value + (-BAND if HIGHER_IS_BETTER[metric] else BAND) * error
    return {
        "labelled_rows": figures.count,
        "measured": value,
        "error": error,
        "low": _bounded(metric, value - BAND * error),
        "high": _bounded(metric, value + BAND * error),
        "loss": loss,
        "harmed": beyond and grown if enough else None,
        "mixed": beyond and not grown,
        "acquitted": enough and worse_by(metric, held_out, worst) <= config.max_loss,
    }


def _estimated(
    quality: PerformanceModel,
    held_out: float,
    estimate: Estimate,
    config: HarmConfig,
    strict: float,
    trust: Trust,
) -> dict[str, Any]:
    if not (math.isfinite(estimate.value) and math.isfinite(held_out)):
        return {"rows": estimate.rows}
    error = estimate.standard_error * trust.widening
    loss = worse_by(estimate.metric, held_out, estimate.value)
    doubt = trust.doubt(config.max_loss, held_out)
    if not doubt and estimate.unseen > MOST_UNSEEN:
        doubt = "hardly a held-out row had such outputs"
    told = not doubt
    beyond = loss > config.max_loss and abs(estimate.value - held_out) > strict * error
    behind = estimate.mean_error
    grown = behind is None or _grown(
        quality, behind.metric, behind.value, behind.standard_error * trust.widening
    )
    return {
        "rows": estimate.rows,
        "estimated": estimate.value,
        "estimated_low": _bounded(estimate.metric, estimate.value - BAND * error),
        "estimated_high": _bounded(estimate.metric, estimate.value + BAND * error),
        "estimated_loss": loss,
        "suspected": beyond and grown if told else None,
        "mixed": told and beyond and not grown,
        "doubt": doubt,
    }


def _grown(quality: PerformanceModel, metric: str, value: float, error: float) -> bool:
    """Whether a mean error (lower is better) lies above the held-out one, with 95% confidence."""
    if metric not in quality.figures or not math.isfinite(value):
        return True
    expected = quality.figures[metric]
    return value - expected > _ONE_SIDED * distance_error(metric, value, expected, error)


def _bounded(metric: str, value: float) -> float:
    """An end of a band, where the figure can still be."""
    if metric == "r2":
        return min(value, 1.0)
    return max(min(value, 1.0) if HIGHER_IS_BETTER[metric] else value, 0.0)


def _each(guards: Sequence[Guard], name: str) -> list[Any]:
    return [getattr(g, name) for g in guards]


def _written(document: dict[str, Any]) -> dict[str, Any]:
    return {n: to_document(v) if isinstance(v, float) else v for n, v in document.items()}


def _read(kind: type[Any], document: dict[str, Any]) -> dict[str, Any]:
    """Numbers that are not finite, as they were; bools that are not known stay None."""
    numbers = {f.name for f in fields(kind) if f.type == "float"}
    return {n: from_document(v) if n in numbers else v for n, v in document.items()}


def _without_scores(figures: Figures) -> bool:
    """Whether all probabilities are 0 or 1: the labels came without scores."""
    if not isinstance(figures, BinaryFigures) or not figures.count:
        return False
    score = figures.ranks.score
    return bool(((score == 0.0) | (score == 1.0)).all())
