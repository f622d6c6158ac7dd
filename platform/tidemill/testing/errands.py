"""Small functions for the worker processes of an engine under test: picklable, and of no use."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from tidemill.errors import KeyInvalid, StorageFailed

__all__ = [
    "die_once",
    "die_over_again",
    "fail_once",
    "modules_loaded",
    "refuse",
    "square",
    "touch_slowly",
]


def square(number: int) -> int:
    """Return the square.

    >>> square(-3)
    9
    """
    return number * number


def modules_loaded(prefix: str) -> list[str]:
    """Return the modules under ``prefix`` that this process has imported.

    >>> modules_loaded("tidemill.testing.errands")
    ['tidemill.testing.errands']
    """
    return sorted(name for name in sys.modules if f"{name}.".startswith(f"{prefix}."))


def refuse(number: int, *, bad: int) -> int:
    """Return ``number``, or raise an error that no retry can help if it is ``bad``."""
    if number == bad:
        raise KeyInvalid(f"number {number} is bad", remedy="take another one", number=number)
    return number


def fail_once(number: int, *, folder: Path) -> int:
    """Return ``number``; fail at the first call for it with an error that a retry can help."""
    if _first(folder / f"failed-{number}"):
        raise StorageFailed(f"no disk for {number}", remedy="try again", number=number)
    return number


def die_once(number: int, *, bad: int, folder: Path) -> int:
    """Return ``number``; the process that first sees ``bad`` is killed."""
    if number == bad and _first(folder / f"died-{number}"):
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_over_again(number: int, *, bad: int) -> int:
    """Return ``number``; every process that sees ``bad`` is killed."""
    if number == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def touch_slowly(number: int, *, folder: Path, bad: int, seconds: float) -> int:
    """Leave a file for ``number`` after some time; leave one for ``bad``, and refuse it."""
    if number == bad:
        (folder / str(number)).touch()
    refuse(number, bad=bad)
    time.sleep(seconds)
    (folder / str(number)).touch()
    return number


def _first(mark: Path) -> bool:
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
