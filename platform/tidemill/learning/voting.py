"""Estimators of ours: models of shards, which vote.

They hold the members and numbers only, so that skops stores them and the loader needs to trust
these classes and the members' own.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from tidemill.contracts import FloatMatrix

__all__ = ["EnsembleClassifier", "EnsembleRegressor"]


class _Ensemble(BaseEstimator):  # type: ignore[misc]
    """Members, all of one learner, one matrix and the same classes; and the weight of each."""

    def __init__(self, members: list[Any], weights: npt.NDArray[np.float64]) -> None:
        self.members = members
        self.weights = weights

    def fit(self, X: Any = None, y: Any = None) -> Self:  # noqa: ARG002
        """Return self: the members are fitted before."""
        return self

    @property
    def n_features_in_(self) -> int:
        """Columns of the matrix that the members were trained on."""
        return int(self.members[0].n_features_in_)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def _voted(self, answer: str, X: FloatMatrix) -> npt.NDArray[np.float64]:
        pairs = zip(self.members, self.weights.tolist(), strict=True)
        votes = (weight * np.asarray(getattr(one, answer)(X), np.float64) for one, weight in pairs)
        return np.asarray(reduce(np.add, votes), np.float64)


class EnsembleClassifier(ClassifierMixin, _Ensemble):  # type: ignore[misc]
    """The weighted mean of the probabilities that classifiers give.

    Parameters
    ----------
    members : list of classifiers
    weights : (n_members,) float64
        None below 0; their sum is 1.

    Notes
    -----
    Memory of a prediction: the answers of one member, and their sum.
    """

    @property
    def classes_(self) -> npt.NDArray[np.str_]:
        """The labels, in the order of the probabilities."""
        return np.asarray(self.members[0].classes_)

    def predict_proba(self, X: FloatMatrix) -> npt.NDArray[np.float64]:
        """Class probabilities; (rows, n_classes) float64."""
        return self._voted("predict_proba", X)

    def predict(self, X: FloatMatrix) -> npt.NDArray[np.str_]:
        """The most probable label; (rows,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class EnsembleRegressor(RegressorMixin, _Ensemble):  # type: ignore[misc]
    """The weighted mean of what regressors predict.

    Parameters
    ----------
    members : list of regressors
    weights : (n_members,) float64
        None below 0; their sum is 1.

    Notes
    -----
    Memory of a prediction: the answers of one member, and their sum.
    """

    def predict(self, X: FloatMatrix) -> npt.NDArray[np.float64]:
        """Predicted target; (rows,) float64."""
        return self._voted("predict", X)
