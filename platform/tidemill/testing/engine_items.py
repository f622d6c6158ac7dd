"""What the engines' contract sends to workers: functions, and what counts itself there."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
from collections import Counter
from typing import Any

import tidemill
from tidemill.errors import StorageFailed, TooFewRows

__all__ = [
    "CountedConstant",
    "HeldResult",
    "arrivals",
    "blas_threads",
    "die",
    "divide_by_zero",
    "fail_first",
    "is_reached",
    "joined",
    "mark",
    "named",
    "package_versions",
    "place",
    "refuse",
    "square",
    "tell",
    "where",
]

_seen: Counter[tuple[str, str]] = Counter()
"""What this process has done: in a worker, what items find there of those before them."""


def square(number: int) -> int:
    """Square; larger numbers come back sooner."""
    time.sleep(0.02 / (1 + number))
    return number * number


def refuse(bad: frozenset[int], number: int) -> int:
    """Raise an error of ours, with fields, for the numbers in ``bad``."""
    if number in bad:
        raise TooFewRows(f"refused {number}", remedy="send another", number=number)
    return number


def is_reached(host: str, port: int) -> bool:
    """Whether something listens there."""
    with socket.create_connection((host, port), timeout=10):
        return True


def named(number: int) -> str:
    """Its digits; larger numbers come back sooner."""
    time.sleep(0.01 / (1 + number))
    return str(number)


def joined(left: str, right: str) -> str:
    """Both in brackets: not the same in another order."""
    return f"({left} {right})"


def divide_by_zero(number: int) -> int:
    """Raise what is no error of ours."""
    raise ZeroDivisionError(f"number {number}")


def package_versions(_: int) -> tuple[str, ...]:
    """Of tidemill, NumPy and Python, in a worker."""
    import numpy as np

    return tidemill.__version__, np.__version__, *map(str, sys.version_info[:2])


def blas_threads(_: int) -> int:
    """The most threads that a BLAS of this process would use."""
    import numpy  # noqa: F401 - brings its BLAS
    from threadpoolctl import threadpool_info

    return max(int(lib["num_threads"]) for lib in threadpool_info() if lib["user_api"] == "blas")


class HeldResult:
    """A result that knows how many of its kind this process holds."""

    alive = 0
    most = 0

    def __init__(self, number: int) -> None:
        self.number = number
        HeldResult.alive += 1
        HeldResult.most = max(HeldResult.most, HeldResult.alive)

    def __del__(self) -> None:
        HeldResult.alive -= 1

    def __reduce__(self) -> tuple[Any, ...]:
        return HeldResult, (self.number,)

    def merge(self, other: HeldResult) -> HeldResult:
        """Their sum."""
        return HeldResult(self.number + other.number)


class CountedConstant:
    """Counts how often it was packed, where it is; and unpacked, where it arrives."""

    def __init__(self) -> None:
        self.name, self.packed = secrets.token_hex(8), 0

    def __reduce__(self) -> tuple[Any, ...]:
        self.packed += 1
        return _arrive, (self.name,)


def _arrive(name: str) -> CountedConstant:
    constant = CountedConstant()
    constant.name = name
    _seen[name, _process()] += 1
    return constant


def arrivals(constant: CountedConstant, _: int) -> int:
    """How often a constant was unpacked in this process."""
    return _seen[constant.name, _process()]


def place() -> tuple[str, int]:
    """Machine and process."""
    return socket.gethostname(), os.getpid()


def where(_: int) -> tuple[str, int]:
    """Of an item."""
    return place()


def die(caller: tuple[str, int], number: int) -> int:
    """End the process with the third item, but that of the caller."""
    if number == 2 and place() != caller:
        os._exit(7)
    return number


def _process() -> str:
    # Processes that were forked share what was counted before.
    return str(os.getpid())


def mark(token: str, bad: frozenset[int], number: int) -> int:
    """Count an item for a token; raise for those in ``bad``."""
    _seen[token, _process()] += 1
    time.sleep(0.01)
    return refuse(bad, number)


def tell(token: str, _: int) -> tuple[tuple[str, int], int]:
    """The process, and the items that it has counted for a token."""
    time.sleep(0.02)
    return place(), _seen[token, _process()]


def fail_first(token: str, number: int) -> list[int]:
    """Fail for the third item at first, in each process, with an error that a retry can help."""
    if number == 2 and not _seen[token, _process()]:
        _seen[token, _process()] += 1
        raise StorageFailed("no disk", remedy="try again")
    return [number]
