"""What has changed, told to whoever listens: threads publish, coroutines listen."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

__all__ = ["Listener", "Topics"]


class Listener:
    """One listener; topics that were published since it last looked are told once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()
        self._lock = threading.Lock()
        self._fresh: set[str] = set()

    def add(self, names: Iterable[str]) -> None:
        """Take note; from any thread."""
        with self._lock:
            known = bool(self._fresh)
            self._fresh.update(names)
        if not known and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    async def next(self, timeout_seconds: float) -> frozenset[str]:
        """Topics since the last call; empty after ``timeout_seconds`` without any."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._event.wait()
        except TimeoutError:
            return frozenset()
        with self._lock:
            self._event.clear()
            found, self._fresh = frozenset(self._fresh), set()
        return found


class Topics:
    """Publishes names of what has changed.

    Parameters
    ----------
    most : int
        Listeners at once: each holds a connection, and one small set in memory.
    """

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()

    def publish(self, *names: str) -> None:
        """Tell every listener; from any thread, never blocks."""
        for listener in self._listeners:
            listener.add(names)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[Listener]:
        """A listener for as long as the block lasts."""
        listener = Listener(asyncio.get_running_loop())
        with self._lock:
            self._listeners = (*self._listeners, listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners = tuple(one for one in self._listeners if one is not listener)

    @property
    def count(self) -> int:
        """How many listen now: pages that are open."""
        return len(self._listeners)

    @property
    def full(self) -> bool:
        """Whether no further page may listen."""
        return self.count >= self._most
