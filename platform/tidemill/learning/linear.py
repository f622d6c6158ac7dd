"""Linear models to their optimum: sums over blocks, and steps that know the loss's curvature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tidemill.contracts import Blocks, Fit, FitJob, Parameter, TargetSummary
from tidemill.learning.curvature import (
    Curvature,
    Deviations,
    Floats,
    Standardised,
    curvature_of,
    deviations_of,
)
from tidemill.learning.descent import Descent, Penalty, lbfgs, newton
from tidemill.learning.scoring import score_blocks
from tidemill.learning.sharded import by_shard
from tidemill.learning.stored import check_linear
from tidemill.learning.targets import checked
from tidemill.profiling import fold, merge
from tidemill.schema import Task

__all__ = ["LinearLearner"]

_NEWTON_COST = 500_000
"""Multiplications a row beyond which a Hessian costs more than the passes that it saves."""
_SAMPLE_ROWS = 200_000
_SAMPLE_STEPS = 20


class LinearLearner:
    """Logistic regression (of several classes: multinomial), or linear least squares.

    The optimum of all rows, to ``tolerance`` of the loss: of ``mean loss + alpha * ((1 - l1_ratio)
    / 2 * |w|^2 + l1_ratio * |w|)``, intercepts free, the loss being the log loss or half the
    squared error. ``alpha: null`` is 1 / rows: what ``LogisticRegression()`` and ``Ridge()`` of
    scikit-learn have. Each step is one pass: Newton's, or L-BFGS where the Hessian would cost
    more; of two million rows two or three, since the first steps are taken on every so many-th
    block. Least squares take one. A pass before them finds where columns and target lie.

    Strategy ``merged``: the shards' sums are taken over the engine. They are merged in the order
    of the shards, here and there: ``incremental`` leaves the same bytes.

    Notes
    -----
    Memory: one block, and the Hessian (at most 8 MB) some times, whatever the rows.
    """

    strategies: ClassVar[tuple[str, ...]] = ("incremental",)
    spread: ClassVar[tuple[str, ...]] = ("merged",)
    rounds: ClassVar[str] = "max_iterations"
    continues: ClassVar[bool] = False
    takes_missing: ClassVar[bool] = False
    wants_scaled: ClassVar[bool] = True
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "alpha": Parameter(None, low=0, search={"low": 1e-8, "high": 1e-1, "log": True}),
        "l1_ratio": Parameter(0.0, low=0, high=1, search={"choices": [0.0, 0.5, 1.0]}),
        "max_iterations": Parameter(100, low=1, whole=True, aliases=("max_iter",)),
        "tolerance": Parameter(1e-6, low=0, high=1, aliases=("tol",)),
    }
    metrics: ClassVar[Mapping[Task, tuple[str, ...]]] = {
        Task.BINARY: ("log_loss", "roc_auc", "average_precision", "accuracy", "f1", "brier"),
        Task.MULTICLASS: ("log_loss", "roc_auc", "accuracy", "f1", "brier"),
        Task.REGRESSION: ("r2", "rmse", "mae"),
    }
    estimators: ClassVar[tuple[str, ...]] = (
        "tidemill.learning.optimum.LinearClassifier",
        "tidemill.learning.optimum.LinearRegressor",
    )
    holds: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    trusted: ClassVar[tuple[str, ...]] = estimators
    requires: ClassVar[tuple[str, ...]] = ()

    def needed_bytes(self, strategy: str, rows: int, n_features: int, n_outputs: int) -> int:  # noqa: ARG002
        """Nothing that grows with rows."""
        weights = (n_features + 1) * n_outputs
        square = weights**2 if _is_newtons(n_features, n_outputs) else 20 * weights
        return 8 * 4 * square * min(rows, 1)

    def fit(self, job: FitJob) -> Fit:
        """Descend to the optimum; see :class:`LinearLearner`."""
        passes = _Passes(job)
        at, shape = passes.at, passes.shape
        curve: list[tuple[int, float]] = []

        def judge(step: int, weights: Floats) -> None:
            if job.has_validation:
                estimator = _estimator(job, at, weights.reshape(shape), step)
                classes = len(job.classes)
                value = score_blocks(
                    estimator, job.validation, job.task, job.metric, n_classes=classes
                )
                curve.append((step, value))
                if job.report is not None:
                    job.report(step, value)

        descent = passes.descent(judge)
        return Fit(
            _estimator(job, at, descent.weights.reshape(shape), descent.steps),
            job.strategy,
            job.metric,
            tuple(curve),
            descent.steps,
            () if descent.converged else (_short(job),),
        )

    def check(self, estimator: Any, n_outputs: int) -> None:
        """One finite coefficient for each output and column."""
        check_linear(estimator, n_outputs, flat=not hasattr(type(estimator), "predict_proba"))

    def weights(self, estimator: Any) -> npt.NDArray[np.float64]:
        """Absolute coefficients, their mean over the classes."""
        return np.asarray(np.abs(np.atleast_2d(estimator.coef_)).mean(axis=0), np.float64)


class _Passes:
    """What one fit asks of the rows, pass by pass."""

    def __init__(self, job: FitJob) -> None:
        self._job, classes = job, len(job.classes)
        found: Deviations = self._summed(job.train, partial(deviations_of, n_classes=classes))
        if job.classes:
            checked(TargetSummary(tuple(found.counts.tolist())), job.classes)
        given, ratio = job.params["alpha"], job.number("l1_ratio")
        alpha = 1.0 / sum(job.train.rows) if given is None else float(given)
        self._l1, self._l2 = alpha * ratio, alpha * (1.0 - ratio)
        # A column of a tiny unit costs l2 / scale^2: beside 1e18 others would look like nothing.
        self._counts, self.at = found.counts, Standardised.by(found, least=self._l2**0.5)
        self.shape = (classes if classes > 2 else 1, len(job.train.names) + 1)
        self._weights = None
        if job.balanced:
            self._weights = TargetSummary(tuple(found.counts.tolist())).class_weights()
        self._second = _is_newtons(self.shape[1] - 1, self.shape[0])

    def descent(self, judge: Callable[[int, Floats], None]) -> Descent:
        """On a sample first, then on all rows."""
        job, penalty, start = self._job, self._penalty(), self._start()
        exact, tolerance = job.task is Task.REGRESSION, job.number("tolerance")
        go = partial(newton, exact=exact) if self._second else lbfgs
        sample = None if exact and self._second else _sampled(job.train)
        if sample is not None and self._shows_all(sample):
            some, nearly = partial(self._over, sample), max(tolerance, 1e-4)
            start = go(some, start, penalty, tolerance=nearly, most=_SAMPLE_STEPS).weights
        every = partial(self._over, job.train)
        most = int(job.number("max_iterations"))
        return go(every, start, penalty, tolerance=tolerance, most=most, stepped=judge)

    def _shows_all(self, sample: Blocks) -> bool:
        """Whether it has rows of each class: one that has not leads away."""
        of_shard = partial(deviations_of, n_classes=len(self._job.classes))
        return bool(self._summed(sample, of_shard).counts.all())

    def _start(self) -> Floats:
        """Nothing but intercepts: what the classes' shares say; (n_weights,)."""
        start = np.zeros(self.shape)
        if len(self._counts):
            weights = 1.0 if self._weights is None else self._weights
            shares = np.log(np.maximum(self._counts * weights, 0.5))
            start[:, -1] = shares[1] - shares[0] if len(shares) == 2 else shares - shares.mean()
        return start.ravel()

    def _over(self, blocks: Blocks, weights: Floats, *, second: bool) -> Curvature:
        """The loss and its derivatives over the blocks."""
        of_shard = partial(
            curvature_of,
            at=self.at,
            weights=weights.reshape(self.shape),
            n_classes=len(self._job.classes),
            class_weights=self._weights,
            second=second,
        )
        total: Curvature = self._summed(blocks, of_shard)
        return total

    def _summed(self, blocks: Blocks, of_shard: Callable[[Blocks], Any]) -> Any:
        """What a function finds of each shard, merged in their order."""
        job, shards = self._job, by_shard(blocks)
        if job.engine is not None and job.strategy == "merged":
            return job.engine.fold(of_shard, shards, merge, label="sums of a linear model")
        from tidemill.engines import one_thread

        with one_thread("blas"):  # as in an engine's workers: the same sums
            return fold(map(of_shard, shards))

    def _penalty(self) -> Penalty:
        """Of the weights as they are for columns where the arithmetic has them."""
        free = np.append(1.0 / self.at.scale, 0.0)  # the intercept is
        each = np.tile(free, self.shape[0])
        return Penalty(self._l1 / self.at.y_scale * each, self._l2 * each**2)


def _is_newtons(n_features: int, n_outputs: int) -> bool:
    """Whether the Hessian of a row costs less than it saves."""
    return n_outputs * (n_outputs + 1) // 2 * (n_features + 1) ** 2 <= _NEWTON_COST


def _sampled(blocks: Blocks) -> Blocks | None:
    """Every so many-th block with rows, of some 200,000 rows; None where that saves nothing."""
    full = [block for block, rows in enumerate(blocks.rows) if rows]
    each = min(sum(blocks.rows) // _SAMPLE_ROWS, len(full))
    return blocks.take(full[::each]) if each > 1 else None


def _estimator(job: FitJob, at: Standardised, weights: Floats, steps: int) -> Any:
    from tidemill.learning.optimum import LinearClassifier, LinearRegressor

    coefficients, intercepts = at.undone(weights)
    if job.task is Task.REGRESSION:
        estimator = LinearRegressor()
        estimator.coef_, estimator.intercept_ = coefficients[0], intercepts
    else:
        estimator = LinearClassifier()
        estimator.coef_, estimator.intercept_ = coefficients, intercepts
        estimator.classes_ = np.array(job.classes)
    estimator.n_features_in_ = len(job.train.names)
    estimator.n_iter_ = np.array([steps], np.int32)
    return estimator


def _short(job: FitJob) -> str:
    return (
        f"linear had not come to its optimum after {job.params['max_iterations']} iterations: "
        "raise training.params.max_iterations, or alpha"
    )
