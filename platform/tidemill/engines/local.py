"""The engine of one machine: this process, or a pool of processes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import reduce
from itertools import islice
from multiprocessing import connection
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from tidemill.contracts import AHEAD, Progress
from tidemill.engines.shipping import Depot
from tidemill.errors import WorkerLost

__all__ = ["LocalEngine"]

Item = TypeVar("Item")
Result = TypeVar("Result")
Found = TypeVar("Found")


class LocalEngine:
    """Maps in this process (``workers=1``) or over a pool of worker processes.

    The pool starts when it is needed and serves all later calls; its workers end when the
    parent does, even when the parent is killed. What it promises is written at
    :class:`tidemill.contracts.Engine`.

    Parameters
    ----------
    workers : int
    preload : tuple of str
        Modules that workers find already imported.

    Notes
    -----
    Memory: what the function needs, once per worker, with the two functions that it had last.
    """

    def __init__(self, workers: int = 1, *, preload: tuple[str, ...] = ()) -> None:
        self.workers = workers
        self._preload = preload
        self._depot: Depot | None = None
        self._pool: ProcessPoolExecutor | None = None
        self._guard = threading.Lock()

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        label: str,
        progress: Progress | None = None,
    ) -> list[Result]:
        """Return ``[function(item) for item in items]``, in order; see ``Engine.map``.

        Raises
        ------
        WorkerLost
            If a worker process died; a retry gets a new pool.
        """
        if self._here(items):
            return list(_told(_one_by_one(function, items), len(items), progress))
        found = self._in_pool(function, items, label, ahead=AHEAD * self.workers)
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
            If a worker process died; a retry gets a new pool.
        """
        if not len(items):
            raise ValueError(f"{label}: nothing to fold")
        if self._here(items):
            return reduce(merge, _told(_one_by_one(function, items), len(items), progress))
        found = self._in_pool(function, items, label, ahead=AHEAD * self.workers, in_order=True)
        return reduce(merge, (result for _, result in _told(found, len(items), progress)))

    def stream(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        label: str,
        at_once: int | None = None,
    ) -> Generator[tuple[int, Result], None, None]:
        """Yield ``(index, result)`` of each item as it is done; see ``Engine.stream``.

        Raises
        ------
        WorkerLost
            If a worker process died; a retry gets a new pool.
        """
        if self.workers == 1:
            yield from enumerate(_one_by_one(function, items))
            return
        ahead = AHEAD * self.workers
        yield from self._in_pool(function, items, label, ahead=min(ahead, at_once or ahead))

    def _here(self, items: Sequence[Any]) -> bool:
        return self.workers == 1 or len(items) <= 1

    def _in_pool(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        label: str,
        *,
        ahead: int,
        in_order: bool = False,
    ) -> Iterator[tuple[int, Result]]:
        """Hand out ``ahead`` items at most whose results have not been taken."""
        pool, depot = self._running_pool()
        todo = iter(enumerate(items))
        waiting: dict[Future[Result], int] = {}
        try:
            with depot.holding(function) as shipment:
                while True:
                    for index, item in islice(todo, ahead - len(waiting)):
                        waiting[pool.submit(shipment, item)] = index
                    if not waiting:
                        return
                    future = next(iter(waiting)) if in_order else _first_done(waiting)
                    result = future.result()
                    yield waiting.pop(future), result
                    del future, result  # or this one would be held while the next is awaited
        except BrokenProcessPool as exc:
            self._discard(pool)
            raise _lost(label) from exc
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """End the workers; a later map starts new ones."""
        with self._guard:
            pool, self._pool = self._pool, None
            depot, self._depot = self._depot, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
        if depot is not None:
            depot.close()

    def _discard(self, pool: ProcessPoolExecutor) -> None:
        # Of the threads that found it broken one shuts it down; the others may meet a new pool.
        with self._guard:
            if self._pool is not pool:
                return
            self._pool = None
        pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _running_pool(self) -> tuple[ProcessPoolExecutor, Depot]:
        with self._guard:
            if self._depot is None:
                self._depot = Depot()
            if self._pool is None:
                context = multiprocessing.get_context("forkserver")
                context.set_forkserver_preload(["tidemill.engines.local", *self._preload])
                self._pool = ProcessPoolExecutor(
                    self.workers,
                    mp_context=context,
                    initializer=_end_with_parent,
                    initargs=(self._depot.folder,),
                )
            return self._pool, self._depot


def _one_by_one(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    from threadpoolctl import ThreadpoolController

    libraries = ThreadpoolController()  # takes some milliseconds
    for item in items:
        # One thread, as in a worker: sums must not depend on where they are made.
        with libraries.limit(limits=1):
            result = function(item)
        yield result
        del result


def _told(results: Iterable[Found], total: int, progress: Progress | None) -> Iterator[Found]:
    for finished, result in enumerate(results, start=1):
        if progress is not None:
            progress(finished, total)
        yield result
        del result


def _first_done(waiting: Iterable[Future[Result]]) -> Future[Result]:
    return wait(waiting, return_when=FIRST_COMPLETED).done.pop()


def _lost(label: str) -> WorkerLost:
    return WorkerLost(
        f"a worker process died during {label}",
        remedy="run the same command again; if it happens again, there may be too little "
        "memory: set TIDEMILL_WORKERS=1",
        label=label,
    )


def _end_with_parent(folder: Path) -> None:
    """Watch for the parent's death: a killed run must not leave workers behind."""
    # Each worker computes in one thread, so that results and speed do not depend on how
    # many of them share the cores.
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    # os.getppid() is the fork server, which lives as long as a worker does; this is the
    # process that made the pool, and its sentinel is ready the moment that one is gone.
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
