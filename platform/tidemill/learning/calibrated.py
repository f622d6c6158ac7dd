"""Estimators of ours: classifiers whose probabilities, or decisions, are set right.

They hold another one and numbers only, so that skops stores them and the loader needs to trust
these classes and the other's own.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from tidemill.contracts import FloatMatrix

__all__ = ["CalibratedClassifier", "IsotonicClassifier", "ThresholdClassifier", "calibrated"]

Floats = npt.NDArray[np.float64]

_LEAST = np.finfo(np.float64).tiny


class _Corrected(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Another classifier, whose probabilities become others."""

    estimator: Any

    def fit(self, X: Any = None, y: Any = None) -> Self:  # noqa: ARG002
        """Return self: it is fitted when it is made."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def n_features_in_(self) -> int:
        """Columns of the matrix that it was trained on."""
        return int(self.estimator.n_features_in_)

    @property
    def classes_(self) -> npt.NDArray[np.str_]:
        """The labels, in the order of the probabilities."""
        return np.asarray(self.estimator.classes_)

    def predict_proba(self, X: FloatMatrix) -> Floats:
        """Class probabilities; (rows, n_classes) float64."""
        return self._corrected(np.asarray(self.estimator.predict_proba(X), np.float64))

    def _corrected(self, probabilities: Floats) -> Floats:
        raise NotImplementedError

    def predict(self, X: FloatMatrix) -> npt.NDArray[np.str_]:
        """The most probable label; (rows,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class CalibratedClassifier(_Corrected):
    """Probabilities in proportion to ``p ** slope * exp(offsets)`` of another classifier's ``p``.

    With a slope of 1 it moves the shares of the classes and nothing else; with two classes it is
    Platt's logistic curve over the log odds; without offsets it is a temperature of 1 / slope.

    Parameters
    ----------
    estimator : classifier
    slope : float
        Above 0, so that rows keep their order.
    offsets : (n_classes,) float64

    Notes
    -----
    Platt (1999); Guo et al., On Calibration of Modern Neural Networks (2017).
    """

    def __init__(self, estimator: Any, slope: float, offsets: Floats) -> None:
        self.estimator = estimator
        self.slope = slope
        self.offsets = offsets

    def _corrected(self, probabilities: Floats) -> Floats:
        return calibrated(probabilities, self.slope, self.offsets)


class IsotonicClassifier(_Corrected):
    """An increasing curve over the probability of the second of two classes.

    Parameters
    ----------
    estimator : classifier
        Of two classes.
    scores : (k,) float64
        Probabilities of the second class, ascending.
    shares : (k,) float64
        What becomes of each, never less than before it; linear between them, constant outside.
        Where two are equal, rows that were in an order become ties.

    Notes
    -----
    Zadrozny & Elkan, Transforming Classifier Scores into Accurate Probabilities (2002).
    """

    def __init__(self, estimator: Any, scores: Floats, shares: Floats) -> None:
        self.estimator = estimator
        self.scores = scores
        self.shares = shares

    def _corrected(self, probabilities: Floats) -> Floats:
        positive = np.interp(probabilities[:, 1], self.scores, self.shares)
        return np.column_stack([1.0 - positive, positive])


class ThresholdClassifier(_Corrected):
    """Decides for the second of two classes above a threshold of its own; probabilities stay.

    Parameters
    ----------
    estimator : classifier
        Of two classes.
    threshold : float
        Inside 0 and 1.
    """

    def __init__(self, estimator: Any, threshold: float) -> None:
        self.estimator = estimator
        self.threshold = threshold

    def _corrected(self, probabilities: Floats) -> Floats:
        return probabilities

    def predict(self, X: FloatMatrix) -> npt.NDArray[np.str_]:
        """The label that is decided; (rows,)."""
        above = self.predict_proba(X)[:, 1] > self.threshold
        return np.asarray(self.classes_[above.astype(np.intp)])


def calibrated(probabilities: npt.NDArray[Any], slope: float, offsets: Floats) -> Floats:
    """Probabilities (rows, n_classes) in proportion to ``p ** slope * exp(offsets)``; float64.

    >>> calibrated(np.array([[0.5, 0.5]]), 1.0, -np.log([0.5, 1.5])).round(3)
    array([[0.75, 0.25]])
    """
    p = np.clip(np.asarray(probabilities, np.float64), _LEAST, 1.0)
    logs = slope * np.log(p) + offsets
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)
