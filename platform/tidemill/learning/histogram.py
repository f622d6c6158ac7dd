"""scikit-learn's histogram gradient boosting: in memory, guarded by the budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from tidemill.contracts import Blocks, Fit, FitJob, Parameter, TargetSummary
from tidemill.errors import ConfigError, TargetUnusable
from tidemill.learning.stored import is_finite
from tidemill.learning.targets import checked, counted
from tidemill.learning.threads import usable_threads
from tidemill.schema import Task

__all__ = ["HistGradientBoostingLearner"]

_PLACE = "sklearn.ensemble._hist_gradient_boosting"


class HistGradientBoostingLearner:
    """``HistGradientBoostingClassifier`` or ``-Regressor`` on all rows at once.

    Notes
    -----
    Memory: 9 bytes a value (float64 and its bin) and some 60 bytes a row and output, plus the
    float32 block that is being copied; see :meth:`needed_bytes`.
    """

    strategies: ClassVar[tuple[str, ...]] = ("in_memory",)
    spread: ClassVar[tuple[str, ...]] = ()
    rounds: ClassVar[str] = "max_iter"
    continues: ClassVar[bool] = False
    takes_missing: ClassVar[bool] = True
    wants_scaled: ClassVar[bool] = False
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "learning_rate": Parameter(0.1, low=0, search={"low": 0.02, "high": 0.3, "log": True}),
        "max_iter": Parameter(300, low=1, whole=True, aliases=("max_epochs",)),
        "max_leaf_nodes": Parameter(
            31, low=2, whole=True, null=True, search={"low": 7, "high": 127, "log": True}
        ),
        "max_depth": Parameter(None, low=1, whole=True),
        "min_samples_leaf": Parameter(
            20, low=1, whole=True, search={"low": 5, "high": 200, "log": True}
        ),
        "l2_regularization": Parameter(0.0, low=0, search={"low": 1e-6, "high": 10.0, "log": True}),
        "max_features": Parameter(1.0, low=0, high=1, search={"low": 0.3, "high": 1.0}),
        "max_bins": Parameter(255, low=2, high=255, whole=True),
        "n_iter_no_change": Parameter(20, low=1, whole=True, aliases=("patience",)),
        "tol": Parameter(1e-7, low=0, aliases=("tolerance",)),
    }
    metrics: ClassVar[Mapping[Task, tuple[str, ...]]] = {
        Task.BINARY: ("log_loss",),
        Task.MULTICLASS: ("log_loss",),
        Task.REGRESSION: ("r2",),
    }

    estimators: ClassVar[tuple[str, ...]] = (
        f"{_PLACE}.gradient_boosting.HistGradientBoostingClassifier",
        f"{_PLACE}.gradient_boosting.HistGradientBoostingRegressor",
    )
    holds: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "LossNode": (
            "sklearn._loss._loss.CyAbsoluteError",
            "sklearn._loss._loss.CyHalfBinomialLoss",
            "sklearn._loss._loss.CyHalfGammaLoss",
            "sklearn._loss._loss.CyHalfMultinomialLoss",
            "sklearn._loss._loss.CyHalfPoissonLoss",
            "sklearn._loss._loss.CyHalfSquaredError",
            "sklearn._loss._loss.CyPinballLoss",
        ),
        "ObjectNode": (
            "sklearn._loss.link.HalfLogitLink",
            "sklearn._loss.link.IdentityLink",
            "sklearn._loss.link.Interval",
            "sklearn._loss.link.LogLink",
            "sklearn._loss.link.LogitLink",
            "sklearn._loss.link.MultinomialLogit",
            "sklearn._loss.loss.AbsoluteError",
            "sklearn._loss.loss.HalfBinomialLoss",
            "sklearn._loss.loss.HalfGammaLoss",
            "sklearn._loss.loss.HalfMultinomialLoss",
            "sklearn._loss.loss.HalfPoissonLoss",
            "sklearn._loss.loss.HalfSquaredError",
            "sklearn._loss.loss.PinballLoss",
            "sklearn.preprocessing._label.LabelEncoder",
            f"{_PLACE}.binning._BinMapper",
            f"{_PLACE}.predictor.TreePredictor",
        ),
    }
    # A tree's node indices are used without a bounds check: `check` looks at them.
    trusted: ClassVar[tuple[str, ...]] = (f"{_PLACE}.predictor.TreePredictor",)
    requires: ClassVar[tuple[str, ...]] = ()

    def needed_bytes(self, strategy: str, rows: int, n_features: int, n_outputs: int) -> int:  # noqa: ARG002
        """4 bytes a value for the blocks, 9 for float64 and bins; gradients, scores, indices."""
        return rows * (n_features * (4 + 9) + 24 + 40 * n_outputs)

    def fit(self, job: FitJob) -> Fit:
        """Read all blocks, then learn."""
        X, y = _matrix(job.train, job.task)
        if job.task is not Task.REGRESSION:
            _check_classes(counted(y, job.classes), job.classes)
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
        return Fit(estimator, job.strategy, job.metric, curve, int(estimator.n_iter_))

    def check(self, estimator: Any, n_outputs: int) -> None:
        """Trees whose nodes lie within bounds, one for each output; no categories."""
        from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE as NODE

        baseline, mapper = estimator._baseline_prediction, estimator._bin_mapper
        if estimator._preprocessor is not None or estimator.n_trees_per_iteration_ != n_outputs:
            raise ValueError("its trees are not one for each class")
        if not is_finite(baseline, (1, n_outputs)):
            raise ValueError("its baseline is not one number for each class")
        categorical = mapper.is_categorical_
        if categorical.shape != (estimator.n_features_in_,) or np.any(categorical):
            raise ValueError("its features are not all numbers")
        for group in estimator._predictors:
            if not isinstance(group, list) or len(group) != n_outputs:
                raise ValueError("its trees are not one for each class")
            for predictor in group:
                nodes = predictor.nodes
                if not isinstance(nodes, np.ndarray) or nodes.dtype != NODE or nodes.ndim != 1:
                    raise ValueError("a tree is no list of nodes")
                _check_tree(nodes, int(estimator.n_features_in_))

    def weights(self, estimator: Any) -> npt.NDArray[np.float64]:
        """Gain of the splits by each column."""
        gain = np.zeros(estimator.n_features_in_)
        for trees in estimator._predictors:
            for tree in trees:
                splits = tree.nodes[tree.nodes["is_leaf"] == 0]
                np.add.at(gain, splits["feature_idx"], splits["gain"])
        return gain


def _check_classes(target: TargetSummary, classes: tuple[str, ...]) -> None:
    """scikit-learn makes trees for the classes that it sees, and for no others."""
    counts = checked(target, classes).counts
    missing = [label for label, count in zip(classes, counts, strict=True) if not count]
    if missing:
        raise TargetUnusable(
            "hist_gradient_boosting needs rows of every class, and of "
            f"{missing[0]!r} there are none",
            remedy="set training.learner to lightgbm, or look at sharding.holdout",
            classes=classes,
            counts=target.counts,
        )


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


def _estimator(job: FitJob) -> Any:
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


def _curve(
    estimator: Any, y: npt.NDArray[Any] | None, job: FitJob
) -> tuple[tuple[int, float], ...]:
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


def _check_tree(nodes: Any, n_features: int) -> None:
    """Refuse indices that would be read out of bounds, a walk that would not end, no number."""
    here = np.flatnonzero(nodes["is_leaf"] == 0)
    inner = nodes[here]
    feature = inner["feature_idx"]
    children = np.concatenate([inner["left"], inner["right"]]).astype(np.int64)
    sound = (
        len(nodes) > 0
        and bool(np.all((feature >= 0) & (feature < n_features)))
        and bool(np.all(children > np.tile(here, 2)))
        # Each node but the first is the child of one.
        and np.array_equal(np.sort(children), np.arange(1, len(nodes)))
    )
    # Reduced features are numbers: no tree of ours looks into the tables of category sets.
    if not sound or np.any(nodes["is_categorical"]):
        raise ValueError("a tree has node indices out of bounds")
    if not np.all(np.isfinite(nodes["value"])):
        raise ValueError("a tree has values that are not finite")
