"""Linear models by stochastic gradient descent over a seeded plan of blocks."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tidemill.config import Scalar
from tidemill.contracts import Blocks, FloatMatrix
from tidemill.errors import ConfigError
from tidemill.learning.learner import Fit, Job
from tidemill.learning.parameters import number
from tidemill.learning.scoring import improved, score_blocks
from tidemill.learning.targets import TargetSummary, checked
from tidemill.schema import Task

__all__ = ["SgdLearner", "mini_batches"]

_ENOUGH_VISITS = 1_000_000  # scikit-learn's rule of thumb for convergence: a million rows seen
_PATIENT_EPOCHS = 10
_OWN = ("max_epochs", "batch_rows", "patience", "tolerance")


class SgdLearner:
    """``SGDClassifier(log_loss)`` or ``SGDRegressor``, with averaged weights.

    Blocks come in an order shuffled for each epoch, their rows shuffled, in mini-batches; the
    epoch with the best figure on the validation blocks is kept. The fit ends when ``patience``
    epochs in a row have not improved by ``tolerance``, but not before a million rows (or ten
    epochs) were seen; ``max_epochs: 0`` means twice that, at least 5. Regression learns on the
    standardised target; the weights are put back into the target's unit afterwards. Going on
    from a model begins with its weights, and with steps as after ten epochs of the new rows.

    Notes
    -----
    Memory: one block, whatever the rows.
    """

    strategy: ClassVar[str] = "incremental"
    rounds: ClassVar[str] = "max_epochs"
    continues: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, Scalar]] = {
        "loss": None,
        "penalty": "l2",
        "alpha": 1e-4,
        "l1_ratio": 0.15,
        "learning_rate": None,
        "eta0": 0.01,
        "power_t": 0.25,
        "average": True,
        "max_epochs": 0,
        "batch_rows": 16_384,
        "patience": 1,
        "tolerance": 1e-3,
    }
    aliases: ClassVar[Mapping[str, str]] = {"n_iter_no_change": "patience", "tol": "tolerance"}
    metrics: ClassVar[Mapping[Task, tuple[str, ...]]] = {
        Task.BINARY: ("roc_auc", "average_precision", "log_loss", "accuracy", "f1", "brier"),
        Task.MULTICLASS: ("log_loss", "roc_auc", "accuracy", "f1", "brier"),
        Task.REGRESSION: ("r2", "rmse", "mae"),
    }

    def needed_bytes(self, rows: int, n_features: int, n_outputs: int) -> int:
        """Nothing that grows with rows."""
        return 16 * n_features * n_outputs * min(rows, 1)

    def space(self, task: Task) -> dict[str, dict[str, Any]]:
        """Regularisation; for regression the step as well."""
        space: dict[str, dict[str, Any]] = {
            "alpha": {"low": 1e-7, "high": 1e-2, "log": True},
            "penalty": {"choices": ["l2", "l1", "elasticnet"]},
        }
        if task is Task.REGRESSION:
            space["eta0"] = {"low": 1e-3, "high": 1e-1, "log": True}
        return space

    def fit(self, job: Job) -> Fit:
        """Learn epoch by epoch; see :class:`SgdLearner`."""
        params = job.params
        wanted = min(math.ceil(_ENOUGH_VISITS / sum(job.train.rows)), _PATIENT_EPOCHS)
        max_epochs = int(number(params, "max_epochs", low=0)) or max(2 * wanted, 5)
        patience = int(number(params, "patience", low=1))
        tolerance = number(params, "tolerance", low=0)
        estimator = _estimator(job) if job.start is None else _resumed(job)
        curve: list[tuple[int, float]] = []
        best, best_epoch, best_value, waited = None, 0, None, 0
        for epoch in range(1, max_epochs + 1):
            _one_epoch(estimator, job, epoch)
            if not job.has_validation:
                continue
            candidate = _finished(copy.deepcopy(estimator), job)
            value = score_blocks(
                candidate, job.validation, job.task, job.metric, n_classes=len(job.classes)
            )
            curve.append((epoch, value))
            if job.report is not None:
                job.report(epoch, value)
            waited = 0 if improved(job.metric, value, best_value, margin=tolerance) else waited + 1
            if improved(job.metric, value, best_value):
                best, best_epoch, best_value = candidate, epoch, value
            if waited >= patience and epoch >= wanted:
                break
        if best is None:
            best, best_epoch = _finished(estimator, job), epoch
        return Fit(best, self.strategy, job.metric, tuple(curve), best_epoch)


def mini_batches(
    blocks: Blocks, *, seed: int, epoch: int, batch_rows: int
) -> Iterator[tuple[FloatMatrix, npt.NDArray[Any]]]:
    """The rows of one epoch: blocks shuffled, rows shuffled within, in mini-batches.

    The plan depends on the blocks, ``seed``, ``epoch`` and ``batch_rows`` alone.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(blocks.rows))
    for block in order.tolist():
        X, y = blocks.read(block)
        rows = np.random.default_rng([seed, epoch, block]).permutation(len(y))
        for start in range(0, len(y), batch_rows):
            taken = rows[start : start + batch_rows]
            yield X[taken], y[taken]


def _estimator(job: Job) -> Any:
    from sklearn.linear_model import SGDClassifier, SGDRegressor

    settings: dict[str, Any] = {k: v for k, v in job.params.items() if k not in _OWN}
    regression = job.task is Task.REGRESSION
    settings["loss"] = settings["loss"] or ("squared_error" if regression else "log_loss")
    settings["learning_rate"] = settings["learning_rate"] or (
        "invscaling" if regression else "optimal"
    )
    if not regression and settings["loss"] not in ("log_loss", "modified_huber"):
        raise ConfigError(
            f"training.params.loss: {settings['loss']!r} gives no probabilities",
            remedy="set training.params.loss to log_loss or modified_huber",
            value=settings["loss"],
        )
    # The plan has shuffled the rows; a second shuffle would only cost time.
    kind = SGDRegressor if regression else SGDClassifier
    return kind(**settings, shuffle=False, random_state=job.seed)


def _resumed(job: Job) -> Any:
    """The estimator of ``job.start``, ready to learn on.

    The steps of a model that has seen millions of rows are too small to learn from thousands,
    and the first steps of a fresh one would wipe out what it knows: the count of steps becomes
    that of ten epochs of the new rows. The average of the weights goes by the same count.
    """
    estimator = _estimator(job)
    X, y = job.train.read(0)
    if job.task is Task.REGRESSION:
        # In the unit of the standardised target, which the start has been taken out of.
        weights = np.asarray(job.start.coef_, np.float64) / job.target.std
        bias = (np.asarray(job.start.intercept_, np.float64) - job.target.mean) / job.target.std
        first = (y[:1] - job.target.mean) / job.target.std
        estimator.set_params(max_iter=1, tol=None).fit(
            X[:1], first, coef_init=weights, intercept_init=bias
        )
    else:
        estimator = copy.deepcopy(job.start)
        estimator.set_params(**_estimator(job).get_params())
        estimator.classes_ = np.arange(len(job.classes))
    estimator.t_ = float(min(estimator.t_, 10 * sum(job.train.rows)))
    return estimator


def _one_epoch(estimator: Any, job: Job, epoch: int) -> None:
    batch_rows = int(number(job.params, "batch_rows", low=1))
    weights = job.target.class_weights() if job.balanced else None
    batches = mini_batches(job.train, seed=job.seed, epoch=epoch, batch_rows=batch_rows)
    codes = np.arange(len(job.classes))
    counts = np.zeros(len(codes), np.int64)
    for X, y in batches:
        try:
            if job.task is Task.REGRESSION:
                estimator.partial_fit(X, (y - job.target.mean) / job.target.std)
            else:
                weight = None if weights is None else weights[y]
                estimator.partial_fit(X, y, classes=codes, sample_weight=weight)
                counts += np.bincount(y, minlength=len(codes))
        except ValueError as exc:
            raise _explained(exc, X) from exc
    if job.task is not Task.REGRESSION:
        checked(TargetSummary(tuple(counts.tolist())), job.classes)


def _explained(exc: ValueError, X: FloatMatrix) -> ConfigError:
    if np.isnan(X).any():
        return ConfigError(
            "sgd cannot learn from missing values",
            remedy="set reduction.impute to mean, median or zero, or training.learner to lightgbm",
        )
    return ConfigError(
        f"training.params: sgd refuses: {str(exc).splitlines()[0][:300]}",
        remedy="correct training.params; where numbers overflow, set reduction.scale to standard",
    )


def _finished(estimator: Any, job: Job) -> Any:
    if job.task is not Task.REGRESSION:
        estimator.classes_ = np.array(job.classes)
        return estimator
    # (X w + b) std + mean is linear too: no wrapper is needed to undo the standardisation.
    estimator.coef_ = estimator.coef_.astype(np.float64) * job.target.std
    intercept = estimator.intercept_.astype(np.float64) * job.target.std + job.target.mean
    estimator.intercept_ = intercept
    return estimator
