"""How good the model is in a window: measured where labels came, expected where they did not."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Self

from tidemill.config import HarmConfig
from tidemill.drift.bands import standard_error
from tidemill.drift.estimate import BAND, MEAN_ERRORS, Estimate, PerformanceModel
from tidemill.drift.findings import Finding
from tidemill.drift.trust import Trust
from tidemill.metrics import HIGHER_IS_BETTER, BinaryFigures, Figures, in_words

__all__ = ["RELATIVE", "Performance", "measure", "performance_findings", "worse_by"]

RELATIVE = frozenset({"mae", "rmse"})
"""Figures in the target's own unit: their loss is told as a share of the held-out figure."""

_ONE_SIDED = 1.645

MOST_UNSEEN = 0.2
"""Share of outputs where hardly a held-out row lay, above which an estimate accuses nobody."""


@dataclass(frozen=True, slots=True)
class Performance:
    """A window's figure beside the held-out one; NaN and None where it cannot be told.

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
    mixed : bool
        Whether only the mean error acquits: the figure fell because other rows came, not
        because they are answered worse.
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

    def to_json(self) -> dict[str, Any]:
        """A JSON document; NaN becomes null."""
        document = asdict(self)
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in document.items()
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        told: dict[str, Any] = {
            name: math.nan if value is None and name not in ("harmed", "suspected") else value
            for name, value in document.items()
        }
        return cls(**told)


def measure(
    quality: PerformanceModel,
    metric: str,
    config: HarmConfig,
    *,
    figures: Figures | None = None,
    estimate: Estimate | None = None,
    trust: Trust | None = None,
    comparisons: int = 1,
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

    Notes
    -----
    Standard errors are analytic (see ``bands``); nothing here passes over rows.
    """
    if figures is not None and _without_scores(figures):
        metric, estimate = "accuracy", None
    held_out = quality.figures.get(metric, math.nan)
    strict = -NormalDist().inv_cdf(0.025 / max(comparisons, 1))
    found: dict[str, Any] = {"metric": metric, "held_out": held_out}
    if figures is not None and figures.count:
        found |= _measured(quality, metric, held_out, figures, config, strict)
    if estimate is not None and config.estimate and estimate.metric == metric:
        expected = _estimated(quality, held_out, estimate, config, strict, trust or Trust())
        if found.get("harmed") is not None:
            expected["mixed"] = found["mixed"]  # what is measured outweighs what is expected
        found |= expected
    return Performance(**found)


def worse_by(metric: str, held_out: float, value: float) -> float:
    """By how much ``value`` is worse than ``held_out``, in the unit of ``max_loss``.

    >>> round(worse_by("roc_auc", 0.80, 0.75), 3), round(worse_by("mae", 2.0, 3.0), 3)
    (0.05, 0.5)
    """
    loss = held_out - value if HIGHER_IS_BETTER[metric] else value - held_out
    if metric not in RELATIVE:
        return loss
    return loss / held_out if held_out else (math.inf if loss > 0 else 0.0)


def performance_findings(performance: Performance, config: HarmConfig) -> list[Finding]:
    """The measured and the estimated figure as findings, where they can be told."""
    found = []
    if performance.harmed is not None:
        detail = (
            f"{in_words(performance.metric)} {performance.measured:.3f} on "
            f"{performance.labelled_rows:,} labelled rows, held out {performance.held_out:.3f}"
        )
        found.append(_finding("performance", performance, performance.harmed, config, detail))
    if performance.suspected is not None:
        detail = (
            f"{in_words(performance.metric)} estimated at {performance.estimated:.3f} "
            f"({performance.estimated_low:.3f} to {performance.estimated_high:.3f}) "
            f"before labels, held out {performance.held_out:.3f}"
        )
        found.append(_finding("estimate", performance, performance.suspected, config, detail))
    return found


def _finding(
    kind: Any, performance: Performance, flagged: bool, config: HarmConfig, detail: str
) -> Finding:
    loss = performance.loss if kind == "performance" else performance.estimated_loss
    return Finding(kind, "", performance.metric, loss, config.max_loss, None, flagged, detail)


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
    error = _error(quality, metric, figures)
    loss = worse_by(metric, held_out, value)
    enough = figures.count >= config.min_labels
    beyond = enough and loss > config.max_loss and abs(value - held_out) > strict * error
    behind = MEAN_ERRORS.get(metric)
    grown = behind is None or _grown(
        quality, behind, figures.values()[behind], _error(quality, behind, figures)
    )
    worst = value + (-BAND if HIGHER_IS_BETTER[metric] else BAND) * error
    return {
        "labelled_rows": figures.count,
        "measured": value,
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
    told = estimate.unseen <= MOST_UNSEEN and not trust.wrong(config.max_loss, held_out)
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
    }


def _error(quality: PerformanceModel, metric: str, figures: Figures) -> float:
    """Standard error of a measured figure's distance from the held-out one."""
    # A window without a single error has no noise of its own: held-out rows know better.
    own = max(standard_error(figures, metric), quality.noise[metric] / math.sqrt(figures.count))
    spread = quality.variation.spread_of(metric, figures.count)
    return math.hypot(own, quality.held_out_error(metric), spread)


def _grown(quality: PerformanceModel, metric: str, value: float, error: float) -> bool:
    """Whether a mean error (lower is better) lies above the held-out one, with 95% confidence."""
    if metric not in quality.figures or not math.isfinite(value):
        return True
    return value - quality.figures[metric] > _ONE_SIDED * error


def _bounded(metric: str, value: float) -> float:
    """An end of a band, where the figure can still be."""
    if metric == "r2":
        return min(value, 1.0)
    return max(min(value, 1.0) if HIGHER_IS_BETTER[metric] else value, 0.0)


def _without_scores(figures: Figures) -> bool:
    """Whether all probabilities are 0 or 1: the labels came without scores."""
    if not isinstance(figures, BinaryFigures) or not figures.count:
        return False
    score = figures.ranks.score
    return bool(((score == 0.0) | (score == 1.0)).all())
