"""Counts, means and co-moments of a matrix: what scaling, correlation and exact PCA need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from tidemill.contracts import FloatMatrix
from tidemill.errors import SchemaMismatch
from tidemill.profiling.floats import from_document, to_document

__all__ = ["Moments", "merge_moments"]

Number = TypeVar("Number", float, npt.NDArray[np.float64])

# Centred rows in float64 at a time: they stay in the cache, and memory stays small.
_CHUNK_ROWS = 4096


def merge_moments(
    a: tuple[int, Number, Number],
    b: tuple[int, Number, Number],
    squared: Callable[[Number], Number],
) -> tuple[Number, Number]:
    """Combine means and sums of squared deviations of two disjoint sets of rows.

    Parameters
    ----------
    a, b : tuple of (count, mean, m2)
        Numbers; or a vector of means and the matrix of co-moments.
    squared : callable
        The square of a difference of means; of vectors, their outer product.

    Notes
    -----
    Pairwise update of Chan, Golub & LeVeque (1979). A side without rows must have a finite mean.

    >>> merge_moments((2, 1.0, 2.0), (2, 3.0, 0.0), lambda delta: delta * delta)
    (2.0, 6.0)
    """
    (n, mean, m2), (m, other_mean, other_m2) = a, b
    count = max(n + m, 1)
    weight = n * m / count
    middle = (n * mean + m * other_mean) / count
    return middle, m2 + other_m2 + squared(other_mean - mean) * weight


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Mean and centred co-moment of the columns of a matrix.

    Parameters
    ----------
    names : tuple of str
        Column names, (n_features,).
    count : int
        Rows.
    mean : (n_features,) float64
        Zeros when there are no rows.
    comoment : (n_features, n_features) float64
        Sum over rows of the outer products of deviations from ``mean``; symmetric.

    Notes
    -----
    Merging is exact to about 1e-12 of the scale of the data (``count * max(x)**2``): the
    pairwise update of Chan, Golub & LeVeque (1979). O(n_features**2) memory.

    >>> m = Moments.of(np.array([[1.0, 2.0], [3.0, 6.0]]), ("a", "b"))
    >>> m.covariance
    array([[2., 4.],
           [4., 8.]])
    """

    names: tuple[str, ...]
    count: int
    mean: npt.NDArray[np.float64]
    comoment: npt.NDArray[np.float64]

    @classmethod
    def of(cls, matrix: FloatMatrix, names: Sequence[str]) -> Self:
        """Moments of a ``matrix`` (rows, n_features) of any float type.

        A NaN makes the figures of its column NaN; impute first. Memory beyond the result:
        4,096 rows in float64.

        Raises
        ------
        SchemaMismatch
            If the matrix does not have one column a name.
        """
        if matrix.ndim != 2 or matrix.shape[1] != len(names):
            raise SchemaMismatch(
                f"a matrix of shape {matrix.shape} does not fit {len(names)} names",
                remedy="give Moments.of one name for each column of the matrix",
                shape=matrix.shape,
                names=tuple(names),
            )
        rows, width = matrix.shape
        mean = matrix.mean(axis=0, dtype=np.float64) if rows else np.zeros(width)
        comoment = np.zeros((width, width))
        for start in range(0, rows, _CHUNK_ROWS):
            centred = matrix[start : start + _CHUNK_ROWS] - mean
            comoment += centred.T @ centred
        return cls(tuple(names), rows, mean, comoment)

    def only(self, names: Sequence[str]) -> Self:
        """Those of some of the columns."""
        if tuple(names) == self.names:
            return self
        at = [self.names.index(name) for name in names]
        return type(self)(tuple(names), self.count, self.mean[at], self.comoment[at][:, at])

    @property
    def covariance(self) -> npt.NDArray[np.float64]:
        """Sample covariance (n_features, n_features), ``ddof=1``; NaN below two rows."""
        if self.count < 2:
            return np.full_like(self.comoment, np.nan)
        return self.comoment / (self.count - 1)

    def merge(self, other: Self) -> Self:
        """Moments of both sets of rows.

        Raises
        ------
        SchemaMismatch
            If the names differ.
        """
        if self.names != other.names:
            raise SchemaMismatch(
                "moments of different columns cannot be merged",
                remedy="merge moments of the same columns, in the same order",
                left=self.names,
                right=other.names,
            )
        count = self.count + other.count
        if count == 0 or other.count == 0:
            return self
        if self.count == 0:
            return other
        mean, comoment = merge_moments(
            (self.count, self.mean, self.comoment),
            (other.count, other.mean, other.comoment),
            squared=lambda delta: np.outer(delta, delta),
        )
        return type(self)(self.names, count, mean, comoment)

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact; only the upper triangle of the symmetric co-moment."""
        upper = self.comoment[np.triu_indices(len(self.names))]
        return {
            "names": list(self.names),
            "count": self.count,
            "mean": [to_document(x) for x in self.mean.tolist()],
            "comoment": [to_document(x) for x in upper.tolist()],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        width = len(document["names"])
        comoment = np.zeros((width, width))
        comoment[np.triu_indices(width)] = [from_document(x) for x in document["comoment"]]
        comoment = np.triu(comoment) + np.triu(comoment, 1).T
        mean = np.array([from_document(x) for x in document["mean"]], dtype=np.float64)
        return cls(tuple(document["names"]), document["count"], mean, comoment)
