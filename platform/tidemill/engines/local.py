"""The engine of one machine: this process, or a pool of processes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from pathlib import Path
from typing import TypeVar

from tidemill.engines.ahead import AheadEngine
from tidemill.engines.shipping import Depot
from tidemill.errors import WorkerLost

__all__ = ["LocalEngine"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class LocalEngine(AheadEngine):
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
        self._workers = workers
        self._preload = preload
        self._depot: Depot | None = None
        self._pool: ProcessPoolExecutor | None = None
        self._guard = threading.Lock()

    @property
    def workers(self) -> int:
        """Processes at the same time; no result depends on it."""
        return self._workers

    def _here(self, count: int | None) -> bool:
        return self._workers == 1 or (count is not None and count <= 1)

    @contextmanager
    def _handing(
        self,
        function: Callable[[Item], Result],
        label: str,
        item_bytes: int | None,  # noqa: ARG002 - all workers share this machine's memory
    ) -> Iterator[Callable[[Item], Future[Result]]]:
        pool, depot = self._running_pool()
        try:
            with depot.holding(function) as shipment:
                yield lambda item: pool.submit(shipment, item)
        except BrokenProcessPool as exc:
            self._discard(pool)
            raise _lost(label) from exc

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

    def _running_pool(self) -> tuple[ProcessPoolExecutor, Depot]:
        with self._guard:
            if self._depot is None:
                self._depot = Depot()
            if self._pool is None:
                context = multiprocessing.get_context("forkserver")
                context.set_forkserver_preload(["tidemill.engines.local", *self._preload])
                self._pool = ProcessPoolExecutor(
                    self._workers,
                    mp_context=context,
                    initializer=_end_with_parent,
                    initargs=(self._depot.folder,),
                )
            return self._pool, self._depot


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
