"""Stored estimators, checked before native code follows their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["check_estimator"]

_MAX_THREADS = 256


def check_estimator(estimator: Any, n_features: int) -> None:
    """Refuse an estimator that would read out of bounds, not end, or make more than its size.

    Then one row of zeros is predicted: whatever else does not fit together shows there.

    Parameters
    ----------
    estimator
        Of a type on the loader's allow-list, as any of the learners leaves it.
    n_features : int
        Columns of the matrix that it will be given.

    Raises
    ------
    ValueError
        If it is not what a learner makes; what the prediction itself raises comes as it is.
    """
    kind = type(estimator).__name__
    labels = _labels(estimator) if kind.endswith("Classifier") else 0
    if kind.startswith("Booster"):
        _check_threads(estimator.n_jobs)  # its text is checked when it is parsed
    elif kind.startswith("HistGradientBoosting"):
        _check_histogram(estimator, 1 if labels < 3 else labels)
    else:
        _check_linear(estimator, 1 if labels < 3 else labels, flat=not labels)
    if estimator.n_features_in_ != n_features:
        raise ValueError(f"its learner expects other than the {n_features} reduced features")
    _try_out(estimator, labels, n_features)


def _labels(estimator: Any) -> int:
    classes = getattr(estimator, "labels", None)
    if classes is None:
        classes = estimator.classes_
        if not isinstance(classes, np.ndarray) or classes.ndim != 1:
            raise ValueError("its classes are no list")
    elif not isinstance(classes, list) or not all(type(label) is str for label in classes):
        raise ValueError("its labels are no list of texts")
    if len(classes) < 2 or len(set(map(str, classes))) != len(classes):
        raise ValueError("its classes are fewer than two, or not distinct")
    return len(classes)


def _check_threads(threads: Any) -> None:
    if type(threads) is not int or not 1 <= threads <= _MAX_THREADS:
        raise ValueError(f"it wants {threads!r} threads")


def _check_histogram(estimator: Any, outputs: int) -> None:
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE as NODE

    baseline, mapper = estimator._baseline_prediction, estimator._bin_mapper
    if estimator._preprocessor is not None or estimator.n_trees_per_iteration_ != outputs:
        raise ValueError("its trees are not one for each class")
    if not _is_finite(baseline, (1, outputs)):
        raise ValueError("its baseline is not one number for each class")
    categorical = mapper.is_categorical_
    if categorical.shape != (estimator.n_features_in_,) or np.any(categorical):
        raise ValueError("its features are not all numbers")
    for group in estimator._predictors:
        if not isinstance(group, list) or len(group) != outputs:
            raise ValueError("its trees are not one for each class")
        for predictor in group:
            nodes = predictor.nodes
            if not isinstance(nodes, np.ndarray) or nodes.dtype != NODE or nodes.ndim != 1:
                raise ValueError("a tree is no list of nodes")
            _check_tree(nodes, int(estimator.n_features_in_))


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


def _check_linear(estimator: Any, outputs: int, *, flat: bool) -> None:
    width = estimator.n_features_in_
    if type(width) is not int:
        raise ValueError("the number of its features is none")
    shape = (width,) if flat else (outputs, width)
    if not _is_finite(estimator.coef_, shape) or not _is_finite(estimator.intercept_, (outputs,)):
        raise ValueError("its coefficients are not one finite number for each class and feature")


def _is_finite(values: Any, shape: tuple[int, ...]) -> bool:
    return (
        isinstance(values, np.ndarray)
        and values.dtype.kind == "f"
        and values.shape == shape
        and bool(np.all(np.isfinite(values)))
    )


def _try_out(estimator: Any, labels: int, n_features: int) -> None:
    row = np.zeros((1, n_features), np.float32)
    answer = estimator.predict_proba(row) if labels else estimator.predict(row)
    if answer.shape != ((1, labels) if labels else (1,)) or not np.all(np.isfinite(answer)):
        raise ValueError("it does not answer with one finite number for each class")
