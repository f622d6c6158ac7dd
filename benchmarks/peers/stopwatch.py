"""What each side says of its own run: time with imports apart, memory, the features it accuses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path


class Stopwatch:
    """Runs from the start of the imports; needs nothing but Python itself."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def imported(self) -> None:
        """Everything is imported: the work begins."""
        self._imported = time.perf_counter()
        self._cpu = time.process_time()

    def tell(self, accused: Iterable[str] = (), **more: float) -> None:
        """Print the run as one line of JSON; memory is the process's high-water mark."""
        seconds, cpu = time.perf_counter() - self._imported, time.process_time() - self._cpu
        status = Path("/proc/self/status").read_text()
        peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
        document = {
            "seconds": seconds,
            "cpu_seconds": cpu,
            "import_seconds": self._imported - self._started,
            "peak_memory_bytes": peak,
            "accused": sorted(accused),
            **more,
        }
        print(json.dumps(document))
