"""Which encoded columns stay: those that vary, and of two that correlate the earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import add
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tidemill.contracts import Comoments, EncodedColumn, FloatMatrix, Parameter, TrainingColumns

__all__ = ["CORRELATED_COLUMNS", "SelectStep", "copies", "correlated", "still"]

_DIGITS = 9

#: Columns up to which correlations are computed: n x n numbers, 128 MB of these.
CORRELATED_COLUMNS = 4_000


class SelectStep:
    """Leaves out columns that hardly vary, and of two that correlate the later one."""

    settings: ClassVar[Mapping[str, Parameter]] = {}
    section: ClassVar[tuple[str, ...]] = ("min_variance", "max_correlation")
    takes_missing: ClassVar[bool] = True
    fills_missing: ClassVar[bool] = False
    only_drops: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ()

    def __init__(self, min_variance: float = 0.0, max_correlation: float = 1.0) -> None:
        self._min_variance, self._max_correlation = min_variance, max_correlation
        self._by_hash = False

    def fit(self, training: TrainingColumns) -> Mapping[str, str]:
        """Look at variances, then at correlations; of many columns only for copies."""
        dropped = still(training.columns, self._min_variance)
        left = training.without(dropped)
        if self._max_correlation < 1.0 and left.names:
            self._by_hash = len(left.names) > CORRELATED_COLUMNS
            dropped |= (
                copies(left.names, left.fold(column_hashes, add, label="hashes of columns"))
                if self._by_hash
                else correlated(left.moments(), self._max_correlation)
            )
        return dropped

    def names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those that stay."""
        return names

    def transform(self, matrix: FloatMatrix) -> FloatMatrix:
        """What stays is as it was."""
        return matrix

    def explain(self) -> Mapping[str, Any]:
        """By what columns were compared: ``correlation``, or of more than 4,000 ``copies``."""
        return {"redundancy": "copies" if self._by_hash else "correlation"}

    def state(self) -> Mapping[str, Any]:
        """Nothing: the reducer knows which columns stay."""
        return {}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:  # noqa: ARG003
        """As any other."""
        return cls()


def still(columns: Sequence[EncodedColumn], min_variance: float) -> dict[str, str]:
    """Columns that do not vary by more than ``min_variance``, each with the reason.

    The variance is that of the imputed column before scaling, ``ddof=0``, as in
    scikit-learn's ``VarianceThreshold``.
    """
    dropped = {}
    for column in columns:
        if column.variance <= min_variance:
            dropped[column.name] = f"variance {column.variance:.6g} is not over {min_variance:.6g}"
    return dropped


def correlated(moments: Comoments, max_correlation: float) -> dict[str, str]:
    """Columns that correlate by more than ``max_correlation`` with an earlier one that stays.

    >>> from tidemill.profiling import Moments
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


def column_hashes(matrix: FloatMatrix, seed: int) -> npt.NDArray[np.uint64]:
    """A hash of the values of each column of a block, (n_columns,) uint64.

    Columns of equal values hash alike, others but for one in 2^64. The sum, modulo 2^64, of every
    value's bits times a number that its row gives: those of blocks add up, in whatever order.
    """
    matrix = matrix + 0.0  # -0 is 0
    matrix[np.isnan(matrix)] = np.nan  # of one kind
    hashes = np.zeros(matrix.shape[1], np.uint64)
    by_row = np.random.default_rng(seed).integers(1, 2**64, len(matrix), np.uint64)
    for bits, weight in zip(matrix.view(np.uint64), by_row, strict=True):
        # The low bits of a number are often 0, and a product has no better ones.
        hashes += (bits ^ (bits >> np.uint64(32))) * weight
    return hashes
