"""What runs functions over items."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from tidemill.contracts.partials import Progress

__all__ = ["AHEAD", "Engine", "Metered", "WorkerCosts"]

AHEAD = 4
"""Items a worker that an engine may begin before their results are taken."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@runtime_checkable
class Engine(Protocol):
    """Runs one function over many items: all that tidemill asks of a machine or a cluster.

    ``tidemill.testing.engines`` has a test for each of these clauses, and an engine that breaks it.

    The items
        A function and its items must be picklable (a module-level function or a
        ``functools.partial`` of one); where there is one worker they need not be.
    One thread
        While a function runs, BLAS has one thread, whatever the door and the number of workers:
        equal bytes rest on it.
    An item may run twice
        After a loss or for speed, so a function must do the same again, and write whole or not at
        all. Its result counts once: in the list, the fold, the stream and the progress.
    Constants once
        The function with all that is bound to it (a model, a listing, a reducer) is shipped once
        to a worker, not with each item. It is kept between items, and must not remember any.
    What workers see
        The packages of the caller, in the same versions, and whatever the arguments address.
        Nothing that the caller has set in its own process since.
    Errors
        The first error stops the work and is raised: its type, message, remedy and fields are
        those that the function raised. A worker that dies is ``WorkerLost``.
    Cancelling
        After an error, also one of ``progress`` or ``merge``, and when the caller leaves a stream,
        nothing more begins beyond what has been handed out. The engine remains usable.
    Bounded
        Of a fold or a stream at most :data:`AHEAD` items a worker are begun whose results have not
        been taken: the caller's memory does not grow with the items.
    At once
        Threads may call it at once; they share the workers, and each gets what it asked for.
    """

    @property
    def workers(self) -> int:
        """Items that run at the same time, at most; at least 1. No result depends on it."""

    @property
    def host(self) -> str:
        """The address by which its workers reach this process; 127.0.0.1 where all are here."""

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        label: str,
        progress: Progress | None = None,
        item_bytes: int | None = None,
    ) -> list[Result]:
        """Return ``[function(item) for item in items]``, in the order of ``items``.

        Memory: all results. ``item_bytes``, and ``BudgetExceeded``, as of :meth:`stream`.
        """

    def fold(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        merge: Callable[[Result, Result], Result],
        *,
        label: str,
        progress: Progress | None = None,
    ) -> Result:
        """Return ``reduce(merge, map(function, items))``: merged from left to right, here.

        The order of the merges is part of the promise, since sums depend on it. ``merge`` need not
        be picklable. Memory: what is merged, and :data:`AHEAD` results a worker.

        Raises
        ------
        ValueError
            If there are no items.
        """

    def stream(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        label: str,
        at_once: int | None = None,
        item_bytes: int | None = None,
    ) -> Generator[tuple[int, Result], None, None]:
        """Yield ``(index, result)`` of each item as it is done, in whatever order.

        With several workers the items always run in them. ``items`` are taken as there is room.

        Parameters
        ----------
        at_once : int or None
            No more items than that are taken whose results have not been: for functions that need
            much memory.
        item_bytes : int or None
            What an item holds in its worker beside the libraries, if it is much. A worker that is
            known not to have the room does not begin it.

        Raises
        ------
        BudgetExceeded
            If a worker has no room for ``item_bytes``.
        """

    def close(self) -> None:
        """Free what the engine started; again if need be. A later call starts it anew."""


@dataclass(frozen=True, slots=True)
class WorkerCosts:
    """What results cost the workers that made them; ``+`` takes two together.

    Parameters
    ----------
    cpu_seconds : float
        Of all items together.
    peak_memory_bytes : int
        The largest resident set size of one worker's process.
    """

    cpu_seconds: float
    peak_memory_bytes: int

    def __add__(self, other: WorkerCosts) -> WorkerCosts:
        peak = max(self.peak_memory_bytes, other.peak_memory_bytes)
        return WorkerCosts(self.cpu_seconds + other.cpu_seconds, peak)


@runtime_checkable
class Metered(Protocol):
    """An engine whose workers this machine does not see, so that they tell what they cost."""

    def take_costs(self) -> WorkerCosts | None:
        """What the results that were taken since the last call cost; None if nobody told.

        What ran and gave no result (an error, an attempt that was lost) is not among it.
        """
