"""Parameter averaging: each shard takes the same weights through its rows; their mean goes on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.contracts import Blocks, Engine

__all__ = ["Passed", "averaged_round"]

_WEIGHTS = ("coef_", "intercept_", "_standard_coef", "_standard_intercept")
_MEANS = ("_average_coef", "_average_intercept")  # of the steps so far, where those are averaged

Passed = tuple[Any, npt.NDArray[np.int64]]
"""An estimator that has gone through rows, and how many of each class there were."""


@dataclass(frozen=True)
class _Sum:
    """Rows times weights, of the shards so far; the estimator is one of theirs."""

    estimator: Any
    rows: int
    weights: dict[str, npt.NDArray[np.float64]]
    counts: npt.NDArray[np.int64]


def averaged_round(
    learn: Callable[[Any, Blocks], Passed], estimator: Any, shards: Sequence[Blocks], engine: Engine
) -> Passed:
    """Take ``estimator`` through each shard, and return the mean by rows; it stays as it is.

    The sums are taken in the order of the shards: the result does not depend on the engine. The
    steps become as small as after all the rows, and of several shards a mean of steps is one of
    this round's alone: the long first steps are not carried along.

    Parameters
    ----------
    learn : callable
        Goes on with an estimator over blocks; returns it, and the rows of each class. Picklable.
    estimator : scikit-learn's linear model by stochastic gradient descent
    shards : sequence of Blocks
        Each with rows.
    engine : Engine

    Returns
    -------
    (estimator, (n_classes,) int64)

    Notes
    -----
    Memory of a worker: one block. Here: the weights of some shards. McDonald, Hall & Mann,
    "Distributed training strategies for the structured perceptron" (2010); Rakhlin, Shamir &
    Sridharan, "Making gradient descent optimal" (2012), for the mean of the last steps.
    """
    passed = partial(_through, learn=learn, estimator=estimator, several=len(shards) > 1)
    total = engine.fold(passed, shards, _added, label="average the weights of shards")
    mean = total.estimator
    for name, weights in total.weights.items():
        was = getattr(mean, name)
        now = weights / total.rows
        setattr(mean, name, now.astype(was.dtype))
    mean.t_, mean.average = _steps(estimator) + total.rows, estimator.average
    return mean, total.counts


def _steps(estimator: Any) -> float:
    """Where scikit-learn counts the steps of an estimator from."""
    return float(getattr(estimator, "t_", 1.0))


def _through(
    shard: Blocks, *, learn: Callable[[Any, Blocks], Passed], estimator: Any, several: bool
) -> _Sum:
    # A worker keeps what is bound to a function: the next shard begins with the same weights.
    begun = copy.deepcopy(estimator)
    if begun.average and several:
        begun.average = max(int(begun.average), int(_steps(begun)))
    learnt, counts = learn(begun, shard)
    rows = sum(shard.rows)
    names = [name for name in (*_WEIGHTS, *_MEANS) if hasattr(learnt, name)]
    weights = {name: np.asarray(getattr(learnt, name), np.float64) * rows for name in names}
    return _Sum(learnt, rows, weights, counts)


def _added(a: _Sum, b: _Sum) -> _Sum:
    weights = {name: value + b.weights[name] for name, value in a.weights.items()}
    return replace(a, rows=a.rows + b.rows, weights=weights, counts=a.counts + b.counts)
