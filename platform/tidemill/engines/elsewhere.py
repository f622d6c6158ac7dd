"""Workers that may be elsewhere: they look before they work, and tell what it cost."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from tidemill.contracts import Engine, Progress, WorkerCosts
from tidemill.engines.same_versions import (
    missing_modules_told,
    require_same_versions,
    versions_here,
)
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


@dataclass
class _Telling(Generic[Item, Result]):
    """A function on its way; a worker of other versions refuses before it unpacks it.

    Parameters
    ----------
    versions : mapping of str to str
        The caller's.
    witness : _Witness or None
    function : callable
    """

    versions: Mapping[str, str]
    witness: _Witness | None
    function: Callable[[Item], Result]

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickle calls the first with the second, and only then unpacks the third.
        return _arrived, (self.versions,), vars(self)

    def __call__(self, item: Item) -> _Told[Result]:
        if self.witness is not None:
            _look_for(self.witness)
        with Spending() as spending:
            result = self.function(item)
        return _Told(result, spending.costs)


def _arrived(versions: Mapping[str, str]) -> _Telling[Any, Any]:
    require_same_versions(versions)
    return _Telling.__new__(_Telling)


class ElsewhereEngine:
    """An engine whose workers look around before they work, and tell what their work cost.

    A worker compares its versions with the caller's before it unpacks a function, and looks once
    for the store, with the first item that it is handed. What an engine promises is
    written at :class:`tidemill.contracts.Engine`; this one is ``Metered`` too.

    Parameters
    ----------
    inner : Engine
        Does the work.
    store : str or None
        The address of the store; nothing is written there before the first item. None: nobody
        looks for one.
    versions : mapping of str to str or None
        Those that workers must have. None: :func:`versions_here`.

    Notes
    -----
    Raises ``UsageError`` where a worker has other versions, or lacks a module that is here;
    ``StoreUnseen`` where it does not find what was written there. Memory: the inner engine's.
    """

    def __init__(
        self, inner: Engine, store: str | None, *, versions: Mapping[str, str] | None = None
    ) -> None:
        self._inner, self._store = inner, store
        self._versions = versions or versions_here()
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
        item_bytes: int | None = None,
    ) -> list[Result]:
        """Return ``[function(item) for item in items]``, in order; see ``Engine.map``."""
        telling = self._telling(function)
        with missing_modules_told():
            told = self._inner.map(
                telling, items, label=label, progress=progress, item_bytes=item_bytes
            )
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
        with missing_modules_told():
            told = self._inner.fold(telling, items, merged, label=label, progress=progress)
        return self._counted(told)

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
        with missing_modules_told(), closing(stream) as found:
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
            return _Telling(self._versions, self._witness, function)

    def _counted_at(self, found: tuple[int, _Told[Result]]) -> tuple[int, Result]:
        index, told = found
        return index, self._counted(told)

    def _counted(self, told: _Told[Result]) -> Result:
        if told.costs is not None:
            with self._guard:
                self._costs = told.costs + self._costs if self._costs else told.costs
        return told.result


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
