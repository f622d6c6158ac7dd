"""Estimators of ours: LightGBM models, held as text.

They hold texts and numbers only, so that skops stores them and the loader needs to trust these
classes alone.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from tidemill.contracts import FloatMatrix
from tidemill.errors import ModelUntrusted
from tidemill.learning.boostertext import checked_booster, count_features
from tidemill.learning.threads import wait_passively

__all__ = ["BoosterClassifier", "BoosterRegressor", "ForestClassifier", "ForestRegressor"]


class _Booster(BaseEstimator):  # type: ignore[misc]
    """A LightGBM model as text; checked and parsed at the first prediction of each process."""

    averaged: ClassVar[bool] = False

    def __init__(self, model: str, n_jobs: int = 1) -> None:
        self.model = model
        self.n_jobs = n_jobs

    def fit(self, X: Any = None, y: Any = None) -> Self:  # noqa: ARG002
        """Return self: the model is fitted when it is made."""
        return self

    @property
    def booster(self) -> Any:
        """The ``lightgbm.Booster``."""
        wait_passively()
        import lightgbm

        booster = self.__dict__.get("_booster")
        if booster is None:
            try:
                labels = len(getattr(self, "labels", ()))
                text = checked_booster(self.model, labels, averaged=self.averaged)
                booster = self._booster = lightgbm.Booster(model_str=text)
            except (ValueError, lightgbm.basic.LightGBMError) as exc:
                raise ModelUntrusted(
                    f"the model text is not LightGBM's: {str(exc)[:200]}",
                    remedy="train and register the model again: tidemill run",
                ) from exc
        return booster

    @property
    def n_features_in_(self) -> int:
        """Columns of the matrix that the model was trained on."""
        return count_features(self.model)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state.pop("_booster", None)
        return state

    def _scores(self, X: FloatMatrix) -> npt.NDArray[np.float64]:
        return np.asarray(self.booster.predict(np.asarray(X), num_threads=self.n_jobs), np.float64)


class BoosterClassifier(ClassifierMixin, _Booster):  # type: ignore[misc]
    """A LightGBM classifier.

    Parameters
    ----------
    model : str
        LightGBM's text, trimmed to the best iteration.
    labels : list of str
        In the order of the class codes that it was trained on.
    n_jobs : int
        Threads of a prediction; results do not depend on it.
    """

    def __init__(self, model: str, labels: list[str], n_jobs: int = 1) -> None:
        super().__init__(model, n_jobs)
        self.labels = labels

    @property
    def classes_(self) -> npt.NDArray[np.str_]:
        """The labels, in the order of the probabilities."""
        return np.array(self.labels)

    def predict_proba(self, X: FloatMatrix) -> npt.NDArray[np.float64]:
        """Class probabilities; (rows, n_classes) float64."""
        scores = self._scores(X)
        return scores if scores.ndim == 2 else np.column_stack([1.0 - scores, scores])

    def predict(self, X: FloatMatrix) -> npt.NDArray[np.str_]:
        """The most probable label; (rows,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class BoosterRegressor(RegressorMixin, _Booster):  # type: ignore[misc]
    """A LightGBM regressor.

    Parameters
    ----------
    model : str
        LightGBM's text, trimmed to the best iteration.
    n_jobs : int
        Threads of a prediction; results do not depend on it.
    """

    def predict(self, X: FloatMatrix) -> npt.NDArray[np.float64]:
        """Predicted target; (rows,) float64."""
        return self._scores(X)


class ForestClassifier(BoosterClassifier):
    """A LightGBM classifier whose trees are averaged; parameters as for the other."""

    averaged: ClassVar[bool] = True


class ForestRegressor(BoosterRegressor):
    """A LightGBM regressor whose trees are averaged; parameters as for the other."""

    averaged: ClassVar[bool] = True
