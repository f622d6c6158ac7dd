"""How many threads a fit may use; no result depends on it."""

from __future__ import annotations

import multiprocessing
import os

__all__ = ["usable_threads"]


def usable_threads() -> int:
    """The cores of this process, or 1 in a worker process, which shares them with others.

    OpenMP's threads wait by spinning: two workers of two threads on two cores take several
    times as long as two workers of one.
    """
    if multiprocessing.parent_process() is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
