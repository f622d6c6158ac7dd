"""Which rows figures can be taken of: one that nothing can be said of must not cost the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.schema import Task

__all__ = ["LARGEST", "ROUNDING", "measurable", "probable"]

ROUNDING = 1e-6
"""A softmax in float32 may end this little beyond 1."""

LARGEST = 1e60
"""Beyond it the fourth powers of errors, summed over rows, are no numbers any more."""

Mask = npt.NDArray[np.bool_]


def probable(scores: npt.NDArray[Any]) -> Mask:
    """Which scores are probabilities, up to rounding; NaN is none.

    >>> probable(np.array([0.0, 1.0, 1.5, -0.2, np.nan])).tolist()
    [True, True, False, False, False]
    """
    found: Mask = (scores >= -ROUNDING) & (scores <= 1.0 + ROUNDING)
    return found


def measurable(task: Task, scores: npt.NDArray[Any], y: npt.NDArray[Any]) -> Mask:
    """Which rows :func:`tidemill.metrics.figures_of` can measure, (n,).

    Parameters
    ----------
    task : Task
    scores : (n,) or (n, n_classes)
        As ``figures_of`` takes them.
    y : (n,)
        Class codes, negative where there is none; or targets, NaN where there is none.

    >>> measurable(Task.BINARY, np.array([0.3, 85.0, 0.7]), np.array([0, 1, -1])).tolist()
    [True, False, False]
    >>> measurable(Task.REGRESSION, np.array([2.0, np.inf]), np.array([1.0, 1.0])).tolist()
    [True, False]
    """
    if task is Task.REGRESSION:
        found: Mask = (np.abs(scores) <= LARGEST) & (np.abs(y) <= LARGEST)
        return found
    sound = probable(scores)
    return (sound.all(axis=1) if sound.ndim == 2 else sound) & (y >= 0)
