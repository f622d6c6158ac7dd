"""What another threshold than one half would find."""

from __future__ import annotations

import numpy as np

from tidemill.metrics.binary import BinaryFigures
from tidemill.metrics.scores import ScoreHistogram

__all__ = ["best_f1_threshold", "decided_above", "few_are_found"]

FEW = 0.5
"""Share of the positives found by the operating threshold, below which another is told."""


def best_f1_threshold(ranks: ScoreHistogram) -> float:
    """The probability above which F1 is greatest, halfway to the next score; else NaN.

    O(bins) time and memory.

    >>> best_f1_threshold(ScoreHistogram.of(np.array([0.1, 0.2, 0.4]), np.array([0, 1, 1])))
    0.15...
    """
    if not ranks.n_positive:
        return float("nan")
    true = np.cumsum(ranks.positives[::-1])[::-1]
    called = np.cumsum((ranks.positives + ranks.negatives)[::-1])[::-1]
    at = int(np.argmax(2 * true / (called + ranks.n_positive)))
    scores = ranks.middles
    below = scores[at - 1] if at else 0.0
    return float((scores[at] + below) / 2)


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

    Empty where half of the positives are found, or a better one would not find more.

    Parameters
    ----------
    tested, held_out : BinaryFigures
        Of the rows that judge; of those that choose the threshold.
    """
    operating = tested.operating()
    threshold = best_f1_threshold(held_out.ranks)
    precision, recall = decided_above(tested.ranks, threshold)
    if not operating["recall"] < FEW or not recall > operating["recall"]:
        return ""
    return (
        f"above a probability of {operating['threshold']:g} the model finds "
        f"{operating['recall']:.1%} of the positive test rows; above {threshold:.3g}, where F1 is "
        f"best on validation rows, it finds {recall:.1%}, and {precision:.1%} of what it calls "
        "positive is"
    )
