"""How many workers a cluster has, asked no oftener than is of use."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["LOOK_SECONDS", "Attendance"]

LOOK_SECONDS = 1.0
"""How old a count may be."""


class Attendance:
    """The workers that were there a moment ago.

    Parameters
    ----------
    count : callable
        Counts them; takes up to some milliseconds.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._there, self._looked = 0, float("-inf")

    def workers(self) -> int:
        """How many there were, at most :data:`LOOK_SECONDS` ago."""
        if time.monotonic() > self._looked + LOOK_SECONDS:
            self._there = self._count()
            self._looked = time.monotonic()
        return self._there
