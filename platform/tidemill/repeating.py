"""A call that comes again every few seconds, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog

__all__ = ["Every", "stop_all"]

_log = structlog.get_logger(__name__)


class Every:
    """Calls ``call`` every ``seconds`` until it is stopped; a defect in it is logged and told.

    Parameters
    ----------
    seconds : float
        Between the end of one call and the next.
    call : callable
    name : str
        Of the thread, and in the log.
    at_once : bool
        Whether the first call comes at the start, not after the first pause.
    """

    def __init__(
        self, seconds: float, call: Callable[[], object], *, name: str, at_once: bool = False
    ) -> None:
        self._seconds, self._call, self._name, self._at_once = seconds, call, name, at_once
        self._woken = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def stopping(self) -> bool:
        """Whether it was told to end; a long call may look."""
        return self._stopping

    def wake(self) -> None:
        """Call now, or once more if a call is going on."""
        self._woken.set()

    def stop(self, timeout_seconds: float | None = 10.0) -> None:
        """End after the call at hand, and wait so long for that; None: however long it takes."""
        self._stopping = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        if not self._at_once:
            self._pause()
        while not self._stopping:
            try:
                self._call()
            except Exception:
                _log.exception("defect", thread=self._name)
            self._pause()

    def _pause(self) -> None:
        self._woken.wait(self._seconds)
        self._woken.clear()


def stop_all(loops: Sequence[Every], timeout_seconds: float) -> None:
    """End them together, and wait so long for all of them."""
    for loop in loops:
        loop.stop(0.0)
    end = time.monotonic() + timeout_seconds
    for loop in loops:
        loop.stop(max(0.0, end - time.monotonic()))
