"""What came of the rows behind each stretch of the model's output: a mergeable partial.

Held-out rows fill it once; it is all that is needed to expect the model's figures on rows whose
truth is not known yet, given how often each stretch of the output occurs among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.errors import SchemaMismatch
from tidemill.metrics import OPERATING_THRESHOLD
from tidemill.schema import Task

__all__ = ["SUMS", "OutputBins", "completed"]

Floats = npt.NDArray[np.float64]

SUMS: dict[Task, tuple[str, ...]] = {
    Task.BINARY: ("rows", "positives", "called", "hits", "log_loss", "squared_error"),
    Task.MULTICLASS: ("rows", "correct", "log_loss", "squared_error"),
    Task.REGRESSION: (
        "rows",
        "absolute_error",
        "squared_error",
        "target",
        "target_squared",
        "error",
    ),
}
"""What is summed over the rows of each stretch of output, by task.

``positives`` are rows of the second class, ``called`` rows that the model calls so, ``hits`` rows
that are both; ``target`` is counted from the middle edge, so that its square loses no digits;
``error`` is signed (prediction - target) and NaN in documents that were written before it was kept.
"""

_EPSILON = np.finfo(np.float64).eps


@dataclass(frozen=True, slots=True, eq=False)
class OutputBins:
    """Sums over rows whose truth is known, by bins of what the model said.

    Parameters
    ----------
    task : Task
    edges : (n_edges,) float64
        Inner edges of the output: the probability of the second class (binary), the
        probability of the predicted class (multiclass), the prediction (regression). Bins as
        in :class:`tidemill.profiling.NumericProfile`.
    sums : (len(SUMS[task]), n_edges + 1) float64
        The rows of :data:`SUMS`.

    Notes
    -----
    Counts merge exactly, sums to 1e-12 relative. O(n_edges) memory.

    >>> scores, truth = np.array([0.1, 0.6, 0.35, 0.8]), np.array([0, 0, 1, 1])
    >>> OutputBins.of(Task.BINARY, scores, truth, edges=(0.5,)).sums[:2].tolist()
    [[2.0, 2.0], [1.0, 1.0]]
    """

    task: Task
    edges: npt.NDArray[np.float64]
    sums: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls,
        task: Task,
        scores: npt.NDArray[Any],
        truth: npt.NDArray[Any],
        *,
        edges: Sequence[float] | npt.NDArray[np.float64],
        threshold: float = OPERATING_THRESHOLD,
    ) -> Self:
        """Sum over rows with ``scores`` and ``truth`` as :func:`tidemill.metrics.figures_of` has.

        Of two classes, ``threshold`` is that above which the model calls a row positive.

        O(n) time and memory.
        """
        frozen = np.asarray(edges, np.float64)
        scores = np.asarray(scores, np.float64)
        if task is Task.BINARY:
            output, columns = _binary(scores, np.asarray(truth), threshold)
        else:
            output, columns = _COLUMNS[task](scores, np.asarray(truth), frozen)
        bins = np.searchsorted(frozen, output, side="right")
        sums = [np.bincount(bins, weights=c, minlength=len(frozen) + 1) for c in columns]
        return cls(task, frozen, np.array(sums, np.float64))

    @property
    def rows(self) -> npt.NDArray[np.float64]:
        """Rows of each bin, (n_edges + 1,)."""
        return np.asarray(self.sums[0], np.float64)

    @property
    def count(self) -> int:
        """Rows of all bins together."""
        return int(self.rows.sum())

    def merge(self, other: Self) -> Self:
        """The sums over both sets of rows.

        Raises
        ------
        SchemaMismatch
            If the tasks or the edges differ.
        """
        if self.task is not other.task or not np.array_equal(self.edges, other.edges):
            raise SchemaMismatch(
                "outcomes by different stretches of output cannot be merged",
                remedy="compute both for the same model, with the same reference",
                left=self.edges.tolist(),
                right=other.edges.tolist(),
            )
        return type(self)(self.task, self.edges, self.sums + other.sums)

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        return {
            "task": self.task.value,
            "edges": self.edges.tolist(),
            "sums": [row.tolist() for row in self.sums if not np.isnan(row).any()],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        task, edges = Task(document["task"]), np.array(document["edges"], np.float64)
        return cls(task, edges, completed(task, document["sums"]))


def completed(task: Task, sums: Sequence[Sequence[float]]) -> Floats:
    """Sums as an array, those of :data:`SUMS` that an older document lacks NaN."""
    known = np.array(sums, np.float64)
    lacking = np.full((len(SUMS[task]) - len(known), known.shape[1]), np.nan)
    return np.concatenate([known, lacking])


def _binary(
    scores: Floats, truth: npt.NDArray[Any], threshold: float
) -> tuple[Floats, list[Floats]]:
    positive, called = truth == 1, scores > threshold
    right = np.where(positive, scores, 1 - scores)
    loss = -np.log(np.clip(right, _EPSILON, 1 - _EPSILON))
    columns = [np.ones(len(scores)), positive, called, positive & called, loss, (1 - right) ** 2]
    return scores, [np.asarray(column, np.float64) for column in columns]


def _multiclass(scores: Floats, truth: npt.NDArray[Any], _: Floats) -> tuple[Floats, list[Floats]]:
    right = scores[np.arange(len(truth)), truth]
    loss = -np.log(np.clip(right, _EPSILON, 1 - _EPSILON))
    squared = (scores**2).sum(axis=1) - 2 * right + 1
    correct = (scores.argmax(axis=1) == truth).astype(np.float64)
    return scores.max(axis=1, initial=0.0), [np.ones(len(truth)), correct, loss, squared]


def _regression(
    scores: Floats, truth: npt.NDArray[Any], edges: Floats
) -> tuple[Floats, list[Floats]]:
    residual = scores - truth
    target = truth.astype(np.float64) - (edges[len(edges) // 2] if len(edges) else 0.0)
    columns = [np.ones(len(truth)), np.abs(residual), residual**2, target, target**2, residual]
    return scores, columns


_COLUMNS = {
    Task.MULTICLASS: _multiclass,
    Task.REGRESSION: _regression,
}
