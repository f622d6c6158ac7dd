"""How long one waits for a service that may never answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from tidemill.errors import ServiceUnavailable

__all__ = ["Patience"]

T = TypeVar("T")


class Patience:
    """Calls to a service, one at a time, each in a thread that may be left behind.

    A client's own time limit ends one request; a call may make many, and a peer that drips never
    lets one end. Here the caller goes on after ``seconds``. The call goes on too, in its thread,
    and while it is late nobody waits for it: there is never more than one.

    Parameters
    ----------
    service : str
        For messages.
    seconds : float
        The longest that :meth:`ask` takes.
    """

    def __init__(self, service: str, seconds: float) -> None:
        self._service = service
        self.seconds = seconds
        self._turn = threading.Lock()
        self._late: threading.Event | None = None

    def ask(self, call: Callable[[], T], *, seconds: float | None = None) -> T:
        """What ``call`` returns or raises, if it does so in time.

        Raises
        ------
        ServiceUnavailable
            If it does not, or one that was late before still has not ended.
        """
        deadline = time.monotonic() + (self.seconds if seconds is None else seconds)
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise self._away()
        try:
            if self._late is not None and not self._late.is_set():
                raise self._away()
            asked = _Call(call, self._service)
            if not asked.ended.wait(max(0.0, deadline - time.monotonic())):
                self._late = asked.ended
                raise self._away()
            return asked.outcome()
        finally:
            self._turn.release()

    def _away(self) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"{self._service} has not answered for {self.seconds:g} seconds",
            remedy=f"look whether {self._service} hangs and start it again; the monitor goes on by "
            "itself",
            service=self._service.lower(),
        )


class _Call(Generic[T]):
    def __init__(self, call: Callable[[], T], service: str) -> None:
        self.ended = threading.Event()
        self._call = call
        self._error: BaseException | None = None
        # Not of a pool: the process need not wait for it at its end.
        threading.Thread(target=self._run, name=f"asks-{service}", daemon=True).start()

    def outcome(self) -> T:
        if self._error is not None:
            raise self._error
        return self._found

    def _run(self) -> None:
        try:
            self._found = self._call()
        except BaseException as error:  # the caller's to judge
            self._error = error
        finally:
            self.ended.set()
