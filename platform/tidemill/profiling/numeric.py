"""The profile of a column of numbers or times: moments, range and a histogram."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.errors import SchemaMismatch
from tidemill.profiling.floats import from_document, to_document
from tidemill.profiling.moments import merge_moments

__all__ = ["NumericProfile"]


@dataclass(frozen=True, slots=True, eq=False)
class NumericProfile:
    """What is known of a numeric column, or of a datetime column in epoch seconds.

    Parameters
    ----------
    rows, nulls : int
        All rows; those without a value. NaN and the infinities count as null.
    mean, m2 : float
        Mean of the values; sum of their squared deviations from it.
    minimum, maximum : float
        ``mean``, ``minimum`` and ``maximum`` are NaN when there is no value.
    edges : (n_edges,) float64
        Inner edges, ascending, frozen in the schema.
    counts : (n_edges + 1,) int64
        Values in each bin: bin ``i`` holds ``edges[i - 1] <= x < edges[i]``; the outer two
        are open.

    Notes
    -----
    Counts, range and nulls merge exactly; mean and m2 to about 1e-12 of the data's scale
    (Chan, Golub & LeVeque, 1979). O(n_edges) memory.

    >>> p = NumericProfile.of(np.array([1.0, 2.0, np.nan, 4.0]), edges=(2.0,))
    >>> p.nulls, p.counts.tolist(), p.maximum
    (1, [1, 2], 4.0)
    """

    rows: int
    nulls: int
    mean: float
    m2: float
    minimum: float
    maximum: float
    edges: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, values: npt.NDArray[Any], edges: Sequence[float] | npt.NDArray[np.float64]) -> Self:
        """Profile ``values`` (rows,) of any integer or float type.

        O(rows) time for a bounded number of edges; memory beyond the result: two copies of
        the values.
        """
        frozen = np.asarray(edges, dtype=np.float64)
        rows = len(values)
        if values.dtype not in (np.float32, np.float64):
            values = values.astype(np.float64)
        lowest, highest = _range(values)
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            values = values[np.isfinite(values)]
            lowest, highest = _range(values)
        if not len(values):
            counts = np.zeros(len(frozen) + 1, np.int64)
            return cls(rows, rows, math.nan, 0.0, math.nan, math.nan, frozen, counts)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, m2 = _centred(values)
        return cls(
            rows=rows,
            nulls=rows - len(values),
            mean=mean,
            m2=m2,
            minimum=lowest,
            maximum=highest,
            edges=frozen,
            counts=_histogram(values, frozen, lowest, highest),
        )

    @classmethod
    def of_each(
        cls, values: npt.NDArray[Any], edges: Sequence[Sequence[float] | npt.NDArray[np.float64]]
    ) -> list[Self]:
        """Profile each of (n_columns, rows) values, to the same bits as :meth:`of` does.

        Columns without gaps are profiled at once. Memory beyond the result: two copies of the
        values.

        >>> both = NumericProfile.of_each(np.array([[1.0, 3.0], [2.0, np.nan]]), [(2.0,), ()])
        >>> [(p.mean, p.nulls, p.counts.tolist()) for p in both]
        [(2.0, 0, [1, 1]), (2.0, 1, [1])]
        """
        if values.dtype not in (np.float32, np.float64):
            values = values.astype(np.float64)
        lowest, highest = _ranges(values)
        found: list[Self | None] = [None] * len(values)
        whole = np.flatnonzero(np.isfinite(lowest) & np.isfinite(highest))
        places = whole.tolist() if len(values) > 1 else []
        if places:
            frozen = [np.asarray(edges[at], dtype=np.float64) for at in places]
            some = values if len(places) == len(values) else values[whole]
            mean, m2 = _centred_each(some)
            ends = lowest[whole].tolist(), highest[whole].tolist()
            counts, rows = _histograms(some, frozen), values.shape[1]
            for at, *ours in zip(places, mean, m2, *ends, frozen, counts, strict=True):
                found[at] = cls(rows, 0, *ours)  # in the order of its fields
        return [p or cls.of(v, e) for p, v, e in zip(found, values, edges, strict=True)]

    @property
    def count(self) -> int:
        """Rows that have a value."""
        return self.rows - self.nulls

    @property
    def variance(self) -> float:
        """Sample variance, ``ddof=1``; NaN below two values."""
        return self.m2 / (self.count - 1) if self.count > 1 else math.nan

    @property
    def std(self) -> float:
        """Sample standard deviation; NaN below two values."""
        return math.sqrt(self.variance)

    def quantile(self, q: float) -> float:
        """The ``q`` quantile, interpolated within its bin; NaN when there is no value.

        The error is at most the width of that bin, and the outer bins end at the smallest and
        the largest value, which are the quantiles 0 and 1 exactly.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"a quantile lies between 0 and 1, not at {q}")
        if self.count == 0:
            return math.nan
        inner = np.clip(self.edges, self.minimum, self.maximum)
        bounds = np.concatenate([[self.minimum], inner, [self.maximum]])
        shares = np.concatenate([[0.0], np.cumsum(self.counts) / self.count])
        at = max(int(np.searchsorted(shares, q, side="left")), 1)
        within = float((q - shares[at - 1]) / (shares[at] - shares[at - 1]))
        low, high = float(bounds[at - 1]), float(bounds[at])
        if math.isfinite(high - low):
            return low + within * (high - low)
        return (1.0 - within) * low + within * high

    def merge(self, other: Self) -> Self:
        """The profile of both sets of rows.

        Raises
        ------
        SchemaMismatch
            If the edges differ.
        """
        if not np.array_equal(self.edges, other.edges):
            raise SchemaMismatch(
                "histograms with different edges cannot be merged",
                remedy="profile both sets of rows with the same schema",
                left=tuple(self.edges.tolist()),
                right=tuple(other.edges.tolist()),
            )
        mean, m2 = _merged_moments(self, other)
        return type(self)(
            rows=self.rows + other.rows,
            nulls=self.nulls + other.nulls,
            mean=mean,
            m2=m2,
            # fmin and fmax ignore the NaN of a side without values.
            minimum=float(np.fmin(self.minimum, other.minimum)),
            maximum=float(np.fmax(self.maximum, other.maximum)),
            edges=self.edges,
            counts=self.counts + other.counts,
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        return {
            "kind": "numeric",
            "rows": self.rows,
            "nulls": self.nulls,
            "mean": to_document(self.mean),
            "m2": to_document(self.m2),
            "minimum": to_document(self.minimum),
            "maximum": to_document(self.maximum),
            "edges": self.edges.tolist(),
            "counts": self.counts.tolist(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            rows=document["rows"],
            nulls=document["nulls"],
            mean=from_document(document["mean"]),
            m2=from_document(document["m2"]),
            minimum=from_document(document["minimum"]),
            maximum=from_document(document["maximum"]),
            edges=np.array(document["edges"], dtype=np.float64),
            counts=np.array(document["counts"], dtype=np.int64),
        )


_FEW_VALUES = 4096


def _range(values: npt.NDArray[Any]) -> tuple[float, float]:
    if not len(values):
        return math.nan, math.nan
    # Adding zero turns -0 into 0: which of the two is met first must not show.
    return float(values.min()) + 0.0, float(values.max()) + 0.0


def _ranges(values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if not values.shape[1]:
        return (np.full(len(values), np.nan),) * 2
    ends = (values.min(axis=1), values.max(axis=1))
    lowest, highest = (end.astype(np.float64) + 0.0 for end in ends)
    return lowest, highest


def _centred_each(values: npt.NDArray[Any]) -> tuple[list[float], list[float]]:
    with np.errstate(over="ignore", invalid="ignore"):
        mean = values.mean(axis=1, dtype=np.float64)
        deviations = values.astype(np.float64)
        deviations -= mean[:, None]
        return mean.tolist(), np.square(deviations, out=deviations).sum(axis=1).tolist()


def _histograms(
    values: npt.NDArray[Any], edges: list[npt.NDArray[np.float64]]
) -> Iterator[npt.NDArray[np.int64]]:
    """Of each column; as many comparisons as the longest list has edges."""
    rows = values.shape[1]
    at_least = np.zeros((len(values), max(map(len, edges)) + 2), np.int64)
    at_least[:, 0] = rows
    for i in range(max(map(len, edges))):
        edge = np.array([e[i] if i < len(e) else np.inf for e in edges])
        at_least[:, i + 1] = (values >= _ceiling(edge, values.dtype)[:, None]).sum(axis=1)
    counts = at_least[:, :-1] - at_least[:, 1:]
    return (row[: len(e) + 1] for row, e in zip(counts, edges, strict=True))


def _centred(values: npt.NDArray[Any]) -> tuple[float, float]:
    mean = float(values.mean(dtype=np.float64))
    deviations = values.astype(np.float64)
    deviations -= mean
    # Not a dot product: BLAS would use threads, whose number shows in the last digits.
    return mean, float(np.square(deviations, out=deviations).sum())


def _histogram(
    values: npt.NDArray[Any], edges: npt.NDArray[np.float64], lowest: float, highest: float
) -> npt.NDArray[np.int64]:
    """Count by comparing with every edge: branch-free, several times faster than a search.

    Of few values it is the number of steps that costs, and a search is one.
    """
    if len(values) < _FEW_VALUES:
        bins = np.searchsorted(_ceiling(edges, values.dtype), values, side="right")
        return np.bincount(bins, minlength=len(edges) + 1).astype(np.int64)
    at_least = np.empty(len(edges) + 2, np.int64)
    at_least[0], at_least[-1] = len(values), 0
    above = np.empty(len(values), np.bool_)
    for i, edge in enumerate(_ceiling(edges, values.dtype), start=1):
        if lowest >= edge:
            at_least[i] = len(values)
        elif highest < edge:
            at_least[i] = 0
        else:
            np.greater_equal(values, edge, out=above)
            at_least[i] = np.count_nonzero(above)
    return at_least[:-1] - at_least[1:]


def _ceiling(edges: npt.NDArray[np.float64], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """The smallest numbers of type ``kind`` that are not below the edges.

    Comparing float32 values with these is the same as comparing them with the edges
    themselves, without a float64 copy of the column.
    """
    with np.errstate(over="ignore"):
        rounded = edges.astype(kind)
    below = rounded.astype(np.float64) < edges
    rounded[below] = np.nextafter(rounded[below], np.array(np.inf, kind))
    return rounded


def _merged_moments(a: NumericProfile, b: NumericProfile) -> tuple[float, float]:
    if b.count == 0:
        return a.mean, a.m2
    if a.count == 0:
        return b.mean, b.m2
    return merge_moments((a.count, a.mean, a.m2), (b.count, b.mean, b.m2), lambda d: d * d)
