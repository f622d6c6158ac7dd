"""The engine of Spark: on this machine, or on the cluster at a standalone master's address."""

from __future__ import annotations

import pickle
import socket
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import Broadcast, SparkContext

from tidemill.engines.ahead import AheadEngine
from tidemill.engines.attendance import LOOK_SECONDS, Attendance
from tidemill.engines.one_thread import one_thread
from tidemill.engines.shipping import kept_function
from tidemill.engines.spark_driver import SparkDriver
from tidemill.errors import ServiceUnavailable, TidemillError, UsageError, WorkerLost
from tidemill.storage import hash_bytes

__all__ = ["SparkEngine"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_THREADS = 10_000


class SparkEngine(AheadEngine):
    """Maps over the executors of a Spark application, a job of one task for each item.

    It starts when it is first needed, once a process: Spark allows no second one. An executor or
    worker process that dies is Spark's affair: it tries the item elsewhere, and an error comes
    only after four failures. What it promises is written at
    :class:`tidemill.contracts.Engine`.

    Parameters
    ----------
    workers : int
        Processes without an address. With one: for how many work is handed out at least.
    preload : tuple of str
        Not used: a worker imports what its first item needs, and keeps it.
    address : str or None
        ``host:port`` of a standalone master; None means this machine.
    wait_seconds : float
        How long the master may be away, and the application without any executor.

    Notes
    -----
    Memory of the caller: :data:`~tidemill.contracts.AHEAD` results a worker, a thread for each,
    and a JVM, which holds the functions of the maps that run.
    """

    def __init__(
        self,
        workers: int = 1,
        *,
        preload: tuple[str, ...] = (),
        address: str | None = None,
        wait_seconds: float = 120.0,
    ) -> None:
        del preload
        self._least = workers
        self._address = address
        self._wait_seconds = wait_seconds
        self._driver: SparkDriver | None = None
        self._attendance = Attendance(self._count)
        self._guard = threading.Lock()

    @property
    def workers(self) -> int:
        """Cores that were there a second ago, and no fewer than were asked for."""
        return max(self._least, self._attendance.workers())

    @property
    def host(self) -> str:
        """The address at which executors reach the driver, which is in this process."""
        context, _ = self._connected()
        return socket.gethostbyname(context.getConf().get("spark.driver.host", "127.0.0.1"))

    def close(self) -> None:
        """End the application, and its JVM."""
        with self._guard:
            self._end()

    @contextmanager
    def _handing(
        self,
        function: Callable[[Item], Result],
        label: str,
        item_bytes: int | None,  # noqa: ARG002 - Spark does not bound its Python processes
    ) -> Iterator[Callable[[Item], Future[Result]]]:
        content = pickle.dumps(function)
        context, threads = self._connected()
        name, group = hash_bytes(content), uuid.uuid4().hex
        with _told_as_lost(label):
            shipped = context.broadcast(content)
            row = context.parallelize([None], 1)  # it says nothing, so that one task runs
        del content

        def run(item: bytes) -> Result:
            with _told_as_lost(label):
                context.setJobGroup(group, label)
                [told] = context.runJob(row, partial(_run, shipped, name, item))
            done, found = pickle.loads(told)  # noqa: S301 - of this application's worker
            if not done:
                raise found
            return found  # type: ignore[no-any-return]

        try:
            yield lambda item: threads.submit(run, pickle.dumps(item))
        finally:
            with suppress(Py4JError, OSError):
                context.cancelJobGroup(group)
                shipped.destroy()

    def _first_done(self, waiting: Sequence[Future[Result]]) -> Future[Result]:
        seen = time.monotonic()
        while True:
            done = wait(waiting, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED).done
            if done:
                return done.pop()
            # Spark itself waits for ever, and says nothing, where nobody works.
            if self._address is None or self._attendance.workers():
                seen = time.monotonic()
            elif time.monotonic() > seen + self._wait_seconds:
                raise ServiceUnavailable(
                    f"Spark at {self._address} has had no executor for us for "
                    f"{self._wait_seconds:g} seconds",
                    remedy="start workers with a core and 1 GiB to spare (spark-class "
                    f"org.apache.spark.deploy.worker.Worker spark://{self._address}); if some "
                    "run, see in their logs whether they reach this machine (SPARK_LOCAL_IP)",
                    address=self._address,
                )

    def _count(self) -> int:
        driver = self._driver
        return driver.cores() if driver is not None else 0

    def _connected(self) -> tuple[SparkContext, ThreadPoolExecutor]:
        with self._guard:
            if self._driver is not None and not self._driver.alive:
                self._end()
            if self._driver is None:
                self._driver = SparkDriver(
                    self._least, self._address, wait_seconds=self._wait_seconds
                )
                # One waits for each item that was handed out.
                self._threads = ThreadPoolExecutor(_MOST_THREADS, "spark-item")
            return self._driver.context, self._threads

    def _end(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()
            self._threads.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _told_as_lost(label: str) -> Iterator[None]:
    """What fails here no function has raised, for their errors come as results."""
    try:
        yield
    except Py4JJavaError as exc:
        raise _lost(label, str(exc.java_exception.getMessage())) from exc
    except (Py4JError, OSError, EOFError, ValueError) as exc:
        raise WorkerLost(
            f"Spark's JVM ended during {label}: {exc}",
            remedy="run the same command again; see that the machine has memory to spare",
            label=label,
        ) from exc


def _lost(label: str, said: str) -> TidemillError:
    if "Traceback (most recent call last)" in said or "Cannot run program" in said:
        return UsageError(
            f"Spark's workers cannot run tidemill: {_gist(said)}",
            remedy="give them the Python and packages of this machine under the same path, or "
            "set PYSPARK_PYTHON to where it lies on theirs",
            label=label,
        )
    return WorkerLost(
        f"Spark gave up on {label}: {_gist(said)}",
        remedy="look at the executors' logs; if one was killed for its memory, give workers "
        "more of it, or fewer cores; then run the same command again",
        label=label,
    )


def _run(shipped: Broadcast[bytes], name: str, item: bytes, row: Iterable[None]) -> list[bytes]:
    """Do an item in a worker. Of an error Spark would tell a text, after four trials."""
    [_] = row  # a process that has not read all that it was sent is not used again
    try:
        function = kept_function(name, lambda: shipped.value)
        with one_thread():
            return [pickle.dumps((True, function(pickle.loads(item))))]  # noqa: S301
    except Exception as exc:  # raised where the result is taken
        exc.add_note(traceback.format_exc())
        try:
            told = pickle.dumps((False, exc))
            pickle.loads(told)  # noqa: S301 - what we have just written
        except Exception:
            told = pickle.dumps((False, RuntimeError(f"{type(exc).__name__}: {exc}")))
        return [told]


def _gist(said: str) -> str:
    """The line that names the cause, of many."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    causes = [line for line in lines if "Error" in line and not line.startswith(("at ", "File "))]
    return (causes or lines or ["it did not say why"])[-1 if causes else 0][:300]
