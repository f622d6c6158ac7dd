"""One chance of a false accusation shared by several figures of the same rows.

Figures of one window go together: where the ROC AUC falls by chance, the log loss tends to rise.
To hold each to its own part of the rate (Bonferroni) wastes what they share; here the largest of
their scores is held to the whole rate, as Westfall and Young (1993) do, with the correlations that
the held-out blocks showed and the scores as normal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

__all__ = ["Pairs", "critical_score", "lower_correlation"]

Floats = npt.NDArray[np.float64]
Pairs = Mapping[tuple[int, int], float]

_NORMAL = NormalDist()
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_HALVINGS = 40


def critical_score(rate: float, tests: int, pairs: Pairs) -> float:
    """The score that the largest of ``tests`` standard normal ones exceeds at most at ``rate``.

    Parameters
    ----------
    rate : float
        Between 0 and 1/2.
    tests : int
    pairs : mapping of (int, int) to float
        Correlations of tests ``i < j``; a pair that is left out is taken to share nothing.

    Notes
    -----
    Hunter's (1976) and Worsley's (1982) bound: of the sum of all single chances the chance that
    both happen is taken off along a tree of pairs. Never too small; exact for two tests;
    Bonferroni's where no pair is known.

    >>> round(critical_score(0.025, 1, {}), 2), round(critical_score(0.025, 2, {}), 2)
    (1.96, 2.24)
    >>> round(critical_score(0.025, 2, {(0, 1): 0.9}), 2)
    2.11
    """
    high, low = -_NORMAL.inv_cdf(rate / tests), -_NORMAL.inv_cdf(rate)
    if not pairs or tests < 2:
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _chance(middle, tests, pairs) > rate:
            low = middle
        else:
            high = middle
    return high


def lower_correlation(a: Floats, b: Floats) -> float:
    """Correlation of paired values, less one standard error (Fisher's); NaN of fewer than four.

    Few pairs may go together by chance; so few share little.
    """
    known = np.isfinite(a) & np.isfinite(b)
    n = int(known.sum())
    if n <= 3 or not (a[known].std() and b[known].std()):
        return math.nan
    seen = float(np.clip(np.corrcoef(a[known], b[known])[0, 1], -0.999, 0.999))
    return math.tanh(math.atanh(seen) - 1 / math.sqrt(n - 3))


def _chance(score: float, tests: int, pairs: Pairs) -> float:
    """At most how often any test exceeds ``score``."""
    both = {pair: _both(score, correlation) for pair, correlation in pairs.items()}
    return tests * _NORMAL.cdf(-score) - _heaviest_tree(tests, both)


def _both(score: float, correlation: float) -> float:
    """Chance that two standard normal scores exceed ``score`` (Plackett, 1954; Gauss-Legendre)."""
    reach = math.asin(max(min(correlation, 1.0), -1.0)) / 2
    angles = reach * (_NODES + 1)
    inner = np.exp(-(score**2) / (1 + np.sin(angles)))
    beyond = float(reach * (_WEIGHTS * inner).sum() / (2 * math.pi))
    return max(_NORMAL.cdf(-score) ** 2 + beyond, 0.0)


def _heaviest_tree(tests: int, weights: Mapping[tuple[int, int], float]) -> float:
    """Weight of the heaviest forest over the tests (Kruskal)."""
    tree: Sequence[set[int]] = [{test} for test in range(tests)]
    total = 0.0
    for (i, j), weight in sorted(weights.items(), key=lambda item: -item[1]):
        one, other = (next(part for part in tree if test in part) for test in (i, j))
        if one is not other:
            tree = [*(p for p in tree if p is not one and p is not other), one | other]
            total += weight
    return total
