"""Figures of a classifier with more than two classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.errors import SchemaMismatch
from tidemill.metrics.measurable import probable
from tidemill.metrics.scores import ScoreHistogram

__all__ = ["MulticlassFigures"]

_EPSILON = np.finfo(np.float64).eps


@dataclass(frozen=True, slots=True, eq=False)
class MulticlassFigures:
    """How well class probabilities fit the labels of the same rows.

    Parameters
    ----------
    ranks : tuple of ScoreHistogram
        One a class: it against the rest.
    log_loss_sum, squared_error_sum : float
        Sums over rows; the squared error also over classes (Brier's original, 0 to 2).
    confusion : (n_classes, n_classes) int64
        Rows of true class ``i`` that are predicted as ``j``, the most probable class (of
        equally probable ones the first).

    Notes
    -----
    Counts merge exactly, sums to 1e-12 relative. At most 2 MB a class, whatever the rows.

    >>> scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3]])
    >>> MulticlassFigures.of(scores, np.array([0, 1, 2])).values()["roc_auc"]
    0.916...
    """

    ranks: tuple[ScoreHistogram, ...]
    log_loss_sum: float
    squared_error_sum: float
    confusion: npt.NDArray[np.int64]

    @classmethod
    def of(cls, scores: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Figures of ``scores`` (n, n_classes) and class codes ``y`` (n,) from 0.

        O(n * n_classes) time.

        Raises
        ------
        SchemaMismatch
            If the shapes differ, a code has no score, or a score is no probability.
        """
        scores, y = np.asarray(scores, dtype=np.float64), np.asarray(y, dtype=np.int64)
        _check(scores, y)
        rows, width = scores.shape
        right = scores[np.arange(rows), y]
        squared = np.einsum("ij,ij->", scores, scores) - 2 * right.sum() + rows
        confusion = np.bincount(y * width + scores.argmax(axis=1), minlength=width * width)
        return cls(
            tuple(ScoreHistogram.of(scores[:, k], y == k) for k in range(width)),
            float(-np.log(np.clip(right, _EPSILON, 1 - _EPSILON)).sum()),
            float(squared),
            confusion.reshape(width, width),
        )

    @property
    def count(self) -> int:
        """Rows judged, of all classes."""
        return int(self.confusion.sum())

    @property
    def rank_bound(self) -> float:
        """The largest possible error of roc_auc, from unequal scores inside a bin."""
        return _mean([ranks.rank_bound for ranks in self.ranks])

    def values(self) -> dict[str, float]:
        """The figures by name; NaN where the rows do not define one.

        roc_auc is the mean over the classes that occur (macro, one against the rest), f1 the
        mean over the classes that occur or are predicted.
        """
        n = self.count
        return {
            "roc_auc": _mean([ranks.roc_auc for ranks in self.ranks]),
            "log_loss": self.log_loss_sum / n if n else float("nan"),
            "accuracy": int(np.trace(self.confusion)) / n if n else float("nan"),
            "f1": self._f1(),
            "brier": self.squared_error_sum / n if n else float("nan"),
        }

    def _f1(self) -> float:
        seen = self.confusion.sum(axis=0) + self.confusion.sum(axis=1)
        present = seen > 0
        return _mean((2 * np.diag(self.confusion)[present] / seen[present]).tolist())

    def merge(self, other: Self) -> Self:
        """Figures of both sets of rows.

        Raises
        ------
        SchemaMismatch
            If the numbers of classes differ.
        """
        if len(self.ranks) != len(other.ranks):
            raise SchemaMismatch(
                f"figures of {len(self.ranks)} and {len(other.ranks)} classes cannot be merged",
                remedy="score both sets of rows with the same model",
                left=len(self.ranks),
                right=len(other.ranks),
            )
        return type(self)(
            tuple(a.merge(b) for a, b in zip(self.ranks, other.ranks, strict=True)),
            self.log_loss_sum + other.log_loss_sum,
            self.squared_error_sum + other.squared_error_sum,
            self.confusion + other.confusion,
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        return {
            "kind": "multiclass",
            "ranks": [ranks.to_json() for ranks in self.ranks],
            "log_loss_sum": self.log_loss_sum,
            "squared_error_sum": self.squared_error_sum,
            "confusion": self.confusion.tolist(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            tuple(ScoreHistogram.from_json(ranks) for ranks in document["ranks"]),
            document["log_loss_sum"],
            document["squared_error_sum"],
            np.array(document["confusion"], dtype=np.int64),
        )


def _mean(values: list[float]) -> float:
    """The mean of the values that are defined; NaN if none is."""
    defined = [value for value in values if not np.isnan(value)]
    return sum(defined) / len(defined) if defined else float("nan")


def _check(scores: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> None:
    if scores.ndim != 2 or y.shape != scores.shape[:1]:
        raise SchemaMismatch(
            f"scores of shape {scores.shape} do not fit labels of shape {y.shape}",
            remedy="give one row of class probabilities for each label",
            scores=scores.shape,
            labels=y.shape,
        )
    if len(y) and not (y.min() >= 0 and y.max() < scores.shape[1]):
        raise SchemaMismatch(
            f"a class code lies outside 0 to {scores.shape[1] - 1}",
            remedy="code the labels by their position in the schema's classes",
        )
    if not probable(scores).all():
        raise SchemaMismatch(
            "the scores of a classifier are not all between 0 and 1",
            remedy="give probabilities; a NaN means that the model diverged",
        )
