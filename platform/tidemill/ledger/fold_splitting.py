"""Rows of which some cannot be folded: found by halving, so that the others are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["MAX_CALLS", "Halved", "fold_halves"]

MAX_CALLS = 4096
"""Calls of the folding for one run of rows; about ten seconds of small ones."""

T = TypeVar("T")


@dataclass(slots=True)
class Halved(Generic[T]):
    """What came of rows that could not be folded all at once.

    Parameters
    ----------
    parts : list
        Of the rows that could be.
    lost : list of (int, int)
        Half-open ranges of those that could not; of one row each, unless the calls ran out.
    error : str
        What the last of them said.
    """

    parts: list[T] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)
    error: str = ""

    @property
    def lost_rows(self) -> int:
        """How many rows could not be folded."""
        return sum(stop - start for start, stop in self.lost)


def fold_halves(
    fold: Callable[[int, int], Sequence[T]], rows: int, *, max_calls: int = MAX_CALLS
) -> Halved[T]:
    """Fold ``rows`` rows, halving what raises until single rows are left.

    Parameters
    ----------
    fold : callable
        Folds the rows ``[start, stop)``; what it raises is laid to these rows.
    rows : int
    max_calls : int
        After so many calls a range that raises is given up whole, so that rows of which none can
        be folded do not keep the others waiting.

    Notes
    -----
    n bad rows cost about ``2 n log2(rows)`` calls.

    >>> from math import sqrt
    >>> values = [4.0, 9.0, -1.0, 16.0]
    >>> found = fold_halves(lambda start, stop: [sum(map(sqrt, values[start:stop]))], 4)
    >>> found.parts, found.lost
    ([5.0, 4.0], [(2, 3)])
    """
    found: Halved[T] = Halved()
    waiting = [(0, rows)] if rows else []
    calls = 0
    while waiting:
        start, stop = waiting.pop()
        calls += 1
        try:
            found.parts += fold(start, stop)
        except Exception as error:
            found.error = repr(error)
            middle = (start + stop) // 2
            if stop - start > 1 and calls < max_calls:
                waiting += [(middle, stop), (start, middle)]
            else:
                found.lost.append((start, stop))
    return found
