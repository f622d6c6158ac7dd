"""The merge of many partials."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from tidemill.contracts import Partial

__all__ = ["fold", "merge"]

P = TypeVar("P", bound=Partial)


def merge(a: P, b: P) -> P:
    """Merge two partials: what ``Engine.fold`` takes for the partials of items."""
    return a.merge(b)


def fold(partials: Iterable[P]) -> P:
    """Merge partials from left to right; memory is one partial and the next.

    Raises
    ------
    ValueError
        If there are none: a kind of partial without rows has no type to return.

    >>> import numpy as np
    >>> from tidemill.profiling import Moments
    >>> parts = [Moments.of(np.array([[x]]), ("fare",)) for x in (1.0, 2.0, 6.0)]
    >>> fold(parts).mean
    array([3.])
    """
    rest = iter(partials)
    try:
        merged = next(rest)
    except StopIteration:
        raise ValueError("fold needs at least one partial") from None
    for partial in rest:
        merged = merge(merged, partial)
    return merged
