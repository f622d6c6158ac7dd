"""What a model says set right: a curve of scores, a threshold, balanced weights taken back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.contracts import FitJob
from tidemill.learners import uncalibrated
from tidemill.metrics import OPERATING_THRESHOLD

__all__ = ["Calibration", "unweighted"]

_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is made of a classifier's probabilities and decided by them, in plain numbers.

    Parameters
    ----------
    kind : str
        none, platt, isotonic or temperature.
    slope, offsets : float, tuple of float
        See ``CalibratedClassifier``; no offsets are noughts.
    scores, shares : tuple of float
        Of the kind isotonic: see ``IsotonicClassifier``.
    log_loss, average_precision : (float, float)
        Before and after: the log loss of rows by what other rows would choose, the average
        precision (two classes) of the rows that chose. Noughts of the kind none.
    rows : int
        Held-out rows that chose.
    threshold : float
        Above which a row is decided to be of the second of two classes.
    """

    kind: str = "none"
    slope: float = 1.0
    offsets: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    log_loss: tuple[float, float] = (0.0, 0.0)
    average_precision: tuple[float, float] = (0.0, 0.0)
    rows: int = 0
    threshold: float = OPERATING_THRESHOLD

    def binary(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """What becomes of probabilities (n,) of the second of two classes; float64.

        >>> Calibration("platt", slope=2.0).binary(np.array([0.5, 0.9])).round(3)
        array([0.5  , 0.988])
        """
        if self.kind == "isotonic":
            return np.interp(scores, self.scores, self.shares)
        if self.kind == "none":
            return scores
        p = np.clip(scores, _TINY, 1.0)
        rest = np.clip(1.0 - scores, _TINY, 1.0)
        first, second = self.offsets or (0.0, 0.0)
        odds = self.slope * (np.log(p) - np.log(rest)) + second - first
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -700, 700))), np.float64)

    def applied(self, estimator: Any) -> Any:
        """The estimator set right; itself where nothing is to be."""
        if self.threshold != OPERATING_THRESHOLD:
            from tidemill.learning.calibrated import ThresholdClassifier

            at = replace(self, threshold=OPERATING_THRESHOLD)
            return ThresholdClassifier(at.applied(estimator), self.threshold)
        if self.kind == "none":
            return estimator
        from tidemill.learning.calibrated import CalibratedClassifier, IsotonicClassifier

        if self.kind == "isotonic":
            return IsotonicClassifier(estimator, np.array(self.scores), np.array(self.shares))
        offsets = np.array(self.offsets or [0.0] * len(estimator.classes_))
        inner = uncalibrated(estimator)
        if inner is estimator:
            return CalibratedClassifier(estimator, self.slope, offsets)
        # One curve over the other is of the same form: no model holds two.
        return CalibratedClassifier(
            inner, self.slope * estimator.slope, self.slope * estimator.offsets + offsets
        )

    @property
    def said(self) -> str:
        """What was chosen, and what it brought."""
        if self.kind == "none":
            return "none"
        before, after = self.log_loss
        told = f"{self.kind}: log loss {before:.4f} to {after:.4f} on {self.rows:,} held-out rows"
        if self.average_precision != (0.0, 0.0):
            told += "; average precision {:.4f} to {:.4f}".format(*self.average_precision)
        return told

    def noted(self) -> dict[str, Any]:
        """How it stands in the document of a model; nothing where nothing is set right."""
        document = asdict(self)
        if self.threshold == OPERATING_THRESHOLD:
            del document["threshold"]  # as it was before there could be another one
            if self.kind == "none":
                return {}
        return {"calibration": document}

    @classmethod
    def of_model(cls, document: Mapping[str, Any]) -> Self:
        """Read from the document of a model what :meth:`noted` wrote there."""
        noted: Mapping[str, Any] = document.get("calibration", {})
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in noted.items()
        }
        return cls(**values)


def unweighted(estimator: Any, job: FitJob) -> Any:
    """The estimator of a job, with the probabilities that rows without weights would give.

    Balanced weights multiply the odds of two classes by the ratio of their weights: exactly that
    is taken back (Elkan, The Foundations of Cost-Sensitive Learning, 2001).
    """
    if not job.balanced:
        return estimator
    offsets = tuple((-np.log(job.target.class_weights())).tolist())
    return Calibration("weights", offsets=offsets).applied(estimator)
