"""Rank metrics from a histogram of scores: ROC AUC and average precision, with their bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

__all__ = ["BINS", "Curve", "ScoreHistogram"]

BINS = 65_536

# Bins are equally wide in asinh(logit / 4): about 0.0007 of a logit between the logits -4 and
# 4, wider towards the ends, and none of the float64 probabilities falls off (|logit| < 745).
_KNEE = 4.0
_REACH = 6.0


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve of points ``(x[i], y[i])``, each reached at ``thresholds[i]``; float64."""

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    thresholds: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ScoreHistogram:
    """Positives and negatives in 65,536 bins of the score's logit; only bins that hold any.

    Parameters
    ----------
    bins : (k,) int64
        Bin numbers, ascending with the score.
    positives, negatives : (k,) int64
        Rows of each class in the bin.
    score : (k,) float64
        The one score of all rows in the bin; NaN once a bin holds different scores. So ties
        in the data are known to be ties, and cost no accuracy.

    Notes
    -----
    Merges exactly. O(k) memory, at most 65,536 bins (2 MB).

    >>> h = ScoreHistogram.of(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
    >>> h.roc_auc, h.rank_bound
    (0.75, 0.0)
    """

    bins: npt.NDArray[np.int64]
    positives: npt.NDArray[np.int64]
    negatives: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]

    @classmethod
    def of(cls, scores: npt.NDArray[Any], positive: npt.NDArray[Any]) -> Self:
        """Histogram of probabilities ``scores`` (n,) of rows that are ``positive`` (n,) or not.

        Scores that rounding put beyond 0 or 1 count as 0 or 1. O(n + 65,536) time and memory.
        """
        # Adding zero turns -0 into 0: they are one score.
        scores = np.clip(scores.astype(np.float64), 0.0, 1.0) + 0.0
        bins = _bin_of(scores)
        all_rows = np.bincount(bins, minlength=BINS)
        positives = np.bincount(bins[positive.astype(bool)], minlength=BINS)
        score = np.full(BINS, np.nan)
        score[bins] = scores
        score[bins[scores != score[bins]]] = np.nan
        used = np.flatnonzero(all_rows)
        return cls(used, positives[used], (all_rows - positives)[used], score[used])

    @property
    def middles(self) -> npt.NDArray[np.float64]:
        """A score (k,) for each bin, ascending: the one of all its rows, else its middle."""
        return np.where(np.isnan(self.score), _lower_edge(self.bins + 0.5), self.score)

    @property
    def n_positive(self) -> int:
        """Rows of the positive class."""
        return int(self.positives.sum())

    @property
    def n_negative(self) -> int:
        """Rows of the negative class."""
        return int(self.negatives.sum())

    @property
    def roc_auc(self) -> float:
        """Area under the ROC curve, ties within a bin counted half; NaN with one class only."""
        pairs = self.n_positive * self.n_negative
        if not pairs:
            return float("nan")
        below = np.cumsum(self.negatives) - self.negatives
        # Twice the number of pairs in order: whole numbers, so no rounding at all.
        ordered = int((self.positives * (2 * below + self.negatives)).sum())
        return ordered / (2 * pairs)

    @property
    def rank_bound(self) -> float:
        """The largest possible error of :attr:`roc_auc`: half the pairs in mixed bins."""
        pairs = self.n_positive * self.n_negative
        if not pairs:
            return float("nan")
        mixed = np.isnan(self.score)
        return int((self.positives * self.negatives)[mixed].sum()) / (2 * pairs)

    @property
    def average_precision(self) -> float:
        """Area under the stepwise precision-recall curve; NaN without positives.

        In a bin of unequal scores the classes are taken as evenly mixed.
        """
        return self._average_precision()[0]

    @property
    def average_precision_bound(self) -> float:
        """The largest possible error of :attr:`average_precision`."""
        estimate, lowest, highest = self._average_precision()
        return max(estimate - lowest, highest - estimate)

    def _average_precision(self) -> tuple[float, float, float]:
        if not self.n_positive:
            return float("nan"), float("nan"), float("nan")
        p, q = self.positives[::-1].astype(float), self.negatives[::-1].astype(float)
        true, seen = np.cumsum(p) - p, np.cumsum(p + q) - p - q
        tied = p * (true + p) / (seen + p + q)
        mixed = np.isnan(self.score[::-1]) & (p > 0)
        estimate, lowest, highest = tied.copy(), tied.copy(), tied
        at = (true[mixed], seen[mixed], p[mixed])
        estimate[mixed] = _sum_precision(*at, 1 + q[mixed] / (p[mixed] + 1), 0.0)
        lowest[mixed] = _sum_precision(*at, 1.0, q[mixed])
        highest = np.where(mixed, p * (true + p) / (seen + np.maximum(p, 1)), tied)
        total = self.n_positive
        return (
            float(estimate.sum()) / total,
            float(lowest.sum()) / total,
            float(highest.sum()) / total,
        )

    def roc_curve(self, points: int = 1_000) -> Curve:
        """False (x) against true positive rate (y), from the highest threshold down.

        At most ``points + 2`` points, evenly spread along the curve, the ends included.
        """
        true, false = self._cumulated()
        return _thinned(
            false / max(self.n_negative, 1),
            true / max(self.n_positive, 1),
            self._thresholds(),
            points,
        )

    def precision_recall_curve(self, points: int = 1_000) -> Curve:
        """Recall (x) against precision (y), from the highest threshold down; see roc_curve."""
        true, false = self._cumulated()
        seen = true + false
        precision = np.divide(true, seen, out=np.ones(len(true)), where=seen > 0)
        return _thinned(true / max(self.n_positive, 1), precision, self._thresholds(), points)

    def _cumulated(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        true = np.concatenate([[0], np.cumsum(self.positives[::-1])])
        return true, np.concatenate([[0], np.cumsum(self.negatives[::-1])])

    def _thresholds(self) -> npt.NDArray[np.float64]:
        lower = np.where(np.isnan(self.score), _lower_edge(self.bins), self.score)
        return np.concatenate([[np.inf], lower[::-1]])

    def merge(self, other: Self) -> Self:
        """The histogram of both sets of rows, exactly."""
        bins, at = np.unique(np.concatenate([self.bins, other.bins]), return_inverse=True)
        positives, negatives = np.zeros((2, len(bins)), np.int64)
        np.add.at(positives, at, np.concatenate([self.positives, other.positives]))
        np.add.at(negatives, at, np.concatenate([self.negatives, other.negatives]))
        # NaN, the mark of a mixed bin, survives minimum and maximum and equals nothing.
        lowest, highest = np.full(len(bins), np.inf), np.full(len(bins), -np.inf)
        with np.errstate(invalid="ignore"):
            np.minimum.at(lowest, at, np.concatenate([self.score, other.score]))
            np.maximum.at(highest, at, np.concatenate([self.score, other.score]))
        score = np.where(lowest == highest, lowest, np.nan)
        return type(self)(bins, positives, negatives, score)

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact; null where a bin holds different scores."""
        return {
            "bins": self.bins.tolist(),
            "positives": self.positives.tolist(),
            "negatives": self.negatives.tolist(),
            "score": [None if np.isnan(x) else x for x in self.score.tolist()],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            np.array(document["bins"], dtype=np.int64),
            np.array(document["positives"], dtype=np.int64),
            np.array(document["negatives"], dtype=np.int64),
            np.array(document["score"], dtype=np.float64),
        )


def _bin_of(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    with np.errstate(divide="ignore"):
        logit = np.log(scores) - np.log1p(-scores)
    place = (np.arcsinh(logit / _KNEE) / _REACH + 1) * (BINS / 2)
    return np.clip(place, 0, BINS - 1).astype(np.int64)


def _lower_edge(bins: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    logit = _KNEE * np.sinh((bins / (BINS / 2) - 1) * _REACH)
    with np.errstate(over="ignore"):
        edge: npt.NDArray[np.float64] = 1 / (1 + np.exp(-logit))
    return edge


def _sum_precision(
    true: npt.NDArray[np.float64],
    seen: npt.NDArray[np.float64],
    positives: npt.NDArray[np.float64],
    step: npt.NDArray[np.float64] | float,
    ahead: npt.NDArray[np.float64] | float,
) -> npt.NDArray[np.float64]:
    """Sum over ``i = 1 .. positives`` of ``(true + i) / (seen + ahead + step * i)``.

    In closed form by the digamma function, so that a bin costs the same whatever it holds.
    """
    from scipy.special import digamma

    start = (seen + ahead) / step
    harmonic = digamma(start + positives + 1) - digamma(start + 1)
    total: npt.NDArray[np.float64] = (positives + (true - start) * harmonic) / step
    return total


def _thinned(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    thresholds: npt.NDArray[np.float64],
    points: int,
) -> Curve:
    if len(x) > points + 2:
        length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
        wanted = np.linspace(0, length[-1], points + 2)
        kept = np.unique(np.searchsorted(length, wanted, side="left").clip(0, len(x) - 1))
        kept = np.union1d(kept, [0, len(x) - 1])
        x, y, thresholds = x[kept], y[kept], thresholds[kept]
    return Curve(x, y, thresholds)
