"""Scores of a fitted estimator, its figure on blocks, and what it looked at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.contracts import Blocks, FloatMatrix
from tidemill.learners import has_threshold, is_ensemble, learner_of, uncalibrated
from tidemill.metrics import OPERATING_THRESHOLD, figures_of, improves
from tidemill.profiling import fold
from tidemill.schema import Task

__all__ = ["importance", "improved", "predict_scores", "score_blocks", "threshold_of"]


def predict_scores(estimator: Any, X: FloatMatrix, task: Task) -> npt.NDArray[np.float64]:
    """Scores of the rows of a reduced matrix.

    Returns
    -------
    (rows,) probability of the second class (binary) or predicted target (regression);
    (rows, n_classes) probabilities (multiclass). float64.
    """
    if task is Task.REGRESSION:
        return np.asarray(estimator.predict(X), np.float64)
    probabilities = np.asarray(estimator.predict_proba(X), np.float64)
    return np.ascontiguousarray(probabilities[:, 1]) if task is Task.BINARY else probabilities


def threshold_of(estimator: Any) -> float:
    """The probability of the second of two classes above which the estimator decides for it."""
    return float(estimator.threshold) if has_threshold(estimator) else OPERATING_THRESHOLD


def score_blocks(
    estimator: Any, blocks: Blocks, task: Task, metric: str, *, n_classes: int
) -> float:
    """The figure ``metric`` over all blocks; memory of one block."""
    codes = tuple(str(code) for code in range(n_classes))
    figures = fold(
        figures_of(task, predict_scores(estimator, X, task), y, classes=codes) for X, y in blocks
    )
    return float(figures.values()[metric])


def improved(metric: str, new: float, old: float | None, margin: float = 0.0) -> bool:
    """Whether ``new`` is better than ``old`` by more than ``margin``; anything beats None."""
    return old is None or bool(improves(metric, new, old, margin))


def importance(estimator: Any, names: Sequence[str]) -> dict[str, float]:
    """Share of each reduced column in what the estimator looks at; sums to 1.

    By its learner's ``weights``; of an ensemble, its members' shares by their votes. Empty where
    the estimator uses nothing.
    """
    learner, inner = learner_of(estimator), uncalibrated(estimator)
    if learner is None:
        return {}
    votes = (
        zip(map(uncalibrated, inner.members), inner.weights.tolist(), strict=True)
        if is_ensemble(inner)
        else [(inner, 1.0)]
    )
    weighed = (weight * _shares(learner().weights(member)) for member, weight in votes)
    raw = np.asarray(reduce(np.add, weighed), np.float64)
    return dict(zip(names, _shares(raw).tolist(), strict=True)) if np.any(raw) else {}


def _shares(raw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    total = raw.sum()
    return raw / total if total > 0 else np.zeros_like(raw)
