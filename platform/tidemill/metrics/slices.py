"""How a model does on slices of rows, and on which it does worst: a mergeable partial."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.errors import SchemaMismatch
from tidemill.schema import Task

__all__ = ["SliceSums", "WeakSlice", "weakest_slices"]

LEAST_ROWS = 50
"""Rows of a slice of which something is said."""

LEAST_OTHERS = 20
"""Rows of classes but the commonest in a slice of its size: the losses of fewer are skewed."""

LEAST_SPREAD = 1e-10
"""Of the squared mean loss, the least variance of losses: below it there is rounding only."""

FALSE_ALARMS = 0.05
"""Of tables on all whose slices a model does alike, those where one is called weak all the same."""

Floats = npt.NDArray[np.float64]
_EPSILON = np.finfo(np.float64).eps


@dataclass(frozen=True, slots=True, eq=False)
class SliceSums:
    """Losses of rows, summed by slice: log loss of classifiers, squared errors of regression.

    Parameters
    ----------
    names : tuple of str
        Of the slices; they may overlap.
    sums : (n_slices + 1, 3 + k) float64
        Rows, losses, squared losses, then rows of each class, or targets and their squares. The
        last row is of all rows.

    Notes
    -----
    Counts merge exactly, sums to 1e-12 relative. O(n_slices * k) memory.
    """

    names: tuple[str, ...]
    sums: Floats

    @classmethod
    def of(
        cls,
        members: Iterable[tuple[str, npt.NDArray[np.bool_]]],
        task: Task,
        scores: npt.NDArray[Any],
        y: npt.NDArray[Any],
        *,
        n_classes: int = 0,
        center: float = 0.0,
    ) -> Self:
        """Sum over rows with scores and truth as :func:`tidemill.metrics.figures_of` has them.

        Parameters
        ----------
        members : iterable of (str, (n,) bool)
            The name of each slice, and which rows it has; looked at one after another.
        center : float
            In regression, from which targets are counted: near them, so that squares keep digits.

        Notes
        -----
        O(n * (n_slices + n_classes)) time.

        >>> first = [("a = 1", np.array([True, False]))]
        >>> found = SliceSums.of(first, Task.REGRESSION, np.array([1.0, 5.0]), np.array([0.0, 5.0]))
        >>> found.sums[:, :2].tolist()
        [[1.0, 1.0], [2.0, 1.0]]
        """
        loss = _losses(task, np.asarray(scores, np.float64), y)
        if task is Task.REGRESSION:
            target = np.asarray(y, np.float64) - center
            told = np.column_stack([target, target**2])
        else:
            told = np.eye(max(n_classes, 2))[np.asarray(y, np.intp)]
        rows = np.column_stack([np.ones(len(loss)), loss, loss**2, told])
        names, sums = [], []
        for name, which in members:
            names.append(name)
            sums.append(rows[which].sum(axis=0))
        return cls(tuple(names), np.stack([*sums, rows.sum(axis=0)]))

    def merge(self, other: Self) -> Self:
        """Both sets of rows.

        Raises
        ------
        SchemaMismatch
            If they were cut into other slices.
        """
        if self.names != other.names:
            raise SchemaMismatch(
                "losses of other slices cannot be merged",
                remedy="cut both sets of rows by the same columns",
                left=self.names,
                right=other.names,
            )
        return type(self)(self.names, self.sums + other.sums)

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        return {"names": list(self.names), "sums": self.sums.tolist()}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(tuple(document["names"]), np.array(document["sums"], np.float64))


def _losses(task: Task, scores: Floats, y: npt.NDArray[Any]) -> Floats:
    if task is Task.REGRESSION:
        return np.asarray((scores - y) ** 2, np.float64)
    if task is Task.BINARY:
        right = np.where(np.asarray(y) == 1, scores, 1 - scores)
    else:
        right = scores[np.arange(len(y)), y]
    return np.asarray(-np.log(np.clip(right, _EPSILON, 1.0)), np.float64)


@dataclass(frozen=True, slots=True)
class WeakSlice:
    """A slice on which a model does worse than on the other rows, by more than chance.

    Parameters
    ----------
    name : str
    rows : int
    loss, error : float
        Mean loss of its rows (log loss; of regression the root of the mean square), and the
        standard error of that, rows taken as independent.
    others : float
        The same of all other rows.
    of_dummy : float or None
        Share of the loss that is left of a dummy's which knows the slice's own shares of the
        classes, or its mean: near or above 1 the model tells nothing there. Where it is low the
        slice is hard to tell, more than the model weak. None where the dummy has no loss.
    """

    name: str
    rows: int
    loss: float
    error: float
    others: float
    of_dummy: float | None


def weakest_slices(found: SliceSums, task: Task, *, most: int = 10) -> tuple[WeakSlice, ...]:
    """The slices with surely more loss than all other rows, the surest difference first.

    A slice counts from 50 rows on, and if at least as many are outside; of classes also if 20 rows
    of its size are of others than the commonest. The spread of losses is its own or that of all
    rows, whichever is more. The level of the test is shared by all slices (Bonferroni); rows are
    taken as independent, and their losses as without a long tail.

    Notes
    -----
    O(n_slices) time and memory.
    """
    from scipy.stats import norm

    whole = found.sums[-1]
    sizes = found.sums[:-1, 0]
    able = np.flatnonzero((sizes >= _least(task, whole)) & (whole[0] - sizes >= LEAST_ROWS))
    sure = float(norm.isf(FALSE_ALARMS / max(len(able), 1)))
    ranked = []
    for at in able.tolist():
        mine, rest = found.sums[at], whole - found.sums[at]
        (mean, error), (others, noise) = _mean(mine), _mean(rest)
        at_most = max(error, _mean(whole)[1] * math.sqrt(whole[0] / mine[0]))
        beyond = mean - others - sure * math.hypot(at_most, noise)
        if beyond > 0:
            ranked.append((-beyond, at, _told(found.names[at], task, mine, others)))
    return tuple(weak for _, _, weak in sorted(ranked)[:most])


def _least(task: Task, whole: Floats) -> float:
    """Rows from which a slice counts."""
    if task is Task.REGRESSION:
        return LEAST_ROWS
    others = 1 - whole[3:].max() / max(whole[0], 1.0)
    return max(LEAST_ROWS, LEAST_OTHERS / others if others > 0 else math.inf)


def _mean(sums: Floats) -> tuple[float, float]:
    rows, loss, squares = sums[:3].tolist()
    mean = loss / rows
    return mean, math.sqrt(max(squares / rows - mean**2, LEAST_SPREAD * mean**2) / rows)


def _told(name: str, task: Task, sums: Floats, others: float) -> WeakSlice:
    rows = int(sums[0])
    mean, error = _mean(sums)
    dummy = _dummy_loss(task, sums)
    left = mean / dummy if dummy > 0 else None
    if task is Task.REGRESSION:
        root = math.sqrt(mean)
        return WeakSlice(name, rows, root, error / (2 * root), math.sqrt(others), left)
    return WeakSlice(name, rows, mean, error, others, left)


def _dummy_loss(task: Task, sums: Floats) -> float:
    if task is Task.REGRESSION:
        target, squares = (sums[3:] / sums[0]).tolist()
        return float(squares - target**2)
    shares = sums[3:][sums[3:] > 0] / sums[0]
    return float(-(shares * np.log(shares)).sum())
