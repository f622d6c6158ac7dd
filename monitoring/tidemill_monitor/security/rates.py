"""How much each key may ask: a bucket of tokens that fills with time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["Buckets", "Rates"]

_BURST_SECONDS = 2.0
_REMEMBERED = 4096


class Buckets:
    """One bucket a name.

    Parameters
    ----------
    rate : float
        Tokens a second.
    burst : float
        What a full bucket holds.
    clock : callable
        Seconds of a clock that nobody sets.

    Notes
    -----
    Memory: at most 4,096 names; the one unused for longest is forgotten (and starts full again).
    """

    def __init__(
        self, rate: float, burst: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._lock = threading.Lock()
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, tokens: float = 1.0) -> float:
        """Take ``tokens``; 0 if they were there, else the seconds until they will be."""
        now = self._clock()
        with self._lock:
            held, since = self._held.pop(name, (self._burst, now))
            held = min(self._burst, held + (now - since) * self._rate)
            wait = max(0.0, tokens - held) / self._rate
            self._held[name] = (held if wait else held - tokens, now)
            if len(self._held) > _REMEMBERED:
                self._held.popitem(last=False)
        return wait

    def give_back(self, name: str, tokens: float = 1.0) -> None:
        """Undo a :meth:`take`: what it paid for was not done."""
        with self._lock:
            if name in self._held:
                held, since = self._held[name]
                self._held[name] = (min(self._burst, held + tokens), since)


class Rates:
    """The buckets of the service.

    Parameters
    ----------
    requests, rows : float
        Each key's allowance a second.
    max_rows : int
        Of one request; a full bucket always lets one through.

    Attributes
    ----------
    logins : Buckets
        Failed logins of each address: ten at once, then ten a minute.
    """

    def __init__(self, requests: float, rows: float, max_rows: int) -> None:
        self.requests = Buckets(requests, max(1.0, requests * _BURST_SECONDS))
        self.rows = Buckets(rows, max(float(max_rows), rows * _BURST_SECONDS))
        self.logins = Buckets(10 / 60, 10)
