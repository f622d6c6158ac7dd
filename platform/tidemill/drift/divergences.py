"""Distances between rows of counts, as arrays: the arithmetic and nothing else."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = [
    "Counts",
    "Floats",
    "area_between",
    "chi_effect_between",
    "chi_p_value",
    "jensen_shannon_between",
    "ks_p_value",
    "psi_between",
    "shares",
]

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# PSI has no value where a bin is empty on one side: every bin is given half a row more.
_HALF_A_ROW = 0.5


def shares(counts: Counts) -> Floats:
    """Counts (..., bins) as shares of their rows; NaN where there is no row."""
    rows = counts.sum(axis=-1, keepdims=True)
    return np.where(rows > 0, counts / np.maximum(rows, 1), np.nan)


def psi_between(p: Counts, q: Counts) -> Floats:
    """Population stability index of counts (..., bins), each with half a row more; (...)."""
    one, two = (
        (c + _HALF_A_ROW) / (c.sum(axis=-1, keepdims=True) + _HALF_A_ROW * c.shape[-1])
        for c in (p, q)
    )
    value: Floats = ((two - one) * np.log(two / one)).sum(axis=-1)
    empty = (p.sum(axis=-1) == 0) | (q.sum(axis=-1) == 0)
    return np.where(empty, np.nan, value)


def jensen_shannon_between(p: Floats, q: Floats) -> Floats:
    """Jensen-Shannon distance (base 2) of shares (..., bins); (...)."""
    middle = (p + q) / 2
    divergence = (_relative(p, middle) + _relative(q, middle)) / 2
    # Rounding can leave a hair below nothing.
    return np.sqrt(np.maximum(divergence, 0.0))


def _relative(p: Floats, q: Floats) -> Floats:
    """Relative entropy in bits; a bin without mass adds nothing."""
    logs = np.log2(np.where(p > 0, p, 1.0) / np.where(p > 0, q, 1.0))
    total: Floats = (p * logs).sum(axis=-1)
    return total


def chi_effect_between(p: Counts, q: Counts) -> Floats:
    """Cohen's w of counts (..., bins): chi squared without the rows; (...)."""
    one, two = shares(p), shares(q)
    n, m = (c.sum(axis=-1, keepdims=True) for c in (p, q))
    pooled = (p + q) / np.maximum(n + m, 1)
    terms = np.where(pooled > 0, (one - two) ** 2 / np.where(pooled > 0, pooled, 1.0), 0.0)
    value: Floats = np.sqrt(terms.sum(axis=-1))
    return np.where(np.isnan(one[..., 0] + two[..., 0]), np.nan, value)


def area_between(apart: Floats, widths: Floats) -> Floats:
    """Area between distribution functions that are ``apart`` (..., bins - 1) at inner bounds."""
    ends = np.zeros((*apart.shape[:-1], 1))
    left = np.abs(np.concatenate([ends, apart], axis=-1))
    right = np.abs(np.concatenate([apart, ends], axis=-1))
    crossing = np.concatenate([ends, apart], -1) * np.concatenate([apart, ends], -1) < 0
    total = np.where(left + right > 0, left + right, 1.0)
    height = np.where(crossing, (left**2 + right**2) / total, left + right) / 2
    area: Floats = height @ widths
    return area


def ks_p_value(value: float, n: int, m: int) -> float:
    """Kolmogorov's limit: the chance of so large a statistic between ``n`` and ``m`` rows."""
    from scipy.special import kolmogorov

    return float(kolmogorov(math.sqrt(n * m / max(n + m, 1)) * value))


def chi_p_value(p: Counts, q: Counts) -> float:
    """The chance of so large a statistic between counts ``p`` and ``q`` (bins,)."""
    from scipy.special import chdtrc

    freedom = int(np.count_nonzero(p + q)) - 1
    if freedom < 1:
        return 1.0
    n, m = int(p.sum()), int(q.sum())
    return float(chdtrc(freedom, float(chi_effect_between(p, q)) ** 2 * n * m / (n + m)))
