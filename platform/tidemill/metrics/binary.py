"""Figures of a binary classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.errors import SchemaMismatch
from tidemill.metrics.measurable import probable
from tidemill.metrics.scores import Curve, ScoreHistogram

__all__ = ["OPERATING_THRESHOLD", "BinaryFigures"]

OPERATING_THRESHOLD = 0.5
"""Above this probability of the positive class a row is positive, unless a model says another."""

_CALIBRATION_BINS = 100
_EPSILON = np.finfo(np.float64).eps


@dataclass(frozen=True, slots=True, eq=False)
class BinaryFigures:
    """How well probabilities of the positive class fit the labels of the same rows.

    Parameters
    ----------
    ranks : ScoreHistogram
    log_loss_sum, squared_error_sum : float
        Sums over rows; the logarithm's argument is clipped at the float64 epsilon, as
        scikit-learn does.
    confusion : (2, 2) int64
        Rows of true class ``i`` that are predicted as ``j``; positive above the threshold.
    calibration_rows, calibration_positives : (100,) int64
    calibration_scores : (100,) float64
        Sums over the hundredths ``(i / 100, (i + 1) / 100]`` of the score.
    threshold : float
        The operating threshold.

    Notes
    -----
    Counts merge exactly, sums to 1e-12 relative. At most 2.5 MB, whatever the rows.

    >>> figures = BinaryFigures.of(np.array([0.1, 0.6, 0.35, 0.8]), np.array([0, 0, 1, 1]))
    >>> {name: round(value, 3) for name, value in figures.values().items()}
    {'roc_auc': 0.75, 'average_precision': 0.833, 'log_loss': 0.574, 'accuracy': 0.5,
     'f1': 0.5, 'brier': 0.208}
    """

    ranks: ScoreHistogram
    log_loss_sum: float
    squared_error_sum: float
    confusion: npt.NDArray[np.int64]
    calibration_rows: npt.NDArray[np.int64]
    calibration_positives: npt.NDArray[np.int64]
    calibration_scores: npt.NDArray[np.float64]
    threshold: float = OPERATING_THRESHOLD

    @classmethod
    def of(
        cls,
        scores: npt.NDArray[Any],
        y: npt.NDArray[Any],
        threshold: float = OPERATING_THRESHOLD,
    ) -> Self:
        """Figures of ``scores`` (n,), probabilities of class 1, and labels ``y`` (n,) 0 or 1.

        O(n) time and memory.

        Raises
        ------
        SchemaMismatch
            If the shapes differ, or a score is no probability.
        """
        scores = np.asarray(scores, dtype=np.float64)
        _check(scores, y)
        positive = np.asarray(y) == 1
        right = np.where(positive, scores, 1 - scores)
        clipped = np.clip(scores, _EPSILON, 1 - _EPSILON)
        loss = -np.log(np.where(positive, clipped, 1 - clipped))
        confusion = np.bincount(2 * positive + (scores > threshold), minlength=4)
        hundredth = np.searchsorted(np.linspace(0, 1, _CALIBRATION_BINS + 1)[1:-1], scores)
        return cls(
            ScoreHistogram.of(scores, positive),
            float(loss.sum()),
            float(((1 - right) ** 2).sum()),
            confusion.reshape(2, 2),
            np.bincount(hundredth, minlength=_CALIBRATION_BINS),
            np.bincount(hundredth[positive], minlength=_CALIBRATION_BINS),
            np.bincount(hundredth, weights=scores, minlength=_CALIBRATION_BINS).astype(np.float64),
            threshold,
        )

    @property
    def count(self) -> int:
        """Rows judged, of both classes."""
        return int(self.confusion.sum())

    @property
    def rank_bound(self) -> float:
        """The largest possible error of roc_auc, from unequal scores inside a bin."""
        return self.ranks.rank_bound

    @property
    def average_precision_bound(self) -> float:
        """The largest possible error of average_precision, from the same cause."""
        return self.ranks.average_precision_bound

    def values(self) -> dict[str, float]:
        """The figures by name; NaN where the rows do not define one (no rows, one class)."""
        nan = float("nan")
        (_, false_positive), (false_negative, true_positive) = self.confusion.tolist()
        errors = 2 * true_positive + false_positive + false_negative
        n = self.count
        return {
            "roc_auc": self.ranks.roc_auc,
            "average_precision": self.ranks.average_precision,
            "log_loss": self.log_loss_sum / n if n else nan,
            "accuracy": int(np.trace(self.confusion)) / n if n else nan,
            "f1": 2 * true_positive / errors if errors else (0.0 if n else nan),
            "brier": self.squared_error_sum / n if n else nan,
        }

    def operating(self) -> dict[str, float]:
        """Precision and recall of the decisions at the operating threshold, and it.

        NaN where nothing was called positive, or nothing is.
        """
        (_, false_positive), (false_negative, true_positive) = self.confusion.tolist()
        called, positive = true_positive + false_positive, true_positive + false_negative
        return {
            "threshold": self.threshold,
            "precision": true_positive / called if called else float("nan"),
            "recall": true_positive / positive if positive else float("nan"),
        }

    def roc_curve(self, points: int = 1_000) -> Curve:
        """False (x) against true positive rate (y)."""
        return self.ranks.roc_curve(points)

    def precision_recall_curve(self, points: int = 1_000) -> Curve:
        """Recall (x) against precision (y)."""
        return self.ranks.precision_recall_curve(points)

    def calibration(
        self, bins: int = 10
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Mean score, share of positives and rows of each of ``bins`` equal score ranges.

        Parameters
        ----------
        bins : int
            A divisor of 100.

        Returns
        -------
        mean_score, positive_share : (bins,) float64
            NaN where a range has no rows.
        rows : (bins,) int64
        """
        if bins < 1 or _CALIBRATION_BINS % bins:
            raise ValueError(f"calibration bins must divide {_CALIBRATION_BINS}, {bins} does not")
        rows, positives, scores = (
            sums.reshape(bins, -1).sum(axis=1)
            for sums in (self.calibration_rows, self.calibration_positives, self.calibration_scores)
        )
        filled = np.where(rows, rows, np.nan)
        return scores / filled, positives / filled, rows

    def merge(self, other: Self) -> Self:
        """Figures of both sets of rows.

        Raises
        ------
        SchemaMismatch
            If they were decided by different thresholds.
        """
        if self.threshold != other.threshold:
            raise SchemaMismatch(
                f"figures of decisions above {self.threshold:g} and above {other.threshold:g} "
                "cannot be merged",
                remedy="judge both by the same threshold",
                left=self.threshold,
                right=other.threshold,
            )
        return type(self)(
            self.ranks.merge(other.ranks),
            self.log_loss_sum + other.log_loss_sum,
            self.squared_error_sum + other.squared_error_sum,
            self.confusion + other.confusion,
            self.calibration_rows + other.calibration_rows,
            self.calibration_positives + other.calibration_positives,
            self.calibration_scores + other.calibration_scores,
            self.threshold,
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        return {
            "kind": "binary",
            "ranks": self.ranks.to_json(),
            "log_loss_sum": self.log_loss_sum,
            "squared_error_sum": self.squared_error_sum,
            "confusion": self.confusion.tolist(),
            "calibration_rows": self.calibration_rows.tolist(),
            "calibration_positives": self.calibration_positives.tolist(),
            "calibration_scores": self.calibration_scores.tolist(),
            # As it was before there could be another one.
            **({} if self.threshold == OPERATING_THRESHOLD else {"threshold": self.threshold}),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            ScoreHistogram.from_json(document["ranks"]),
            document["log_loss_sum"],
            document["squared_error_sum"],
            np.array(document["confusion"], dtype=np.int64),
            np.array(document["calibration_rows"], dtype=np.int64),
            np.array(document["calibration_positives"], dtype=np.int64),
            np.array(document["calibration_scores"], dtype=np.float64),
            document.get("threshold", OPERATING_THRESHOLD),
        )


def _check(scores: npt.NDArray[np.float64], y: npt.NDArray[Any]) -> None:
    if scores.ndim != 1 or scores.shape != np.shape(y):
        raise SchemaMismatch(
            f"scores of shape {scores.shape} do not fit labels of shape {np.shape(y)}",
            remedy="give one probability of the positive class for each label",
            scores=scores.shape,
            labels=np.shape(y),
        )
    if not probable(scores).all():
        raise SchemaMismatch(
            "the scores of a binary classifier are not all between 0 and 1",
            remedy="give probabilities; a NaN means that the model diverged",
        )
