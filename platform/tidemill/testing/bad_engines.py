# ruff: noqa: ARG002 - what an engine is told and does not need
"""The simplest engine, and for each clause of the contract one that breaks it.

A contract suite that a bad engine passes is none: :data:`BAD_ENGINES` names, for each test of
``EngineContract``, an engine that must fail it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial, reduce
from multiprocessing import get_context
from typing import Any

from threadpoolctl import threadpool_limits

from tidemill.contracts import Progress
from tidemill.errors import StorageFailed, TidemillError

__all__ = ["BAD_ENGINES", "PlainEngine"]

Call = Callable[[Any], Any]
Stream = Generator[tuple[int, Any], None, None]


class PlainEngine:
    """All that the contract asks, one item after another in this process."""

    workers = 1
    host = "127.0.0.1"

    def call(self, function: Call, item: Any) -> Any:
        """One item."""
        with threadpool_limits(1):
            return function(item)

    def map(
        self,
        function: Call,
        items: Sequence[Any],
        *,
        label: str,
        progress: Progress | None = None,
        item_bytes: int | None = None,
    ) -> list[Any]:
        """A list of all results."""
        return list(self._told(function, items, label, progress))

    def fold(
        self,
        function: Call,
        items: Sequence[Any],
        merge: Callable[[Any, Any], Any],
        *,
        label: str,
        progress: Progress | None = None,
    ) -> Any:
        """All results merged, from left to right."""
        if not len(items):
            raise ValueError(f"{label}: nothing to fold")
        return reduce(merge, self._told(function, items, label, progress))

    def stream(
        self,
        function: Call,
        items: Iterable[Any],
        *,
        label: str,
        at_once: int | None = None,
        item_bytes: int | None = None,
    ) -> Stream:
        """Each result with its place."""
        for index, item in enumerate(items):
            yield index, self.call(function, item)

    def close(self) -> None:
        """Nothing was started."""

    def _told(
        self, function: Call, items: Sequence[Any], label: str, progress: Progress | None
    ) -> Iterator[Any]:
        for finished, (_, result) in enumerate(self.stream(function, items, label=label), start=1):
            if progress is not None:
                progress(finished, len(items))
            yield result
            del result


class _WithoutWorkers(PlainEngine):
    workers = 0


class _AsTheyFinish(PlainEngine):
    def map(self, function: Call, items: Sequence[Any], **told: Any) -> list[Any]:
        return super().map(function, items[::-1], **told)


class _NothingIsNone(PlainEngine):
    def fold(self, function: Call, items: Sequence[Any], merge: Any, **told: Any) -> Any:
        return super().fold(function, items, merge, **told) if items else None


class _ListsOnly(PlainEngine):
    def map(self, function: Call, items: Sequence[Any], **told: Any) -> list[Any]:
        return super().map(function, items[:].copy(), **told)  # type: ignore[attr-defined]


class _ProgressAtTheEnd(PlainEngine):
    def map(
        self, function: Call, items: Any, *, progress: Progress | None = None, **told: Any
    ) -> list[Any]:
        results = super().map(function, items, **told)
        if progress is not None:
            progress(len(items), len(items))
        return results


class _MergesPairs(PlainEngine):
    """Merges as a tree does: another sum of floats."""

    def fold(self, function: Call, items: Any, merge: Any, **told: Any) -> Any:
        results = self.map(function, items, **told)
        while len(results) > 1:
            pairs = [results[at : at + 2] for at in range(0, len(results), 2)]
            results = [reduce(merge, pair) for pair in pairs]
        if not results:
            raise ValueError("nothing to fold")
        return results[0]


class _StreamsPlacesOfNone(PlainEngine):
    def stream(self, *given: Any, **told: Any) -> Stream:
        for _, result in super().stream(*given, **told):
            yield 0, result


class _TakesAllItems(PlainEngine):
    def stream(self, function: Call, items: Any, **told: Any) -> Stream:
        yield from super().stream(function, list(items), **told)


class _ForgetsTheLimit(PlainEngine):
    """Takes two items at a time whatever was asked."""

    def stream(self, function: Call, items: Any, **told: Any) -> Stream:
        first = 0
        rest = iter(items)
        while pair := [item for item, _ in zip(rest, range(2), strict=False)]:
            yield from ((first + at, self.call(function, item)) for at, item in enumerate(pair))
            first += len(pair)


class _FoldsAList(PlainEngine):
    def fold(self, function: Call, items: Any, merge: Any, **told: Any) -> Any:
        results = self.map(function, items, **told)
        if not results:
            raise ValueError("nothing to fold")
        return reduce(merge, results)


class _FoldsFromAHeap(PlainEngine):
    """Begins all, and holds packed what it has not merged."""

    def fold(
        self, function: Call, items: Any, merge: Any, *, label: str, progress: Any = None
    ) -> Any:
        packed = [pickle.dumps(one) for one in self._told(function, items, label, progress)]
        return reduce(merge, map(pickle.loads, packed))


class _ManyThreads(PlainEngine):
    def call(self, function: Call, item: Any) -> Any:
        with threadpool_limits(2):
            return function(item)


class _ShipsWithEachItem(PlainEngine):
    def call(self, function: Call, item: Any) -> Any:
        packed = pickle.dumps((function, item))
        function, item = pickle.loads(packed)  # noqa: S301 - its own
        return super().call(function, item)


class _OtherPackages(PlainEngine):
    def call(self, function: Call, item: Any) -> Any:
        import tidemill

        kept = tidemill.__version__
        try:
            tidemill.__version__ = "0.0.1"
            return super().call(function, item)
        finally:
            tidemill.__version__ = kept


class _TellsTextsOfErrors(PlainEngine):
    def call(self, function: Call, item: Any) -> Any:
        try:
            return super().call(function, item)
        except TidemillError as error:
            raise type(error)(str(error), remedy="look at the log") from None


class _LosesWorkers(PlainEngine):
    """Says of a dead worker what its library says."""

    def call(self, function: Call, item: Any) -> Any:
        with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as pool:
            return pool.submit(function, item).result()


class _WrapsErrors(PlainEngine):
    def call(self, function: Call, item: Any) -> Any:
        try:
            return super().call(function, item)
        except ArithmeticError as error:
            raise RuntimeError(str(error)) from error


class _GoesOn(PlainEngine):
    """Raises when all else is done."""

    def stream(self, function: Call, items: Any, **told: Any) -> Stream:
        first = None
        results = []
        for index, item in enumerate(items):
            try:
                results.append((index, self.call(function, item)))
            except Exception as error:
                first = first or error
        if first is not None:
            raise first
        yield from results


class _TriesAgain(PlainEngine):
    """Begins the list again after an error that a retry can help, and tells of all that came."""

    def _told(self, *given: Any) -> Iterator[Any]:
        try:
            yield from super()._told(*given)
        except StorageFailed:
            yield from super()._told(*given)


class _OneAtATime(PlainEngine):
    """Keeps what belongs to a call in the engine."""

    def call(self, function: Call, item: Any) -> Any:
        self._call = partial(super().call, function, item)
        import time

        time.sleep(0.002)
        return self._call()


class _StopsOnce(PlainEngine):
    """Cannot be used after an error."""

    _broken = False

    def call(self, function: Call, item: Any) -> Any:
        if self._broken:
            raise RuntimeError("it is broken")
        try:
            return super().call(function, item)
        except BaseException:
            self._broken = True
            raise


class _ClosesForGood(PlainEngine):
    _closed = False

    def call(self, function: Call, item: Any) -> Any:
        if self._closed:
            raise RuntimeError("it is closed")
        return super().call(function, item)

    def close(self) -> None:
        self._closed = True


class _Elsewhere(PlainEngine):
    """Names an address at which nobody is."""

    host = "192.0.2.1"  # of documentation: no machine has it


BAD_ENGINES: dict[str, type[PlainEngine]] = {
    "test_it_is_an_engine": _WithoutWorkers,
    "test_workers_reach_its_host": _Elsewhere,
    "test_results_keep_the_order_of_items": _AsTheyFinish,
    "test_no_items_no_results": _NothingIsNone,
    "test_any_sequence_will_do": _ListsOnly,
    "test_progress_counts_every_item_once": _ProgressAtTheEnd,
    "test_a_fold_merges_from_left_to_right": _MergesPairs,
    "test_a_stream_has_every_item_once": _StreamsPlacesOfNone,
    "test_a_stream_takes_items_as_there_is_room": _TakesAllItems,
    "test_a_stream_holds_to_its_limit": _ForgetsTheLimit,
    "test_a_fold_holds_few_results": _FoldsAList,
    "test_a_fold_begins_few_items": _FoldsFromAHeap,
    "test_one_thread_a_worker": _ManyThreads,
    "test_constants_are_shipped_once_a_worker": _ShipsWithEachItem,
    "test_workers_see_the_same_packages": _OtherPackages,
    "test_an_error_keeps_type_remedy_and_fields": _TellsTextsOfErrors,
    "test_a_foreign_error_keeps_its_type": _WrapsErrors,
    "test_a_lost_worker_is_told": _LosesWorkers,
    "test_an_error_stops_the_work": _GoesOn,
    "test_an_error_of_the_caller_stops_the_work": _GoesOn,
    "test_leaving_a_stream_stops_the_work": _GoesOn,
    "test_a_map_after_an_error_works": _StopsOnce,
    "test_an_item_that_runs_twice_counts_once": _TriesAgain,
    "test_threads_may_call_it_at_once": _OneAtATime,
    "test_it_may_be_closed_again_and_used_again": _ClosesForGood,
}
"""By the test of the contract suite that it fails."""
