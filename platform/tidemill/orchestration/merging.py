"""Results that several threads bring, merged in the order of their items."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Generic, TypeVar

from tidemill.contracts import Progress

__all__ = ["Merging"]

Result = TypeVar("Result")


class Merging(Generic[Result]):
    """Merges from left to right, and lets nobody run far ahead.

    Parameters
    ----------
    merge : callable
        Called by one thread at a time.
    total : int
        Results that are awaited.
    ahead : int
        So many results may wait for those before them.
    progress : Progress or None

    Notes
    -----
    Memory: what is merged, ``ahead`` results, and one a thread.
    """

    def __init__(
        self,
        merge: Callable[[Result, Result], Result],
        total: int,
        *,
        ahead: int,
        progress: Progress | None = None,
    ) -> None:
        self._merge = merge
        self._total = total
        self._ahead = ahead
        self._progress = progress
        self._merged: list[Result] = []
        self._next = 0
        self._finished = 0
        self._waiting: dict[int, Result] = {}
        self._stopped = False
        self._changed = threading.Condition()

    def awaits(self, index: int) -> bool:
        """Whether the item must run: wait until it may; False if it has been brought already.

        Raises
        ------
        CancelledError
            If the work has been stopped.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or index < self._next + self._ahead)
            self._refuse_stopped()
            return index >= self._next and index not in self._waiting

    def put(self, index: int, result: Result) -> None:
        """Bring the result of an item that was awaited."""
        with self._changed:
            self._refuse_stopped()
            self._waiting[index] = result
            del result
            self._finished += 1
            if self._progress is not None:
                self._progress(self._finished, self._total)
            while self._next in self._waiting:
                self._take(self._waiting.pop(self._next))
                self._next += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Let those who wait go: the work has failed."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def result(self) -> Result:
        """What all results came to."""
        (merged,) = self._merged
        return merged

    def _take(self, result: Result) -> None:
        if self._merged:
            result = self._merge(self._merged.pop(), result)
        self._merged.append(result)

    def _refuse_stopped(self) -> None:
        if self._stopped:
            raise CancelledError("another part of this work failed")
