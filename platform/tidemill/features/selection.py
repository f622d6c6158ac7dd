"""Which encoded columns stay: those that vary, and of two that correlate the earlier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tidemill.features.drafts import EncodedColumn
from tidemill.profiling import Moments

__all__ = ["CORRELATED_COLUMNS", "copies", "correlated", "still"]

_DIGITS = 9

#: Columns up to which correlations are computed: n x n numbers, 128 MB of these.
CORRELATED_COLUMNS = 4_000


def still(columns: Sequence[EncodedColumn], min_variance: float) -> dict[str, str]:
    """Columns that do not vary by more than ``min_variance``, each with the reason.

    The variance is that of the imputed column before scaling, ``ddof=0``, as in
    scikit-learn's ``VarianceThreshold``.
    """
    dropped = {}
    for column in columns:
        if column.flaw:
            dropped[column.name] = column.flaw
        elif column.variance <= min_variance:
            dropped[column.name] = f"variance {column.variance:.6g} is not over {min_variance:.6g}"
    return dropped


def correlated(moments: Moments, max_correlation: float) -> dict[str, str]:
    """Columns that correlate by more than ``max_correlation`` with an earlier one that stays.

    >>> import numpy as np
    >>> x = np.array([[0.0, 1.0, 0.0], [1.0, 3.0, 0.0], [2.0, 5.0, 1.0]])
    >>> correlated(Moments.of(x, ("a", "b", "c")), 0.95)
    {'b': 'correlates with a by 1.000'}
    """
    spread = np.sqrt(np.diag(moments.comoment))
    spread[spread == 0.0] = np.inf
    correlation = np.abs(moments.comoment / np.outer(spread, spread)).round(_DIGITS)
    kept: list[int] = []
    dropped = {}
    for column, name in enumerate(moments.names):
        beyond = [i for i in kept if correlation[i, column] > max_correlation]
        if beyond:
            closest = max(beyond, key=lambda i: (correlation[i, column], -i))
            dropped[name] = (
                f"correlates with {moments.names[closest]} by {correlation[closest, column]:.3f}"
            )
        else:
            kept.append(column)
    return dropped


def copies(names: Sequence[str], hashes: npt.NDArray[np.uint64]) -> dict[str, str]:
    """Columns of which every value is that of an earlier one, by the hash of their values.

    >>> copies(("a", "b", "c"), np.array([1, 2, 1], np.uint64))
    {'c': 'is a copy of a'}
    """
    first: dict[int, str] = {}
    dropped = {}
    for name, value in zip(names, hashes.tolist(), strict=True):
        earlier = first.setdefault(value, name)
        if earlier != name:
            dropped[name] = f"is a copy of {earlier}"
    return dropped
