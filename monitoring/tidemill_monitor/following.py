"""Follows the registry: another champion serves here soon after it was promoted or rolled back."""

from __future__ import annotations

import threading

from tidemill_monitor.serving import ChampionHolder

__all__ = ["Follower"]


class Follower:
    """A thread that looks at the registry now and then.

    Parameters
    ----------
    holder : ChampionHolder
    seconds : float
        Between two looks.
    """

    def __init__(self, holder: ChampionHolder, seconds: float = 10.0) -> None:
        self._holder, self._seconds = holder, seconds
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; waits for a look that is going on, at most ten seconds."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(10)

    def _follow(self) -> None:
        while not self._ended.wait(self._seconds):
            self._holder.refresh()
