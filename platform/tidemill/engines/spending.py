"""What one item costs the worker's process that runs it."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

from tidemill.contracts import WorkerCosts

__all__ = ["Spending"]

_PROCESS = Path("/proc/self")


class _Running:
    """How many blocks are open in this process: the peak is begun anew where there is none."""

    count = 0
    guard = threading.Lock()


class Spending:
    """Measures the process while its ``with`` block runs.

    CPU seconds are those of all its threads. Peak memory is the largest resident set size since
    the block began; where several run in one process, since there was none; where the system does
    not tell a peak (not Linux), the size at the end.
    """

    def __init__(self) -> None:
        self._began = 0.0
        self.costs = WorkerCosts(0.0, 0)

    def __enter__(self) -> Spending:
        with _Running.guard:
            if not _Running.count:
                # proc(5): "5" sets the peak to what the process holds now.
                with suppress(OSError):
                    (_PROCESS / "clear_refs").write_text("5")
            _Running.count += 1
        self._began = time.process_time()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.costs = WorkerCosts(time.process_time() - self._began, _peak_memory_bytes())
        with _Running.guard:
            _Running.count -= 1


def _peak_memory_bytes() -> int:
    if psutil.LINUX:
        for line in (_PROCESS / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return int(psutil.Process().memory_info().rss)
