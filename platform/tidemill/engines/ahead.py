"""Maps, folds and streams over whatever runs one item: few items ahead of the results taken."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from functools import reduce
from itertools import islice
from types import TracebackType
from typing import Self, TypeVar

from tidemill.contracts import AHEAD, Progress
from tidemill.engines.one_thread import one_thread

__all__ = ["AheadEngine"]

Item = TypeVar("Item")
Result = TypeVar("Result")
Found = TypeVar("Found")


class AheadEngine(ABC):
    """What engines have in common whose workers are handed one item after another.

    A subclass says how many workers there are, how an item is handed to one, and which items
    are not worth it. What is promised is written at :class:`tidemill.contracts.Engine`.

    Notes
    -----
    Memory of the caller: :data:`~tidemill.contracts.AHEAD` results a worker.
    """

    @property
    @abstractmethod
    def workers(self) -> int:
        """Items that run at the same time, at most."""

    @property
    def host(self) -> str:
        """The address by which its workers reach this process."""
        return "127.0.0.1"

    @abstractmethod
    def _handing(
        self, function: Callable[[Item], Result], label: str, item_bytes: int | None
    ) -> AbstractContextManager[Callable[[Item], Future[Result]]]:
        """Ship the function; inside the block, what is returned hands an item to a worker."""

    @abstractmethod
    def close(self) -> None:
        """Free what the engine started; a later call starts it anew."""

    def _here(self, count: int | None) -> bool:
        """Whether so many items run in this process; None: nobody knows how many come."""
        del count
        return False

    def _first_done(self, waiting: Sequence[Future[Result]]) -> Future[Result]:
        """Wait until one of them is done."""
        return wait(waiting, return_when=FIRST_COMPLETED).done.pop()

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        label: str,
        progress: Progress | None = None,
        item_bytes: int | None = None,
    ) -> list[Result]:
        """Return ``[function(item) for item in items]``, in order; see ``Engine.map``.

        Raises
        ------
        WorkerLost
            If a worker died; a retry finds others.
        BudgetExceeded
            If a worker has no room for ``item_bytes``.
        """
        here = self._here(len(items))
        found = self._found(function, items, label, here=here, item_bytes=item_bytes)
        results = dict(_told(found, len(items), progress))
        return [results[index] for index in range(len(items))]

    def fold(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        merge: Callable[[Result, Result], Result],
        *,
        label: str,
        progress: Progress | None = None,
    ) -> Result:
        """Return ``reduce(merge, map(function, items))``, from left to right; see ``Engine.fold``.

        Raises
        ------
        ValueError
            If there are no items.
        WorkerLost
            If a worker died; a retry finds others.
        """
        if not len(items):
            raise ValueError(f"{label}: nothing to fold")
        here = self._here(len(items))
        found = self._found(function, items, label, here=here, in_order=True)
        return reduce(merge, (result for _, result in _told(found, len(items), progress)))

    def stream(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        label: str,
        at_once: int | None = None,
        item_bytes: int | None = None,
    ) -> Generator[tuple[int, Result], None, None]:
        """Yield ``(index, result)`` of each item as it is done; see ``Engine.stream``.

        Raises
        ------
        WorkerLost
            If a worker died; a retry finds others.
        BudgetExceeded
            If a worker has no room for ``item_bytes``.
        """
        here = self._here(None)
        yield from self._found(
            function, items, label, here=here, at_once=at_once, item_bytes=item_bytes
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _found(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        label: str,
        *,
        here: bool,
        in_order: bool = False,
        at_once: int | None = None,
        item_bytes: int | None = None,
    ) -> Iterator[tuple[int, Result]]:
        if here:
            yield from enumerate(_one_by_one(function, items))
            return
        todo = iter(enumerate(items))
        waiting: dict[Future[Result], int] = {}
        with self._handing(function, label, item_bytes) as hand_out:
            try:
                while True:
                    # Workers may come and go while it runs.
                    room = min(AHEAD * self.workers, at_once or AHEAD * self.workers)
                    for index, item in islice(todo, max(0, room - len(waiting))):
                        waiting[hand_out(item)] = index
                    if not waiting:
                        return
                    future = self._first_done([next(iter(waiting))] if in_order else [*waiting])
                    result = future.result()
                    yield waiting.pop(future), result
                    del future, result  # or this one would be held while the next is awaited
            finally:
                for future in waiting:
                    future.cancel()


def _one_by_one(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    for item in items:
        with one_thread():  # as in a worker
            result = function(item)
        yield result
        del result


def _told(results: Iterable[Found], total: int, progress: Progress | None) -> Iterator[Found]:
    for finished, result in enumerate(results, start=1):
        if progress is not None:
            progress(finished, total)
        yield result
        del result
