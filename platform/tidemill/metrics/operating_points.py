"""What other thresholds than one half would find, and which one reaches what is wanted."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tidemill.config import ThresholdConfig
from tidemill.metrics.binary import OPERATING_THRESHOLD, BinaryFigures
from tidemill.metrics.scores import ScoreHistogram

__all__ = ["decided_above", "few_are_found", "find_threshold"]

FEW = 0.5
"""Share of the positives found by the operating threshold, below which another is told."""

Counts = npt.NDArray[np.int64]


def find_threshold(ranks: ScoreHistogram, wanted: str | ThresholdConfig) -> float:
    """The probability above which decisions are as ``wanted``, halfway between two scores.

    Parameters
    ----------
    ranks : ScoreHistogram
        Of rows of both classes, which the model has not learnt.
    wanted : "f1" or ThresholdConfig
        The most F1; the most recall of those with the precision; the most precision of those with
        the recall; or the least cost. Of equal ones the highest.

    Returns
    -------
    float
        Inside 0 and 1. Where no threshold has the precision, the one that has most of it.

    Notes
    -----
    O(bins) time and memory.

    >>> ranks = ScoreHistogram.of(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1]))
    >>> [round(find_threshold(ranks, rule), 3) for rule in ("f1", ThresholdConfig(precision=0.9))]
    [0.15, 0.35]
    >>> round(find_threshold(ranks, ThresholdConfig(costs=(5, 1))), 3)
    0.35
    """
    # Of each threshold, from the highest down: that above all scores, then those below each.
    positives = np.concatenate([[0], np.cumsum(ranks.positives[::-1])])
    called = positives + np.concatenate([[0], np.cumsum(ranks.negatives[::-1])])
    at = int(np.argmax(_worth(positives, called, wanted)))
    scores = np.concatenate([[1.0], ranks.middles[::-1], [0.0]])
    halfway = float((scores[at] + scores[at + 1]) / 2)
    return min(max(halfway, math.ulp(0.0)), math.nextafter(1.0, 0.0))


def _worth(true: Counts, called: Counts, wanted: str | ThresholdConfig) -> npt.NDArray[np.float64]:
    """What decisions are worth that call ``called`` rows positive, ``true`` of them rightly."""
    positives = true[-1]
    if isinstance(wanted, str):
        return np.asarray(2 * true / np.maximum(called + positives, 1))
    if wanted.costs is not None:
        false_positive, false_negative = wanted.costs
        cost = false_positive * (called - true) + false_negative * (positives - true)
        return np.asarray(-cost, np.float64)
    precision, recall = true / np.maximum(called, 1), true / max(positives, 1)
    if wanted.recall is not None:
        return np.asarray(np.where(recall >= wanted.recall, 1 + precision, recall))
    return np.asarray(np.where(precision >= (wanted.precision or 0.0), 1 + recall, precision))


def decided_above(ranks: ScoreHistogram, threshold: float) -> tuple[float, float]:
    """Precision and recall where rows above ``threshold`` are decided positive; up to a bin.

    NaN where nothing is decided so, or nothing is positive.
    """
    above = ranks.middles > threshold
    true, called = int(ranks.positives[above].sum()), int(ranks.negatives[above].sum())
    called += true
    nan = float("nan")
    return true / called if called else nan, true / ranks.n_positive if ranks.n_positive else nan


def few_are_found(tested: BinaryFigures, held_out: BinaryFigures) -> str:
    """Say what the operating threshold misses, and what that of the best F1 would find.

    Empty where half of the positives are found, where a better one would not find more, and where
    the model has a threshold of its own.

    Parameters
    ----------
    tested, held_out : BinaryFigures
        Of the rows that judge; of those that choose the threshold.
    """
    operating = tested.operating()
    if tested.threshold != OPERATING_THRESHOLD or not held_out.ranks.n_positive:
        return ""
    threshold = find_threshold(held_out.ranks, "f1")
    precision, recall = decided_above(tested.ranks, threshold)
    if not operating["recall"] < FEW or not recall > operating["recall"]:
        return ""
    return (
        f"above a probability of {operating['threshold']:g} the model finds "
        f"{operating['recall']:.1%} of the positive test rows; above {threshold:.3g}, where F1 is "
        f"best on validation rows, it finds {recall:.1%}, and {precision:.1%} of what it calls "
        "positive is: for decisions by it set training.threshold to f1"
    )
