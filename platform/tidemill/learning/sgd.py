"""Linear models by stochastic gradient descent over a seeded plan of blocks."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tidemill.contracts import Blocks, Fit, FitJob, FloatMatrix, Parameter, TargetSummary
from tidemill.errors import ConfigError
from tidemill.learning.averaging import Passed, averaged_round
from tidemill.learning.calibration import unweighted
from tidemill.learning.ensemble import skill
from tidemill.learning.gaps import missing_refused
from tidemill.learning.scoring import improved, score_blocks
from tidemill.learning.sharded import by_shard
from tidemill.learning.stored import check_linear
from tidemill.learning.targets import checked, known_target
from tidemill.schema import Task

__all__ = ["SgdLearner", "mini_batches"]

_ENOUGH_VISITS = 1_000_000  # scikit-learn's rule of thumb for convergence: a million rows seen
_PATIENT_EPOCHS = 10
_OWN = ("max_epochs", "batch_rows", "patience", "tolerance")
_LOSSES = (
    *("log_loss", "modified_huber"),
    *("squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive"),
)


class SgdLearner:
    """``SGDClassifier(log_loss)`` or ``SGDRegressor``, with averaged weights.

    Blocks come in an order shuffled for each epoch, their rows shuffled, in mini-batches; the
    epoch with the best figure on the validation blocks is kept. The fit ends when ``patience``
    epochs in a row have not improved by ``tolerance``, but not before a million rows (or ten
    epochs) were seen; ``max_epochs: 0`` means twice that, at least 5. Regression learns on the
    standardised target; the weights are put back into the target's unit afterwards. Going on
    from a model begins with its weights, and with steps as after ten epochs of the new rows.

    Strategy ``averaged``: each shard goes through its rows once an epoch, from the same weights,
    over the engine; the mean of what they come to, by rows, is the epoch's.

    Notes
    -----
    Memory: one block, whatever the rows.
    """

    strategies: ClassVar[tuple[str, ...]] = ("incremental",)
    spread: ClassVar[tuple[str, ...]] = ("averaged",)
    rounds: ClassVar[str] = "max_epochs"
    continues: ClassVar[bool] = True
    takes_missing: ClassVar[bool] = False
    wants_scaled: ClassVar[bool] = True
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "loss": Parameter(None, words=_LOSSES),
        "penalty": Parameter(
            "l2",
            words=("l2", "l1", "elasticnet"),
            null=True,
            search={"choices": ["l2", "l1", "elasticnet"]},
        ),
        "alpha": Parameter(1e-4, low=0, search={"low": 1e-7, "high": 1e-2, "log": True}),
        "l1_ratio": Parameter(0.15, low=0, high=1, null=True),
        "learning_rate": Parameter(
            None, words=("optimal", "constant", "invscaling", "adaptive", "pa1", "pa2")
        ),
        "eta0": Parameter(
            0.01,
            low=0,
            search={"low": 1e-3, "high": 1e-1, "log": True},
            searched=(Task.REGRESSION,),
        ),
        "power_t": Parameter(0.25, low=-math.inf),
        "average": Parameter(True, low=1, whole=True),
        "max_epochs": Parameter(0, low=0, whole=True),
        "batch_rows": Parameter(16_384, low=1, whole=True),
        "patience": Parameter(1, low=1, whole=True, aliases=("n_iter_no_change",)),
        "tolerance": Parameter(1e-3, low=0, aliases=("tol",)),
    }
    metrics: ClassVar[Mapping[Task, tuple[str, ...]]] = {
        Task.BINARY: ("roc_auc", "average_precision", "log_loss", "accuracy", "f1", "brier"),
        Task.MULTICLASS: ("log_loss", "roc_auc", "accuracy", "f1", "brier"),
        Task.REGRESSION: ("r2", "rmse", "mae"),
    }
    estimators: ClassVar[tuple[str, ...]] = (
        "sklearn.linear_model._stochastic_gradient.SGDClassifier",
        "sklearn.linear_model._stochastic_gradient.SGDRegressor",
    )
    holds: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "LossNode": (
            "sklearn._loss._loss.CyHalfBinomialLoss",
            "sklearn._loss._loss.CyHalfSquaredError",
            "sklearn._loss._loss.CyHuberLoss",
            "sklearn.linear_model._sgd_fast.EpsilonInsensitive",
            "sklearn.linear_model._sgd_fast.Hinge",
            "sklearn.linear_model._sgd_fast.ModifiedHuber",
            "sklearn.linear_model._sgd_fast.SquaredEpsilonInsensitive",
            "sklearn.linear_model._sgd_fast.SquaredHinge",
        ),
    }
    trusted: ClassVar[tuple[str, ...]] = ()
    requires: ClassVar[tuple[str, ...]] = ()

    def needed_bytes(self, strategy: str, rows: int, n_features: int, n_outputs: int) -> int:  # noqa: ARG002
        """Nothing that grows with rows."""
        return 16 * n_features * n_outputs * min(rows, 1)

    def fit(self, job: FitJob) -> Fit:
        """Learn epoch by epoch; see :class:`SgdLearner`."""
        wanted = min(math.ceil(_ENOUGH_VISITS / sum(job.train.rows)), _PATIENT_EPOCHS)
        max_epochs = int(job.number("max_epochs")) or max(2 * wanted, 5)
        patience = int(job.number("patience"))
        tolerance = job.number("tolerance")
        estimator = _estimator(job) if job.start is None else _resumed(job)
        go_through = _averaging(job) if job.strategy == "averaged" else partial(_one_epoch, job=job)
        curve: list[tuple[int, float]] = []
        best, best_epoch, best_value, waited = None, 0, None, 0
        for epoch in range(1, max_epochs + 1):
            estimator, counts = go_through(estimator, epoch)
            if job.task is not Task.REGRESSION:
                checked(TargetSummary(tuple(counts.tolist())), job.classes)
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
        said = _worse_than_a_dummy(best, job)
        return Fit(best, job.strategy, job.metric, tuple(curve), best_epoch, said)

    def check(self, estimator: Any, n_outputs: int) -> None:
        """One finite coefficient for each output and column."""
        check_linear(estimator, n_outputs, flat=not hasattr(type(estimator), "predict_proba"))

    def weights(self, estimator: Any) -> npt.NDArray[np.float64]:
        """Absolute coefficients, their mean over the classes."""
        return np.asarray(np.abs(np.atleast_2d(estimator.coef_)).mean(axis=0), np.float64)


def _worse_than_a_dummy(estimator: Any, job: FitJob) -> tuple[str, ...]:
    """Said of probabilities: a figure of the order of rows does not show it."""
    if job.task is Task.REGRESSION or not job.has_validation:
        return ()
    found = skill(unweighted(estimator, job), job.validation, job.task, len(job.classes))
    if found >= 0:
        return ()
    return (
        f"the probabilities of sgd have {1 - found:.3g} times the log loss of a dummy's on the "
        "validation rows, however well they order these: set training.learner to linear, or "
        "tuning.metric to log_loss",
    )


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


def _estimator(job: FitJob) -> Any:
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


def _resumed(job: FitJob) -> Any:
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


def _averaging(job: FitJob) -> Callable[[Any, int], Passed]:
    """An epoch as a round over the shards, on ``job.engine``."""
    shards, engine = by_shard(job.train), job.engine
    assert engine is not None  # noqa: S101 - who asks for such a strategy gives one
    wanted = job.balanced or job.task is Task.REGRESSION
    known = partial(known_target, job.target if wanted else TargetSummary())
    bare = replace(job, train=job.train.take(()), validation=job.validation.take(()))
    bare = replace(bare, summarised=known, report=None, start=None, engine=None)

    def go_through(estimator: Any, epoch: int) -> Passed:
        return averaged_round(partial(_of_shard, bare, epoch), estimator, shards, engine)

    return go_through


def _of_shard(job: FitJob, epoch: int, estimator: Any, shard: Blocks) -> Passed:
    return _one_epoch(estimator, epoch, job=replace(job, train=shard))


def _one_epoch(estimator: Any, epoch: int, *, job: FitJob) -> Passed:
    """The estimator, which has gone through the rows once, and the rows of each class."""
    batch_rows = int(job.number("batch_rows"))
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
    return estimator, counts


def _explained(exc: ValueError, X: FloatMatrix) -> ConfigError:
    if np.isnan(X).any():
        return missing_refused("sgd")
    return ConfigError(
        f"training.params: sgd refuses: {str(exc).splitlines()[0][:300]}",
        remedy="correct training.params; where numbers overflow, set reduction.scale to standard",
    )


def _finished(estimator: Any, job: FitJob) -> Any:
    if job.task is not Task.REGRESSION:
        estimator.classes_ = np.array(job.classes)
        return estimator
    # (X w + b) std + mean is linear too: no wrapper is needed to undo the standardisation.
    estimator.coef_ = estimator.coef_.astype(np.float64) * job.target.std
    intercept = estimator.intercept_.astype(np.float64) * job.target.std + job.target.mean
    estimator.intercept_ = intercept
    return estimator
