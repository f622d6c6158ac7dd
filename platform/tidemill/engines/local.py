"""The engine of one machine: this process, or a pool of processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from types import TracebackType
from typing import TypeVar

from tidemill.contracts import Progress
from tidemill.errors import WorkerLost

__all__ = ["LocalEngine"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class LocalEngine:
    """Maps in this process (``workers=1``) or over a pool of worker processes.

    The pool starts at the first map and serves all later ones; its workers end when the
    parent does, even when the parent is killed.

    Parameters
    ----------
    workers : int
    preload : tuple of str
        Modules that workers find already imported.

    Notes
    -----
    Memory: what the function needs, once per worker.
    """

    def __init__(self, workers: int = 1, *, preload: tuple[str, ...] = ()) -> None:
        self.workers = workers
        self._preload = preload
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
        if self.workers == 1 or len(items) <= 1:
            return _map_here(function, items, progress)
        return self.map_in_pool(function, items, label=label, progress=progress)

    def map_in_pool(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        label: str,
        progress: Progress | None = None,
    ) -> list[Result]:
        """Like :meth:`map`, always in the worker processes; several threads may call it at once.

        Raises
        ------
        WorkerLost
            If a worker process died; a retry gets a new pool.
        """
        pool = self._running_pool()
        futures: list[Future[Result]] = []
        try:
            futures = [pool.submit(function, item) for item in items]
            for finished, future in enumerate(as_completed(futures), start=1):
                future.result()
                if progress is not None:
                    progress(finished, len(items))
        except BrokenProcessPool as exc:
            self._discard(pool)
            raise _lost(label) from exc
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        return [future.result() for future in futures]

    def stream(
        self, function: Callable[[Item], Result], items: Sequence[Item], *, label: str
    ) -> Iterator[tuple[int, Result]]:
        """Yield ``(index, function(items[index]))`` as each is done, in whatever order.

        For callers that must put each result away at once. The rest is as for ``map``; a
        caller that stops early cancels what has not begun.
        """
        if self.workers == 1:
            for index, item in enumerate(items):
                yield index, function(item)
            return
        pool = self._running_pool()
        futures: dict[Future[Result], int] = {}
        try:
            futures = {pool.submit(function, item): i for i, item in enumerate(items)}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as exc:
            self._discard(pool)
            raise _lost(label) from exc
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """End the workers; a later map starts new ones."""
        with self._guard:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

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

    def _running_pool(self) -> ProcessPoolExecutor:
        with self._guard:
            if self._pool is None:
                context = multiprocessing.get_context("forkserver")
                context.set_forkserver_preload(["tidemill.engines.local", *self._preload])
                self._pool = ProcessPoolExecutor(
                    self.workers, mp_context=context, initializer=_end_with_parent
                )
            return self._pool


def _map_here(
    function: Callable[[Item], Result], items: Sequence[Item], progress: Progress | None
) -> list[Result]:
    from threadpoolctl import threadpool_limits

    results = []
    # One thread, as in a worker: sums must not depend on where they are made.
    with threadpool_limits(1):
        for finished, item in enumerate(items, start=1):
            results.append(function(item))
            if progress is not None:
                progress(finished, len(items))
    return results


def _lost(label: str) -> WorkerLost:
    return WorkerLost(
        f"a worker process died during {label}",
        remedy="run the same command again; if it happens again, there may be too little "
        "memory: set TIDEMILL_WORKERS=1",
        label=label,
    )


def _end_with_parent() -> None:
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
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
