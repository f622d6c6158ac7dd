"""What a study may take: seconds, and CPU seconds of its trials."""

from __future__ import annotations

import time
from dataclasses import dataclass

__all__ = ["Allowance", "Purse"]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a trial may take, told to it as it begins; None where there is no limit.

    It counts by the clocks of the process that it runs in: no other process's is read.

    >>> Allowance(seconds=0.0).is_over(), Allowance().is_over()
    (True, False)
    """

    seconds: float | None = None
    cpu_seconds: float | None = None

    def is_over(self, seconds: float = 0.0, cpu_seconds: float = 0.0) -> bool:
        """Whether so much is all of one of them."""
        taken = ((seconds, self.seconds), (cpu_seconds, self.cpu_seconds))
        return any(limit is not None and spent >= limit for spent, limit in taken)


class Purse:
    """What is left of a study's time, and of the CPU seconds that its trials have not taken yet."""

    def __init__(self, seconds: float | None, cpu_seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self._cpu_seconds = cpu_seconds

    def left(self) -> Allowance:
        """What a trial that begins now may take; those that run have not paid yet."""
        seconds = None if self._end is None else self._end - time.monotonic()
        return Allowance(seconds, self._cpu_seconds)

    def pay(self, cpu_seconds: float) -> None:
        """A trial took them, whether it came to its end or not."""
        if self._cpu_seconds is not None:
            self._cpu_seconds -= cpu_seconds
