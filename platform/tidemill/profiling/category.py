"""The profile of a column of categories: exact counts, bounded in memory whatever comes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.errors import SchemaMismatch

__all__ = ["CATEGORY_LIMIT", "CategoryProfile"]

CATEGORY_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class CategoryProfile:
    """How often each category occurs.

    While a column has at most ``limit`` categories, all are counted. Beyond, those with the
    ``limit`` smallest hashes are, and their counts are still exact: a uniform sample of the
    categories that merges exactly, from which the number of all is estimated.

    Parameters
    ----------
    rows, nulls : int
    counts : dict of str to int
        Rows of each counted category, in the order of the categories' text.
    limit : int
        Categories counted at most; 0 counts none (text keys: rows and nulls only).
    threshold : int or None
        None while all categories are counted; else the largest hash that is counted.

    Notes
    -----
    Merges exactly. O(limit) memory. Distinct counts: the k-minimum-values estimate of
    Bar-Yossef et al. (2002), relative standard error about ``1 / sqrt(limit)``.

    >>> p = CategoryProfile.of({"a": 2, "b": 1}, rows=4)
    >>> p.merge(CategoryProfile.of({"b": 5}, rows=5)).counts
    {'a': 2, 'b': 6}
    """

    rows: int
    nulls: int
    counts: dict[str, int]
    limit: int = CATEGORY_LIMIT
    threshold: int | None = None

    @classmethod
    def of(cls, counts: Mapping[str, int], *, rows: int, limit: int = CATEGORY_LIMIT) -> Self:
        """Profile ``rows`` rows whose values occur as in ``counts``; the rest is null.

        Categories with a count of 0 do not exist.
        """
        present = {category: count for category, count in counts.items() if count}
        nulls = rows - sum(present.values())
        return cls._bounded(rows, nulls, present, limit, None)

    @property
    def complete(self) -> bool:
        """Whether every category is counted."""
        return self.threshold is None

    @property
    def n_distinct(self) -> float:
        """Number of categories: exact while complete, else estimated (NaN below limit 2)."""
        if self.threshold is None:
            return float(len(self.counts))
        if self.limit < 2:
            return math.nan
        return (self.limit - 1) / (max(self.threshold, 1) / 2.0**64)

    def lacks(self, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which of the names no profiled row had, (n,) bool.

        Beyond ``limit`` categories that is known of those with small hashes only; the others
        count as had.

        >>> CategoryProfile.of({"a": 2}, rows=2).lacks(["a", "b"]).tolist()
        [False, True]
        """
        lacking = np.array([name not in self.counts for name in names], np.bool_)
        if self.threshold is not None and lacking.any():
            lacking &= _hash_categories(names) <= self.threshold
        return lacking

    def merge(self, other: Self) -> Self:
        """The profile of both sets of rows, exactly.

        Raises
        ------
        SchemaMismatch
            If the limits differ.
        """
        if self.limit != other.limit:
            raise SchemaMismatch(
                f"category profiles with limits {self.limit} and {other.limit} cannot be merged",
                remedy="profile both sets of rows with the same limit",
                left=self.limit,
                right=other.limit,
            )
        counts = dict(self.counts)
        for category, count in other.counts.items():
            counts[category] = counts.get(category, 0) + count
        bounds = [t for t in (self.threshold, other.threshold) if t is not None]
        return self._bounded(
            self.rows + other.rows,
            self.nulls + other.nulls,
            counts,
            self.limit,
            min(bounds, default=None),
        )

    @classmethod
    def _bounded(
        cls, rows: int, nulls: int, counts: dict[str, int], limit: int, threshold: int | None
    ) -> Self:
        # The limit-th smallest hash of the union is above neither side's threshold, so what a
        # side dropped cannot be missed; and a union no larger than the limit dropped nothing
        # that the sides had not dropped already.
        if len(counts) > limit:
            counts, threshold = _smallest(counts, limit)
        return cls(rows, nulls, dict(sorted(counts.items())), limit, threshold)

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        return {
            "kind": "category",
            "rows": self.rows,
            "nulls": self.nulls,
            "counts": dict(self.counts),
            "limit": self.limit,
            "threshold": self.threshold,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            rows=document["rows"],
            nulls=document["nulls"],
            counts=dict(sorted(document["counts"].items())),
            limit=document["limit"],
            threshold=document["threshold"],
        )


def _smallest(counts: dict[str, int], limit: int) -> tuple[dict[str, int], int]:
    """Keep the categories whose hash is at most the ``limit``-th smallest; return that too."""
    if limit == 0:
        return {}, 0
    categories = list(counts)
    hashes = _hash_categories(categories)
    threshold = np.partition(hashes, limit - 1)[limit - 1]
    kept = np.flatnonzero(hashes <= threshold)
    return {categories[i]: counts[categories[i]] for i in kept.tolist()}, int(threshold)


def _hash_categories(categories: Iterable[str]) -> npt.NDArray[np.uint64]:
    # pandas takes a third of a second to import, and few columns ever come here.
    import pandas as pd

    texts = np.array(list(categories), dtype=object)
    return pd.util.hash_array(texts, categorize=False)
