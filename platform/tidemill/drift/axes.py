"""The bins that a column's windows are compared in, from the reference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from tidemill.drift.divergences import (
    Counts,
    Floats,
    area_between,
    chi_effect_between,
    jensen_shannon_between,
    psi_between,
    shares,
)
from tidemill.errors import SchemaMismatch
from tidemill.profiling import CategoryProfile, NumericProfile

__all__ = [
    "KEPT_CATEGORIES",
    "NULL_SHARE",
    "Axis",
    "CategoryAxis",
    "ColumnProfile",
    "NumericAxis",
    "axis_of",
    "cells_of",
    "distance_names",
    "distances_of",
    "hash_categories",
]

ColumnProfile = NumericProfile | CategoryProfile

KEPT_CATEGORIES = 50
NULL_SHARE = "null_share"
# A standard deviation that the tails make so much larger is not the scale of the rows.
_TAILS_DOMINATE = 1.25


@dataclass(frozen=True, slots=True, eq=False)
class NumericAxis:
    """The bins of a numeric column and their geometry, from the reference.

    Parameters
    ----------
    edges : (n_edges,) float64
    bounds : (n_edges + 2,) float64
        Where each bin begins and ends for the Wasserstein distance. A tail ends where it
        would if it fell as the bin beside it stands (twice the mean of that exponential
        tail), at most at the reference's range; what lies beyond counts as at the end.
    scale : float
        The reference's standard deviation; without its outliers where they dominate it.
    """

    tests: ClassVar[tuple[str, ...]] = ("psi", "jensen_shannon", "ks", "wasserstein")
    edges: Floats
    bounds: Floats
    scale: float

    @classmethod
    @np.errstate(over="ignore", invalid="ignore")  # of numbers whose square no float64 holds
    def of(cls, reference: NumericProfile) -> Self:
        """The axis of a column; all bins hold nothing if the reference has no value."""
        bounds = _bounds(reference)
        held = reference.counts / max(reference.count, 1)
        middle = (bounds[1:] + bounds[:-1]) / 2
        mean = float(held @ middle)
        spread = float(held @ ((middle - mean) ** 2 + np.diff(bounds) ** 2 / 12))
        exact = reference.std if reference.count > 1 else 0.0
        typical = math.sqrt(spread)
        scale = exact if exact <= _TAILS_DOMINATE * typical else typical
        return cls(reference.edges, bounds, scale)

    def counts(self, profile: ColumnProfile) -> Counts:
        """Rows in each bin, (n_edges + 1,).

        Raises
        ------
        SchemaMismatch
            If the profile is of another type or has other edges.
        """
        if not isinstance(profile, NumericProfile) or not np.array_equal(profile.edges, self.edges):
            raise SchemaMismatch(
                "a window and its reference have different histograms",
                remedy="profile windows with Reference.live_schema",
                edges=len(self.edges),
            )
        return profile.counts

    @np.errstate(over="ignore", invalid="ignore")  # of numbers whose square no float64 holds
    def values(self, p: Counts, q: Counts) -> Floats:
        """All distances between ``p`` and ``q`` (..., bins), as (n_tests, ...); NaN if empty."""
        one, two = shares(p), shares(q)
        apart = np.cumsum(one - two, axis=-1)[..., :-1]
        largest = np.abs(apart).max(axis=-1, initial=0.0)
        ks = np.where(np.isnan(one[..., 0] + two[..., 0]), np.nan, largest)
        between = np.where(np.isnan(ks), np.nan, area_between(apart, np.diff(self.bounds)))
        scaled = between / self.scale if self.scale > 0 else np.full_like(between, np.nan)
        return np.stack([psi_between(p, q), jensen_shannon_between(one, two), ks, scaled])


@dataclass(frozen=True, slots=True, eq=False)
class CategoryAxis:
    """The categories that are told apart: the reference's most frequent; all else is one.

    Parameters
    ----------
    names : tuple of str
        At most 50. Rarer categories, those never seen in training and those beyond the
        10,000 that a profile counts share one further bin, the last.
    """

    tests: ClassVar[tuple[str, ...]] = ("psi", "jensen_shannon", "chi_squared")
    names: tuple[str, ...]

    @classmethod
    def of(cls, reference: CategoryProfile) -> Self:
        """The axis of a column."""
        ranked = sorted(reference.counts.items(), key=lambda item: (-item[1], item[0]))
        return cls(tuple(name for name, _ in ranked[:KEPT_CATEGORIES]))

    def narrowed(self, window: CategoryProfile) -> Self:
        """Only the categories that a window with more than 10,000 of them could count."""
        if window.threshold is None:
            return self
        # A category is counted there if its hash is small enough: not found means no row
        # for those, and not known for the others.
        hashes = hash_categories(self.names)
        known = tuple(
            name
            for name, value in zip(self.names, hashes, strict=True)
            if value <= window.threshold
        )
        return type(self)(known)

    def counts(self, profile: ColumnProfile) -> Counts:
        """Rows of each category, then of all others, (n_names + 1,).

        Raises
        ------
        SchemaMismatch
            If the profile is of another type.
        """
        if not isinstance(profile, CategoryProfile):
            raise SchemaMismatch(
                "a window and its reference have columns of different types",
                remedy="profile windows with Reference.live_schema",
            )
        named = [profile.counts.get(name, 0) for name in self.names]
        return np.array([*named, profile.rows - profile.nulls - sum(named)], dtype=np.int64)

    def values(self, p: Counts, q: Counts) -> Floats:
        """All distances between ``p`` and ``q`` (..., bins), as (n_tests, ...); NaN if empty."""
        one, two = shares(p), shares(q)
        return np.stack(
            [psi_between(p, q), jensen_shannon_between(one, two), chi_effect_between(p, q)]
        )


Axis = NumericAxis | CategoryAxis


def axis_of(reference: ColumnProfile) -> Axis:
    """The bins that a column's windows are compared in."""
    if isinstance(reference, NumericProfile):
        return NumericAxis.of(reference)
    return CategoryAxis.of(reference)


def _bounds(reference: NumericProfile) -> Floats:
    if not reference.count:
        return np.zeros(len(reference.edges) + 2)
    inner = np.clip(reference.edges, reference.minimum, reference.maximum)
    bounds = np.concatenate([[reference.minimum], inner, [reference.maximum]])
    low = _tail(reference.counts, bounds)
    high = _tail(reference.counts[::-1], bounds[::-1])
    clipped: Floats = np.clip(bounds, low, high)
    return clipped


def _tail(counts: Counts, bounds: Floats) -> float:
    """Where the first tail begins, going inwards along ``bounds``."""
    occupied = np.flatnonzero(counts)
    first = int(occupied[0])
    if len(occupied) == 1 or counts[first + 1] == 0:
        return float(bounds[first])
    width = bounds[first + 2] - bounds[first + 1]
    reach = 2 * width * counts[first] / counts[first + 1]
    if abs(reach) >= abs(bounds[first + 1] - bounds[first]):
        return float(bounds[first])
    return float(bounds[first + 1] - reach)


def distance_names(axis: Axis) -> tuple[str, ...]:
    """Names of the distances of :func:`distances_of`, in their order."""
    return (*axis.tests, NULL_SHARE)


def cells_of(axis: Axis, profile: ColumnProfile) -> Counts:
    """Rows in each bin, then those without a value: (bins + 1,)."""
    return np.append(axis.counts(profile), profile.nulls)


def distances_of(axis: Axis, p: Counts, q: Counts) -> Floats:
    """All distances between cells ``p`` and ``q`` (..., bins + 1), as (n_tests, ...).

    To the distances between values comes that between the shares of rows without one; NaN
    where a side has no rows.
    """
    values = axis.values(p[..., :-1], q[..., :-1])
    nulls = np.abs(shares(q)[..., -1] - shares(p)[..., -1])
    return np.concatenate([values, nulls[None]])


def hash_categories(names: tuple[str, ...]) -> list[int]:
    """The hashes by which CategoryProfile chooses what it counts; in the order of ``names``."""
    import pandas as pd

    texts = np.array(names, dtype=object)
    hashed: list[int] = pd.util.hash_array(texts, categorize=False).tolist()
    return hashed
