"""scikit-learn's histogram gradient boosting: in memory, guarded by the budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from tidemill.config import Scalar
from tidemill.contracts import Blocks
from tidemill.errors import ConfigError
from tidemill.learning.learner import Fit, Job
from tidemill.learning.targets import TargetSummary, checked
from tidemill.learning.threads import usable_threads
from tidemill.schema import Task

__all__ = ["HistGradientBoostingLearner"]


class HistGradientBoostingLearner:
    """``HistGradientBoostingClassifier`` or ``-Regressor`` on all rows at once.

    Notes
    -----
    Memory: 9 bytes a value (float64 and its bin) and some 60 bytes a row and output, plus the
    float32 block that is being copied; see :meth:`needed_bytes`.
    """

    strategy: ClassVar[str] = "in_memory"
    rounds: ClassVar[str] = "max_iter"
    continues: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, Scalar]] = {
        "learning_rate": 0.1,
        "max_iter": 300,
        "max_leaf_nodes": 31,
        "max_depth": None,
        "min_samples_leaf": 20,
        "l2_regularization": 0.0,
        "max_features": 1.0,
        "max_bins": 255,
        "n_iter_no_change": 20,
        "tol": 1e-7,
    }
    aliases: ClassVar[Mapping[str, str]] = {
        "max_epochs": "max_iter",
        "patience": "n_iter_no_change",
        "tolerance": "tol",
    }
    metrics: ClassVar[Mapping[Task, tuple[str, ...]]] = {
        Task.BINARY: ("log_loss",),
        Task.MULTICLASS: ("log_loss",),
        Task.REGRESSION: ("r2",),
    }

    def needed_bytes(self, rows: int, n_features: int, n_outputs: int) -> int:
        """4 bytes a value for the blocks, 9 for float64 and bins; gradients, scores, indices."""
        return rows * (n_features * (4 + 9) + 24 + 40 * n_outputs)

    def space(self, task: Task) -> dict[str, dict[str, Any]]:  # noqa: ARG002
        """Step, size and shrinkage of the trees; the same for every task."""
        return {
            "learning_rate": {"low": 0.02, "high": 0.3, "log": True},
            "max_leaf_nodes": {"low": 7, "high": 127, "log": True},
            "min_samples_leaf": {"low": 5, "high": 200, "log": True},
            "l2_regularization": {"low": 1e-6, "high": 10.0, "log": True},
            "max_features": {"low": 0.3, "high": 1.0},
        }

    def fit(self, job: Job) -> Fit:
        """Read all blocks, then learn."""
        X, y = _matrix(job.train, job.task)
        if job.task is not Task.REGRESSION:
            checked(TargetSummary(tuple(np.bincount(y, minlength=len(job.classes)))), job.classes)
        estimator = _estimator(job)
        held_out: dict[str, Any] = {}
        if job.has_validation:
            held_out["X_val"], held_out["y_val"] = _matrix(job.validation, job.task)
        weights = job.target.class_weights() if job.balanced else None
        if weights is not None and held_out:
            held_out["sample_weight_val"] = weights[held_out["y_val"]]
        try:
            with threadpool_limits(usable_threads(), user_api="openmp"):
                estimator.fit(X, y, None if weights is None else weights[y], **held_out)
        except ValueError as exc:
            raise ConfigError(
                f"training.params: hist_gradient_boosting refuses: {str(exc)[:300]}",
                remedy="correct training.params",
            ) from exc
        # Of use in the fit only; left there, the stored bytes would tell the machine's cores.
        estimator._bin_mapper.n_threads = 1
        curve = _curve(estimator, held_out.get("y_val"), job)
        if job.task is not Task.REGRESSION:
            estimator.classes_ = np.array(job.classes)
        return Fit(estimator, self.strategy, job.metric, curve, int(estimator.n_iter_))


def _matrix(blocks: Blocks, task: Task) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    # scikit-learn works on float64: filled in directly, it makes no copy of its own.
    rows = sum(blocks.rows)
    X = np.empty((rows, len(blocks.names)), np.float64)
    y = np.empty(rows, np.float64 if task is Task.REGRESSION else np.int32)
    start = 0
    for matrix, target in blocks:
        X[start : start + len(target)] = matrix
        y[start : start + len(target)] = target
        start += len(target)
    return X, y


def _estimator(job: Job) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = (
        HistGradientBoostingRegressor
        if job.task is Task.REGRESSION
        else HistGradientBoostingClassifier
    )
    return kind(
        **job.params,
        early_stopping=job.has_validation,
        scoring="loss",
        random_state=job.seed,
    )


def _curve(estimator: Any, y: npt.NDArray[Any] | None, job: Job) -> tuple[tuple[int, float], ...]:
    if y is None:
        return ()
    losses = -np.asarray(estimator.validation_score_)[1:]
    if job.task is Task.REGRESSION:  # scikit-learn's squared loss is halved
        losses = 1.0 - 2.0 * losses / max(float(y.var()), 1e-300)
    curve = tuple(enumerate(losses.tolist(), start=1))
    if job.report is not None:
        for step, value in curve:
            job.report(step, value)
    return curve
