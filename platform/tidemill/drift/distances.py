"""Distances between a window's column and the reference's, from their profiles alone."""

from __future__ import annotations

from typing import NamedTuple

from tidemill.drift.axes import CategoryAxis, ColumnProfile, axis_of
from tidemill.drift.divergences import Counts, chi_effect_between, chi_p_value, ks_p_value
from tidemill.profiling import CategoryProfile, NumericProfile

__all__ = [
    "Effect",
    "chi_squared",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "psi",
    "wasserstein",
]


class Effect(NamedTuple):
    """What a test says: how large the difference is, and how likely by chance."""

    value: float
    p_value: float


def psi(reference: ColumnProfile, window: ColumnProfile) -> float:
    """Population stability index, ``sum((q - p) * ln(q / p))`` over bins.

    Each bin counts half a row more on both sides, so that empty bins have a logarithm.
    """
    return _value("psi", reference, window)


def jensen_shannon(reference: ColumnProfile, window: ColumnProfile) -> float:
    """Jensen-Shannon distance, base 2, 0 to 1 (the root of the divergence; Lin, 1991).

    >>> before, after = (CategoryProfile.of({"a": 1, "b": n}, rows=1 + n) for n in (1, 3))
    >>> round(jensen_shannon(before, after), 3)
    0.221
    """
    return _value("jensen_shannon", reference, window)


def kolmogorov_smirnov(reference: NumericProfile, window: NumericProfile) -> Effect:
    """Two-sample Kolmogorov-Smirnov statistic at the edges, and its asymptotic p-value.

    The statistic of the raw rows is larger by at most the share of one bin.
    """
    value = _value("ks", reference, window)
    return Effect(value, ks_p_value(value, reference.count, window.count))


def wasserstein(reference: NumericProfile, window: NumericProfile) -> float:
    """Wasserstein-1 distance in standard deviations of the reference.

    Values are taken as spread evenly within their bin, and tails as ending where
    :class:`NumericAxis` says: between the bins of the rows, the distance is off by at most
    the width of a bin.
    """
    return _value("wasserstein", reference, window)


def chi_squared(reference: CategoryProfile, window: CategoryProfile) -> Effect:
    """Chi-squared test of homogeneity: Cohen's w as effect size, and the p-value.

    ``w**2`` is the statistic divided by ``n * m / (n + m)``: it does not grow with rows.
    """
    p, q = _both(reference, window)
    return Effect(float(chi_effect_between(p, q)), chi_p_value(p, q))


def _value(
    test: str,
    reference: ColumnProfile,
    window: ColumnProfile,
) -> float:
    axis = axis_of(reference)
    if isinstance(axis, CategoryAxis) and isinstance(window, CategoryProfile):
        axis = axis.narrowed(window)
    values = axis.values(axis.counts(reference), axis.counts(window))
    return float(values[axis.tests.index(test)])


def _both(reference: CategoryProfile, window: CategoryProfile) -> tuple[Counts, Counts]:
    axis = CategoryAxis.of(reference).narrowed(window)
    return axis.counts(reference), axis.counts(window)
