"""Seconds and peak memory of a stage, over this process and its workers."""

from __future__ import annotations

import contextlib
import threading
import time
from types import TracebackType

import psutil

from tidemill.settings import APART

__all__ = ["Meter"]

_INTERVAL_SECONDS = 0.2
#: Part of a core that looking may take: of much memory, or among many processes, it costs more.
_SHARE = 0.02


class Meter:
    """Measures while its ``with`` block runs.

    Peak memory is the largest sum, over this process and its descendants, of the
    proportional set size (Linux; resident set size elsewhere), sampled five times a second, and
    less often where a look at it costs more than four milliseconds.

    Processes with ``TIDEMILL_APART`` in their environment (servers) and their descendants are
    not counted.
    """

    def __init__(self) -> None:
        self._apart: dict[int, bool] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="meter", daemon=True)
        self._started = 0.0
        self.seconds = 0.0
        self.peak_memory_bytes = 0

    def __enter__(self) -> Meter:
        self._started = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._started
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            before = time.thread_time()
            self.peak_memory_bytes = max(self.peak_memory_bytes, self._memory())
            took = time.thread_time() - before
            if self._stop.wait(max(_INTERVAL_SECONDS, took / _SHARE)):
                return

    def _memory(self) -> int:
        total = 0
        waiting = [psutil.Process()]
        while waiting:
            process = waiting.pop()
            with contextlib.suppress(psutil.Error):
                if self._is_apart(process):
                    continue
                total += _bytes_of(process)
                waiting.extend(process.children())
        return total

    def _is_apart(self, process: psutil.Process) -> bool:
        if process.pid not in self._apart:
            self._apart[process.pid] = APART in process.environ()
        return self._apart[process.pid]


def _bytes_of(process: psutil.Process) -> int:
    if psutil.LINUX:
        return int(process.memory_full_info().pss)
    return int(process.memory_info().rss)
