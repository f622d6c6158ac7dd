"""Stored estimators, checked before native code follows their numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tidemill.learners import has_threshold, is_ensemble, learner_of, uncalibrated

__all__ = ["check_estimator", "check_linear", "is_finite"]


def check_estimator(estimator: Any, n_features: int) -> None:
    """Refuse an estimator that would read out of bounds, not end, or make more than its size.

    Then one row of zeros is predicted: whatever else does not fit together shows there.

    Parameters
    ----------
    estimator
        As any of the learners leaves it, and checks it.
    n_features : int
        Columns of the matrix that it will be given.

    Raises
    ------
    ValueError
        If it is not what a learner makes; what the prediction itself raises comes as it is.
    """
    if (inner := uncalibrated(estimator)) is not estimator:
        _check_calibrated(estimator, inner, n_features)
        return
    if is_ensemble(estimator):
        _check_ensemble(estimator, n_features)
        return
    learner = learner_of(estimator)
    if learner is None:
        raise ValueError(f"no learner leaves a {type(estimator).__qualname__}")
    labels = _labels(estimator) if hasattr(type(estimator), "predict_proba") else 0
    learner().check(estimator, 1 if labels < 3 else labels)
    if estimator.n_features_in_ != n_features:
        raise ValueError(f"its learner expects other than the {n_features} reduced features")
    _try_out(estimator, labels, n_features)


def _check_calibrated(estimator: Any, inner: Any, n_features: int) -> None:
    """Refuse one that holds no classifier, or another such, or numbers that are none."""
    if not hasattr(type(inner), "predict_proba"):
        raise ValueError("what it sets right is no classifier")
    if has_threshold(estimator):
        _check_threshold(estimator, inner, n_features)
        return
    if hasattr(estimator, "shares"):
        _check_isotonic(estimator, len(inner.classes_))
        inner = estimator.estimator
        if hasattr(inner, "shares") or has_threshold(inner):
            raise ValueError("what it sets right is set right the same way")
    elif inner is not estimator.estimator:
        raise ValueError("what it sets right is set right already")
    elif not is_finite(estimator.offsets, (len(inner.classes_),)):
        raise ValueError("its offsets are not one finite number for each class")
    elif type(estimator.slope) is not float or not 0 < estimator.slope < math.inf:
        raise ValueError("its slope is no number above 0")
    check_estimator(inner, n_features)
    _try_out(estimator, len(inner.classes_), n_features)


def _check_threshold(estimator: Any, inner: Any, n_features: int) -> None:
    """Refuse a threshold that is none, of more than two classes, or over another one."""
    if type(estimator.threshold) is not float or not 0 < estimator.threshold < 1:
        raise ValueError("its threshold is no number inside 0 and 1")
    if len(inner.classes_) != 2 or has_threshold(estimator.estimator):
        raise ValueError("its threshold is of more than two classes, or over another one")
    check_estimator(estimator.estimator, n_features)


def _check_isotonic(estimator: Any, n_classes: int) -> None:
    """Refuse a curve that is none, falls, or leaves the probabilities."""
    scores, shares = estimator.scores, estimator.shares
    if not isinstance(scores, np.ndarray) or not len(scores) or n_classes != 2:
        raise ValueError("its curve has no points, or is of more than two classes")
    if not is_finite(scores, (len(scores),)) or not is_finite(shares, (len(scores),)):
        raise ValueError("its curve is not of finite numbers")
    if (np.diff(scores) <= 0).any() or (np.diff(shares) < 0).any():
        raise ValueError("its curve falls")
    if shares[0] < 0 or shares[-1] > 1:
        raise ValueError("its curve leaves the probabilities")


def _check_ensemble(estimator: Any, n_features: int) -> None:
    """Refuse members that are not models of one learner and the same classes, or are unweighed."""
    members, weights = estimator.members, estimator.weights
    if type(members) is not list or not members:
        raise ValueError("it has no members")
    inner = [uncalibrated(member) for member in members]
    if len({type(one) for one in inner}) > 1 or is_ensemble(inner[0]):
        raise ValueError("its members are not of one learner")
    votes, answers = (hasattr(type(one), "predict_proba") for one in (estimator, members[0]))
    if votes != answers:
        raise ValueError("its members answer another question")
    for member in members:
        check_estimator(member, n_features)
    if votes and len({tuple(map(str, member.classes_)) for member in members}) > 1:
        raise ValueError("its members know other classes")
    if (
        not is_finite(weights, (len(members),))
        or weights.min() < 0
        or abs(weights.sum() - 1) > 1e-9
    ):
        raise ValueError("its weights are not shares of 1, one for each member")


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


def check_linear(estimator: Any, outputs: int, *, flat: bool) -> None:
    """Refuse coefficients that are not one finite number for each output and column."""
    width = estimator.n_features_in_
    if type(width) is not int:
        raise ValueError("the number of its features is none")
    shape = (width,) if flat else (outputs, width)
    if not is_finite(estimator.coef_, shape) or not is_finite(estimator.intercept_, (outputs,)):
        raise ValueError("its coefficients are not one finite number for each class and feature")


def is_finite(values: Any, shape: tuple[int, ...]) -> bool:
    """Whether they are an array of that shape, of finite numbers."""
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
