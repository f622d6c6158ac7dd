"""One thread writes: many jobs share a commit, and each waits until it is durable.

While a commit is flushed to the disk, the next jobs queue up; all that wait are written
together, in one commit (``committing``).
"""

from __future__ import annotations

import datetime as dt
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent import futures
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from tidemill.errors import Busy, ServiceUnavailable, StorageFailed, TidemillError
from tidemill.ledger.database import (
    Commit,
    CommitJob,
    Database,
    Group,
    JobResult,
    QueueFull,
    busy,
    database_errors,
    of_database,
    run_jobs,
    tables,
    translate,
)

__all__ = ["Writer"]

T = TypeVar("T")
_log = structlog.get_logger(__name__)

_GROUP_JOBS = 256
_GROUP_BYTES = 16 << 20
_LOG_BYTES = 128 << 20
_PROBE_BYTES = 1 << 20
_POLL_SECONDS = 1.0


class Writer:
    """The thread that writes.

    Parameters
    ----------
    store : Database
    queue_bytes : int
        Bound of what may wait; beyond it :class:`QueueFull` is raised.
    clock : callable
        Gives the time of each commit.
    reload : callable
        Reads the state in memory again from the store, after a commit whose end is unknown.
    """

    def __init__(
        self,
        database: Database,
        *,
        queue_bytes: int,
        clock: Callable[[], dt.datetime],
        reload: Callable[[Connection], None],
    ) -> None:
        self.marks: dict[str, int] = {}
        self.queue_bytes = queue_bytes
        self.failed_bytes = 0  # size of the last job that the storage refused
        self._database, self._clock, self._reload = database, clock, reload
        self._jobs: deque[CommitJob] = deque()
        self._changed = threading.Condition()
        self._held = 0
        self._rate = 20e6  # bytes a second, followed as it goes
        self._closing = False
        self._unsure = False
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self._thread = threading.Thread(target=self._loop, name="ledger-writer", daemon=True)

    def start(self) -> None:
        """Begin to take jobs off the queue, in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Write what waits, then end; nothing is taken any more."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def held_bytes(self) -> int:
        """Bytes that wait to be written or folded."""
        return self._held

    @property
    def queued(self) -> int:
        """Jobs that no commit has taken yet."""
        return len(self._jobs)

    def listen(self, callback: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call ``callback`` with the topics of every commit; returns what ends that."""
        self._listeners = [*self._listeners, callback]

        def end() -> None:
            self._listeners = [one for one in self._listeners if one is not callback]

        return end

    def submit(
        self,
        run: Callable[[Commit], T],
        *,
        cost: int = 0,
        group: Group | None = None,
        payload: Any = None,
    ) -> Future[T]:
        """Queue a job; the future has its result once it is durable.

        Raises
        ------
        QueueFull
            If ``cost`` bytes more do not fit the bound.
        """
        self._database.check_writable()
        job = CommitJob(run, cost, group, payload)
        with self._changed:
            if self._closing:
                raise busy(f"{self._database.name} is being closed", retry_after=5)
            if cost and self._held and self._held + cost > self.queue_bytes:
                raise self._full()
            self._held += cost
            self._jobs.append(job)
            self._changed.notify_all()
        return job.future

    def call(self, run: Callable[[Commit], T], *, timeout: float | None = 30.0) -> T:
        """Queue a job and wait until it is durable; see :meth:`wait`."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("the writer's own thread waits for itself")
        return self.wait(self.submit(run), timeout)

    def wait(self, future: Future[T], timeout: float | None) -> T:
        """The result of a job, once it is durable; None: however long that takes.

        Raises
        ------
        Busy
            If it is not written within ``timeout`` seconds. A job that runs by then is not
            stopped: its commit may land later.
        """
        while timeout is None and self._thread.is_alive() and not future.done():
            futures.wait([future], _POLL_SECONDS)
        seconds = 0.0 if timeout is None else timeout
        try:
            return future.result(seconds)
        except FutureTimeout as error:
            if future.done():  # the job itself raised it
                raise
            future.cancel()
            raise busy(f"{self._database.name}: not written within {seconds:g} s") from error

    def hold(self, nbytes: int) -> None:
        """Count bytes that are kept in memory beyond their commit (negative: given back)."""
        with self._changed:
            self._held += nbytes

    def _full(self) -> QueueFull:
        seconds = max(1, min(60, math.ceil(self._held / self._rate)))
        return QueueFull(
            f"{self._held >> 20} MiB wait to be written, the bound is {self.queue_bytes >> 20}",
            remedy=f"send the same again in {seconds} s",
            retry_after=seconds,
        )

    def _loop(self) -> None:
        while jobs := self._take():
            started = time.monotonic()
            cost = sum(job.cost for job in jobs)
            self._write([job for job in jobs if job.future.set_running_or_notify_cancel()])
            self.hold(-cost)
            self._bound_log()
            if cost:
                seconds = max(time.monotonic() - started, 1e-4)
                self._rate += 0.1 * (cost / seconds - self._rate)

    def _bound_log(self) -> None:
        # Only where the keeper does not keep up: with no writer beside it, it comes to an end.
        if self._database.wal_bytes() > _LOG_BYTES:
            try:
                self._database.checkpoint()
            except TidemillError as error:
                _log.warning("the log grows", error=str(error))

    def _take(self) -> list[CommitJob]:
        with self._changed:
            while not self._jobs:
                if self._closing:
                    return []
                self._changed.wait()
            taken, cost, kind = [self._jobs.popleft()], 0, None
            kind, cost = taken[0].group, taken[0].cost
            while self._jobs and len(taken) < _GROUP_JOBS and cost < _GROUP_BYTES:
                following = self._jobs[0].group
                if following is not None and kind is not None and following is not kind:
                    break
                kind = kind or following
                taken.append(self._jobs.popleft())
                cost += taken[-1].cost
            return taken

    def _write(self, jobs: list[CommitJob]) -> None:
        if not jobs:
            return
        try:
            results, commit = self._commit(jobs)
        except BaseException as error:
            self._failed(jobs, error)
            return
        topics = self._applied(commit)
        if sum(job.cost for job in jobs) >= self.failed_bytes:
            self.failed_bytes = 0
        for job, (value, failure) in zip(jobs, results, strict=True):
            if failure is None:
                job.future.set_result(value)
            else:
                job.future.set_exception(failure)
        self._tell(topics)

    def _failed(self, jobs: list[CommitJob], error: BaseException) -> None:
        known = translate(error, self._database.name) if of_database(error) else error
        away = isinstance(known, Busy | ServiceUnavailable)
        if isinstance(known, StorageFailed):
            self.failed_bytes = min(max(job.cost for job in jobs), _PROBE_BYTES)
        if len(jobs) == 1 or away or not isinstance(error, Exception):
            for job in jobs:
                job.future.set_exception(known)
            return
        for job in jobs:
            self._write([job])

    def _applied(self, commit: Commit) -> frozenset[str]:
        try:
            return commit.done()
        except Exception as error:
            # The rows are durable: read the state again rather than guess.
            _log.error("state in memory is read again", error=repr(error))
            self._unsure = True
            return frozenset()

    def _commit(self, jobs: list[CommitJob]) -> tuple[list[JobResult], Commit]:
        connection = self._database.writer()
        try:
            with database_errors(self._database.name):
                if self._unsure:
                    self._reload_marks(connection)
                with connection.begin():
                    commit = Commit(connection, self._clock(), self.marks)
                    results = run_jobs(commit, jobs)
                    commit.flush_marks()
                    self._unsure = not self._database.sqlite
                self._unsure = False
        except BaseException as error:
            if of_database(error) or (isinstance(error, TidemillError) and error.retryable):
                self._database.drop_writer()
            raise
        return results, commit

    def _reload_marks(self, connection: Connection) -> None:
        with connection.begin():
            self._reload(connection)
        self._unsure = False

    def _tell(self, topics: Iterable[str]) -> None:
        names = frozenset(topics)
        for callback in self._listeners if names else ():
            try:
                callback(names)
            except Exception as error:
                _log.warning("a listener failed", error=repr(error))

    def load_marks(self, connection: Connection) -> None:
        """Read the committed counters."""
        self.marks.clear()
        t = tables.marks
        self.marks.update(
            {row.name: row.value for row in connection.execute(sa.select(t.c.name, t.c.value))}
        )
