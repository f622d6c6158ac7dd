"""Workers that may be elsewhere: they look for the store of the work, and tell what it cost."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Generic, TypeVar

from tidemill.contracts import Engine, Progress, WorkerCosts
from tidemill.engines.spending import Spending
from tidemill.errors import IntegrityError, StorageFailed, StoreUnseen
from tidemill.storage import open_store

__all__ = ["ElsewhereEngine"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_FOLDER = ".tidemill/seen"


@dataclass(frozen=True, slots=True)
class _Witness:
    """An object that was written where the work lies, for workers to look for.

    Parameters
    ----------
    store, key : str
        The address of the store; the object's key.
    """

    store: str
    key: str

    @classmethod
    def left_in(cls, store: str) -> _Witness:
        """Write one that nobody can have seen before."""
        with open_store(store).write(_FOLDER, durable=False) as writer:
            writer.write(secrets.token_bytes(16))
        return cls(store, writer.stored.key)


@dataclass(frozen=True, slots=True)
class _Told(Generic[Result]):
    """A result on its way back; ``costs`` is None once they have been taken off."""

    result: Result
    costs: WorkerCosts | None


class ElsewhereEngine:
    """An engine whose workers look for the store before they work, and tell what their work cost.

    Each worker looks once, with the first item that it is handed. What an engine promises is
    written at :class:`tidemill.contracts.Engine`; this one is ``Metered`` too.

    Parameters
    ----------
    inner : Engine
        Does the work.
    store : str or None
        The address of the store; nothing is written there before the first item. None: nobody
        looks for one.

    Notes
    -----
    Raises ``StoreUnseen`` where a worker does not find what was written there. Memory: the inner
    engine's.
    """

    def __init__(self, inner: Engine, store: str | None) -> None:
        self._inner, self._store = inner, store
        self._costs: WorkerCosts | None = None
        self._witness: _Witness | None = None
        self._guard = threading.Lock()

    @property
    def workers(self) -> int:
        """Items at the same time, as the inner engine has it."""
        return self._inner.workers

    @property
    def host(self) -> str:
        """The address by which workers reach this process, as the inner engine has it."""
        return self._inner.host

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        label: str,
        progress: Progress | None = None,
    ) -> list[Result]:
        """Return ``[function(item) for item in items]``, in order; see ``Engine.map``."""
        told = self._inner.map(self._telling(function), items, label=label, progress=progress)
        return [self._counted(one) for one in told]

    def fold(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        merge: Callable[[Result, Result], Result],
        *,
        label: str,
        progress: Progress | None = None,
    ) -> Result:
        """Return ``reduce(merge, map(function, items))``; see ``Engine.fold``."""

        def merged(left: _Told[Result], right: _Told[Result]) -> _Told[Result]:
            return _Told(merge(self._counted(left), self._counted(right)), None)

        telling = self._telling(function)
        return self._counted(
            self._inner.fold(telling, items, merged, label=label, progress=progress)
        )

    def stream(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        label: str,
        at_once: int | None = None,
        item_bytes: int | None = None,
    ) -> Generator[tuple[int, Result], None, None]:
        """Yield ``(index, result)`` of each item as it is done; see ``Engine.stream``."""
        telling = self._telling(function)
        stream = self._inner.stream(
            telling, items, label=label, at_once=at_once, item_bytes=item_bytes
        )
        with closing(stream) as found:
            # Nothing here holds a result while the next is awaited.
            yield from map(self._counted_at, found)

    def take_costs(self) -> WorkerCosts | None:
        """What the results since the last call cost; see ``Metered.take_costs``."""
        with self._guard:
            costs, self._costs = self._costs, None
        return costs

    def close(self) -> None:
        """Close the inner engine, and take away what was written."""
        self._inner.close()
        with self._guard:
            witness, self._witness = self._witness, None
        if witness is not None:
            with suppress(StorageFailed):
                open_store(witness.store).discard(witness.key)

    def _telling(self, function: Callable[[Item], Result]) -> Callable[[Item], _Told[Result]]:
        with self._guard:
            if self._witness is None and self._store is not None:
                self._witness = _Witness.left_in(self._store)
            return partial(_seen_and_told, self._witness, function)

    def _counted_at(self, found: tuple[int, _Told[Result]]) -> tuple[int, Result]:
        index, told = found
        return index, self._counted(told)

    def _counted(self, told: _Told[Result]) -> Result:
        if told.costs is not None:
            with self._guard:
                self._costs = told.costs + self._costs if self._costs else told.costs
        return told.result


def _seen_and_told(
    witness: _Witness | None, function: Callable[[Item], Result], item: Item
) -> _Told[Result]:
    if witness is not None:
        _look_for(witness)
    with Spending() as spending:
        result = function(item)
    return _Told(result, spending.costs)


@lru_cache(maxsize=64)  # an error is not kept: who mounts the store goes on
def _look_for(witness: _Witness) -> None:
    try:
        found = open_store(witness.store).size(witness.key)
    except (IntegrityError, StorageFailed):
        found = None
    if found is None:
        worker = f"{socket.gethostname()}, process {os.getpid()}"
        raise StoreUnseen(
            f"a worker ({worker}) does not see the store {witness.store}",
            remedy="mount that folder at the same path on the worker's machine, or start workers "
            "only where it is; then run the same command again",
            worker=worker,
            store=witness.store,
        )
