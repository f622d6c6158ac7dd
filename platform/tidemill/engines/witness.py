"""Workers that may be elsewhere first show that they see the store of the work."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeVar

from tidemill.contracts import Engine, Progress
from tidemill.errors import IntegrityError, StorageFailed, StoreUnseen
from tidemill.storage import open_store

__all__ = ["SeeingEngine"]

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


class SeeingEngine:
    """An engine whose workers run nothing before they have seen the store.

    Each worker looks once, with the first item that it is handed. What an engine promises is
    written at :class:`tidemill.contracts.Engine`.

    Parameters
    ----------
    inner : Engine
        Does the work.
    store : str
        The address of the store; nothing is written there before the first item.

    Notes
    -----
    Raises ``StoreUnseen`` where a worker does not find what was written there. Memory: the inner
    engine's.
    """

    def __init__(self, inner: Engine, store: str) -> None:
        self._inner, self._store = inner, store
        self._witness: _Witness | None = None
        self._guard = threading.Lock()

    @property
    def workers(self) -> int:
        """Items at the same time, as the inner engine has it."""
        return self._inner.workers

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        label: str,
        progress: Progress | None = None,
    ) -> list[Result]:
        """Return ``[function(item) for item in items]``, in order; see ``Engine.map``."""
        return self._inner.map(self._seeing(function), items, label=label, progress=progress)

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
        seeing = self._seeing(function)
        return self._inner.fold(seeing, items, merge, label=label, progress=progress)

    def stream(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        label: str,
        at_once: int | None = None,
    ) -> Generator[tuple[int, Result], None, None]:
        """Yield ``(index, result)`` of each item as it is done; see ``Engine.stream``."""
        return self._inner.stream(self._seeing(function), items, label=label, at_once=at_once)

    def close(self) -> None:
        """Close the inner engine, and take away what was written."""
        self._inner.close()
        with self._guard:
            witness, self._witness = self._witness, None
        if witness is not None:
            with suppress(StorageFailed):
                open_store(witness.store).discard(witness.key)

    def _seeing(self, function: Callable[[Item], Result]) -> Callable[[Item], Result]:
        with self._guard:
            if self._witness is None:
                self._witness = _Witness.left_in(self._store)
            return partial(_seen_first, self._witness, function)


def _seen_first(witness: _Witness, function: Callable[[Any], Any], item: Any) -> Any:
    _look_for(witness)
    return function(item)


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
