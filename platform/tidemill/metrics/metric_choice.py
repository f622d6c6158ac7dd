"""Which figures a task has, which of them decides, and what counts as better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.errors import ConfigError, SchemaMismatch, nearest
from tidemill.metrics.binary import OPERATING_THRESHOLD, BinaryFigures
from tidemill.metrics.multiclass import MulticlassFigures
from tidemill.metrics.regression import RegressionFigures
from tidemill.schema import Task

__all__ = [
    "HIGHER_IS_BETTER",
    "IN_WORDS",
    "RARE_SHARE",
    "Figures",
    "baseline_figures",
    "class_shares",
    "default_metric",
    "figures_from_json",
    "figures_of",
    "improves",
    "in_words",
    "is_rare",
    "metric_names",
    "shortfall",
]

Figures = BinaryFigures | MulticlassFigures | RegressionFigures

HIGHER_IS_BETTER: dict[str, bool] = {
    "roc_auc": True,
    "average_precision": True,
    "log_loss": False,
    "accuracy": True,
    "f1": True,
    "brier": False,
    "mae": False,
    "rmse": False,
    "r2": True,
}
"""Figures that can decide which of two models is better. ``bias`` is none: it is best at 0."""

IN_WORDS: dict[str, str] = {
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "accuracy": "accuracy",
    "f1": "F1",
    "brier": "Brier score",
    "mae": "mean absolute error",
    "rmse": "RMSE",
    "r2": "R²",
    "bias": "mean signed error",
}
"""What people read, in sentences and on pages; the dashboard has the same (a test compares)."""

_NAMES: dict[Task, tuple[str, ...]] = {
    Task.BINARY: ("roc_auc", "average_precision", "log_loss", "accuracy", "f1", "brier"),
    Task.MULTICLASS: ("roc_auc", "log_loss", "accuracy", "f1", "brier"),
    Task.REGRESSION: ("mae", "rmse", "r2", "bias"),
}

_DEFAULTS: dict[Task, str] = {
    Task.BINARY: "roc_auc",
    Task.MULTICLASS: "log_loss",
    Task.REGRESSION: "r2",
}

RARE_SHARE = 0.05
"""A positive class with a smaller share is rare: where one in twenty of the other rows is taken
for it by mistake, ROC AUC has lost .05 at most, and more alarms are false than could be right."""

_KINDS: dict[str, type[Figures]] = {
    "binary": BinaryFigures,
    "multiclass": MulticlassFigures,
    "regression": RegressionFigures,
}


def metric_names(task: Task) -> tuple[str, ...]:
    """Names of the figures of a task, in the order of ``values()``, with those that only tell."""
    return _NAMES[task]


def in_words(metric: str) -> str:
    """What people call a figure, without an article; the name itself where it is none of ours.

    >>> in_words("log_loss"), in_words("gini")
    ('log loss', 'gini')
    """
    return IN_WORDS.get(metric, metric.replace("_", " "))


def is_rare(task: Task, shares: Sequence[float]) -> bool:
    """Whether the positive class of a binary target is rare: below :data:`RARE_SHARE`.

    Parameters
    ----------
    task : Task
    shares : (n_classes,)
        Of the classes in the training rows; empty where they are not known: then nothing is rare.

    >>> is_rare(Task.BINARY, (0.99, 0.01)), is_rare(Task.BINARY, (0.01, 0.99))
    (True, False)
    """
    return task is Task.BINARY and len(shares) > 1 and shares[1] < RARE_SHARE


def default_metric(task: Task, shares: Sequence[float] = ()) -> str:
    """The figure that decides when params.yaml says ``auto``; for ``shares`` see :func:`is_rare`.

    >>> default_metric(Task.BINARY), default_metric(Task.BINARY, (0.99, 0.01))
    ('roc_auc', 'average_precision')
    """
    return "average_precision" if is_rare(task, shares) else _DEFAULTS[task]


def improves(metric: str, new: float, old: float, margin: float = 0.0) -> bool:
    """Whether ``new`` beats ``old`` by more than ``margin`` (in the figure's own unit).

    An undefined (NaN) new value never improves; any defined one improves on an undefined old.

    Raises
    ------
    ConfigError
        If there is no such figure.

    >>> improves("roc_auc", 0.81, 0.80), improves("log_loss", 0.40, 0.45, margin=0.1)
    (True, False)
    """
    if metric not in HIGHER_IS_BETTER:
        close = nearest(metric, HIGHER_IS_BETTER)
        raise ConfigError(
            f"there is no figure called {metric!r}",
            remedy=(f"did you mean {close!r}? " if close else "")
            + f"choose one of: {', '.join(HIGHER_IS_BETTER)}",
            metric=metric,
            nearest=close,
        )
    if math.isnan(new) or math.isnan(old):
        return math.isnan(old) and not math.isnan(new)
    return new > old + margin if HIGHER_IS_BETTER[metric] else new < old - margin


def shortfall(metric: str, held: float, value: float) -> float:
    """By how much ``value`` is worse than ``held``, in the figure's own unit; below 0 if better.

    Bias is best at 0: of it the growth of the absolute value.

    >>> shortfall("log_loss", 0.4, 0.5) > 0, shortfall("bias", -2.0, 1.0)
    (True, -1.0)
    """
    if metric == "bias":
        return abs(value) - abs(held)
    return held - value if HIGHER_IS_BETTER[metric] else value - held


def figures_of(
    task: Task,
    scores: npt.NDArray[Any],
    y: npt.NDArray[Any],
    *,
    classes: Sequence[str],
    edges: Sequence[float] | npt.NDArray[np.float64] = (),
    threshold: float = OPERATING_THRESHOLD,
) -> Figures:
    """The figures of one block's predictions.

    Parameters
    ----------
    task : Task
    scores : array
        (n,) probabilities of class 1 (binary), (n, n_classes) probabilities (multiclass) or
        (n,) predictions (regression).
    y : (n,) array
        Class codes, or targets.
    classes : sequence of str
        The schema's; empty for regression.
    edges : sequence of float
        The target's histogram edges; regression only.
    threshold : float
        Above which a row is decided positive; binary only.

    Raises
    ------
    SchemaMismatch
        If scores and labels do not fit each other or the task.
    """
    if task is Task.REGRESSION:
        return RegressionFigures.of(scores, y, edges=edges)
    if task is Task.BINARY:
        return BinaryFigures.of(scores, y, threshold)
    if np.ndim(scores) == 2 and np.shape(scores)[1] != len(classes):
        raise SchemaMismatch(
            f"{np.shape(scores)[1]} scores a row do not fit {len(classes)} classes",
            remedy="score with a model that was trained on the same classes",
            scores=np.shape(scores)[1],
            classes=tuple(classes),
        )
    return MulticlassFigures.of(scores, y)


def class_shares(counts: Mapping[str, int], classes: Sequence[str]) -> npt.NDArray[np.float64]:
    """Shares (n_classes,) of the classes in a target's category counts, summing to 1.

    >>> class_shares({"no": 3, "yes": 1}, ("no", "yes"))
    array([0.75, 0.25])
    """
    rows = np.array([counts.get(label, 0) for label in classes], dtype=np.float64)
    return rows / rows.sum() if rows.sum() else np.full(len(rows), 1 / max(len(rows), 1))


def baseline_figures(
    task: Task,
    prior: Sequence[float] | npt.NDArray[np.float64] | float,
    y: npt.NDArray[Any],
    *,
    classes: Sequence[str],
    edges: Sequence[float] | npt.NDArray[np.float64] = (),
) -> Figures:
    """Figures of the dummy that answers every row with what training alone suggests.

    Parameters
    ----------
    task : Task
    prior : (n_classes,) or float
        Class shares of the *training* target (:func:`class_shares`), or its mean.
    y : (n,) array
        Class codes, or targets, of the rows to judge.
    classes, edges
        As in :func:`figures_of`.

    >>> y = np.array([0, 1, 1, 1])
    >>> baseline_figures(Task.BINARY, [0.5, 0.5], y, classes=("no", "yes")).values()["roc_auc"]
    0.5
    """
    answer = np.asarray(prior, dtype=np.float64)
    if task is Task.BINARY:
        answer = answer[1]
    scores = np.broadcast_to(answer, (len(y), *answer.shape))
    return figures_of(task, scores, y, classes=classes, edges=edges)


def figures_from_json(document: dict[str, Any]) -> Figures:
    """Read what the ``to_json`` of any of the figures wrote."""
    return _KINDS[document["kind"]].from_json(document)
