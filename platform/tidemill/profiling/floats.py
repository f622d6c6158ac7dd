"""Floats in JSON documents: exact, and legal JSON where a figure is not finite."""

from __future__ import annotations

import math

__all__ = ["from_document", "to_document"]


def to_document(number: float) -> float | str | None:
    """A float as JSON can hold it: NaN becomes null, infinities become texts.

    >>> [to_document(x) for x in (0.1, float("nan"), float("inf"))]
    [0.1, None, 'inf']
    """
    if math.isnan(number):
        return None
    return float(number) if math.isfinite(number) else str(float(number))


def from_document(value: float | str | None) -> float:
    """Read what :func:`to_document` wrote."""
    return math.nan if value is None else float(value)
