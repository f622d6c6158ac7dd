"""How many threads a fit may use, and how they wait; no result depends on it."""

from __future__ import annotations

import multiprocessing
import os

__all__ = ["usable_threads", "wait_passively"]

_VALUES_PER_THREAD = 1_000_000


def usable_threads(values: int | None = None) -> int:
    """The cores of this process, or 1 in a worker process, which shares them with others.

    Parameters
    ----------
    values : int or None
        Rows times features of the fit: below a million a thread, more threads only wait for
        each other (30,000 x 14, 100 rounds: 0.23 CPU seconds with one thread, 0.44 with two).
    """
    if multiprocessing.parent_process() is not None:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return cores if values is None else min(cores, max(1, values // _VALUES_PER_THREAD))


def wait_passively() -> None:
    """Let OpenMP's threads sleep while they wait, unless the user has said otherwise.

    They spin by default: where other processes want the cores, a fit then takes several times
    as long (the same 100 rounds on two busy cores: 4 to 8 s instead of 0.6). OpenMP reads the
    variable once, when its library is loaded: call this before importing what uses it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
