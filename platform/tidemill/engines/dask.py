"""The engine of a Dask cluster: one of this machine, or the one at a scheduler's address."""

from __future__ import annotations

import math
import multiprocessing
import pickle
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any, TypeVar

import dask
import distributed
from distributed.utils import get_ip, get_mp_context

from tidemill.engines.ahead import AheadEngine
from tidemill.engines.attendance import LOOK_SECONDS, Attendance
from tidemill.engines.one_thread import one_thread
from tidemill.engines.shipping import kept_function
from tidemill.errors import BudgetExceeded, ServiceUnavailable, UsageError, WorkerLost
from tidemill.storage import hash_bytes

__all__ = ["DaskEngine"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_MIB = 1 << 20
_PLACE = re.compile(r"(\[[^]]+\]|[^:/\s]+):\d{1,5}")
_OWN = {
    "distributed.worker.multiprocessing-method": "forkserver",
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.disk": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    # Dask's own gives 64 KiB back to the system at once: a sixth of the CPU seconds.
    "distributed.nanny.pre-spawn-environ": dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1
    ),
}
"""Of an own cluster: modules are imported once for all workers, and nobody looks at profiles."""
_LIBRARIES_MIB = 384
"""What a worker's process holds with the libraries of all stages and a batch of rows."""


class DaskEngine(AheadEngine):
    """Maps over the workers of a Dask cluster.

    It connects when it is first needed. A worker that dies is Dask's affair: its item goes to
    another one, and an error only if it dies four times there. What it promises is written at
    :class:`tidemill.contracts.Engine`.

    Parameters
    ----------
    workers : int
        Processes of an own cluster. With an address: for how many work is handed out at least,
        so that a cluster which grows with its work has some to see.
    preload : tuple of str
        Modules that the workers of an own cluster find already imported.
    address : str or None
        ``host:port`` of a scheduler whose workers have one thread each; None means an own cluster
        on this machine.
    wait_seconds : float
        How long the scheduler may be away, and the cluster without any worker.

    Notes
    -----
    Memory of the caller: :data:`~tidemill.contracts.AHEAD` results a worker. Of the scheduler:
    the functions of the maps that run, and the items handed out. Of a worker: what the function
    needs, with the two functions that it had last.
    """

    def __init__(
        self,
        workers: int = 1,
        *,
        preload: tuple[str, ...] = (),
        address: str | None = None,
        wait_seconds: float = 60.0,
    ) -> None:
        self._least = workers
        self._preload = preload
        self._address = address
        self._wait_seconds = wait_seconds
        self._client: distributed.Client | None = None
        self._guard = threading.Lock()
        self._attendance = Attendance(self._count)

    @property
    def workers(self) -> int:
        """Workers that were there a second ago, and no fewer than were asked for."""
        return max(self._least, self._attendance.workers())

    @property
    def host(self) -> str:
        """The address of this machine on the way to a worker elsewhere; else to the scheduler."""
        workers = self._connected().scheduler_info(n_workers=-1).get("workers", {}).values()
        far = {one["host"] for one in workers if _is_far(one["host"])}
        scheduler = self._address.rpartition(":")[0] if self._address else "127.0.0.1"
        return str(get_ip(min(far, default=scheduler)))

    def close(self) -> None:
        """Leave the cluster; an own one ends."""
        with self._guard:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    @contextmanager
    def _handing(
        self, function: Callable[[Item], Result], label: str, item_bytes: int | None
    ) -> Iterator[Callable[[Item], Future[Result]]]:
        client = self._connected()
        name = f"{label.replace(' ', '-')}-{uuid.uuid4().hex[:12]}"
        content = pickle.dumps(function)
        packing = partial(_Call, hash_bytes(content), item_bytes)
        # A task of its own: a worker fetches it once, and where all that have it are gone it is
        # made again. It stays bytes on its way.
        shipped = client.submit(bytes, content, key=f"{name}-function")
        del content
        # Dask gives a task to a worker that has what it needs, so all would go where the function
        # is; the first of each worker is given to it, the least busy one first.
        places = iter(self._least_busy())

        def hand_out(item: Item) -> Future[Result]:
            key = f"{name}-{uuid.uuid4().hex[:12]}"
            place = next(places, None)
            there = client.submit(
                pickle.loads,
                packing(item).packed(),
                buffers=[shipped],
                key=key,
                pure=False,
                workers=place,
                allow_other_workers=place is not None,
            )
            here: Future[Result] = Future()
            here.add_done_callback(partial(_cancelled, there))
            there.add_done_callback(partial(_fetched, here))
            return here

        try:
            yield hand_out
        except (distributed.KilledWorker, CancelledError) as exc:
            raise self._lost(exc, label) from exc
        finally:
            shipped.release()

    def _lost(self, exc: BaseException, label: str) -> WorkerLost:
        if isinstance(exc, distributed.KilledWorker):
            return WorkerLost(
                f"{label}: {exc.allowed_failures + 1} workers of the Dask cluster died at one "
                f"item, the last of them {exc.last_worker.address}",
                remedy="look at that worker's log; if it was killed for its memory, start workers "
                "with more of it (dask worker ... --memory-limit 8GiB), fewer on a machine",
                label=label,
            )
        return WorkerLost(
            f"the Dask scheduler {self._place} went away during {label}: {exc}",
            remedy="see that it runs (dask scheduler), then run the same command again",
            label=label,
        )

    def _first_done(self, waiting: Sequence[Future[Result]]) -> Future[Result]:
        # Not when the last one left: a cluster that nobody used may have sent its workers away.
        seen = time.monotonic()
        while True:
            done = wait(waiting, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED).done
            if done:
                return done.pop()
            if self._client is None or self._client.status != "running":
                # What was handed out is forgotten, also where the scheduler is back.
                raise CancelledError("the connection is closed")
            # Dask itself waits for ever, and says nothing, where nobody works.
            if self._attendance.workers():
                seen = time.monotonic()
            elif time.monotonic() > seen + self._wait_seconds:
                raise ServiceUnavailable(
                    f"the Dask cluster {self._place} has had no worker for "
                    f"{self._wait_seconds:g} seconds",
                    remedy=f"start some: dask worker {self._address} --nthreads 1 --nworkers 2"
                    if self._address
                    else "run the same command again; see that the machine has memory to spare",
                    address=self._address,
                )

    @property
    def _place(self) -> str:
        return f"at {self._address}" if self._address else "of this machine"

    def _count(self) -> int:
        client = self._client
        if client is not None and client.status == "running":
            with suppress(OSError):
                return len(client.scheduler_info(n_workers=-1).get("workers", ()))
        return 0  # of a scheduler that does not answer nothing is known

    def _least_busy(self) -> list[str]:
        """The workers' addresses, that with the fewest tasks first."""
        busy: dict[str, Any] = {}
        with suppress(OSError):  # of a scheduler that does not answer a task is told soon
            busy = self._connected().processing()
        return sorted(busy, key=lambda worker: len(busy[worker]))

    def _connected(self) -> distributed.Client:
        with self._guard:
            if self._client is not None and self._client.status != "running":
                self._client.close()
                self._client = None
            if self._client is None:
                self._client = self._opened()
            return self._client

    def _own(self) -> distributed.Client:
        context = multiprocessing.get_context("forkserver")
        get_mp_context()  # sets modules of its own, once
        context.set_forkserver_preload(["distributed", *self._preload])
        # A client without an address starts a cluster, and ends it when it is closed.
        return distributed.Client(
            n_workers=self._least,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            security=True,
            preload=list(self._preload),
            set_as_default=False,
        )

    def _opened(self) -> distributed.Client:
        # Functions come with what is bound to them.
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GiB"})
        if self._address is None:
            with dask.config.set(_OWN):
                return self._own()
        if not _PLACE.fullmatch(self._address):
            raise UsageError(
                f"dask://{self._address} is no address of a Dask scheduler",
                remedy="give it as dask://HOST:PORT, for example dask://localhost:8786",
                address=self._address,
            )
        scheme = dask.config.get("distributed.comm.default-scheme")
        try:
            return distributed.Client(
                f"{scheme}://{self._address}", timeout=self._wait_seconds, set_as_default=False
            )
        except OSError as exc:
            raise ServiceUnavailable(
                f"no Dask scheduler answers at {self._address}",
                remedy="start it there (dask scheduler), or correct the engine's address",
                address=self._address,
            ) from exc


@dataclass(frozen=True, slots=True)
class _Call:
    """An item on its way: unpacking it in a worker is its work, of which it has the result.

    A worker ends at a message that names what it cannot import; of this one Dask knows no more
    than ``pickle.loads``, which raises that in the task.

    Parameters
    ----------
    name : str
        The hash of the function.
    item_bytes : int or None
        What it needs.
    item : object
    """

    name: str
    item_bytes: int | None
    item: Any

    def packed(self) -> bytes:
        """It as bytes; the function's are the one buffer beside them."""
        return pickle.dumps(self, protocol=5, buffer_callback=lambda _: None)

    def __reduce__(self) -> tuple[Any, ...]:
        beside = pickle.PickleBuffer(b"")
        return _run, (self.name, beside, pickle.dumps(self.item), self.item_bytes)


def _run(name: str, content: bytes, item: bytes, item_bytes: int | None) -> Any:
    worker = distributed.get_worker()
    _refuse_threads(worker.state.nthreads)
    if item_bytes is not None and worker.memory_manager.memory_limit:
        _refuse_small(worker.memory_manager.memory_limit, item_bytes)
    function = kept_function(name, lambda: content)
    with one_thread():
        return function(pickle.loads(item))  # noqa: S301 - of this cluster's client


def _is_far(host: str) -> bool:
    """Whether an address or a name is another machine's; one that nobody knows may be."""
    try:
        return not ip_address(socket.gethostbyname(host)).is_loopback
    except OSError:
        return True


def _refuse_threads(threads: int) -> None:
    if threads != 1:
        raise UsageError(
            f"a worker of the Dask cluster runs {threads} items at once in one process",
            remedy="start workers of one thread: dask worker ADDRESS --nthreads 1 --nworkers 2",
            threads=threads,
        )


def _refuse_small(memory_limit: int, item_bytes: int) -> None:
    """Dask would kill the worker over its limit, and give the item to the next one."""
    needed = _LIBRARIES_MIB + math.ceil(item_bytes / _MIB)
    if memory_limit < needed * _MIB:
        raise BudgetExceeded(
            f"a worker of the Dask cluster may hold {memory_limit // _MIB} MiB, and an item needs "
            f"{item_bytes / _MIB:.0f} MiB beside the {_LIBRARIES_MIB} of a worker",
            remedy="start workers that may hold as much: dask worker ADDRESS --nthreads 1 "
            f"--memory-limit {needed}MiB; or fewer on a machine",
            memory_limit=memory_limit,
            item_bytes=item_bytes,
        )


def _fetched(here: Future[Any], there: distributed.Future[Any]) -> None:
    """Fetch a result as soon as it is there: a worker that dies later takes nothing along."""
    if here.set_running_or_notify_cancel():
        try:
            here.set_result(there.result())
        except BaseException as exc:  # raised where it is taken
            here.set_exception(exc)
    there.release()


def _cancelled(there: distributed.Future[Any], here: Future[Any]) -> None:
    if here.cancelled():
        there.cancel()
