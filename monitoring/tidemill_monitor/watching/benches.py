"""The benches and error streams of the model versions in use."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable

from tidemill.config.monitoring import MonitoringConfig
from tidemill.ledger import Ledger, Window
from tidemill_monitor.watching.bench import Bench
from tidemill_monitor.watching.errorstream import KeptStream
from tidemill_monitor.watching.folding import References
from tidemill_monitor.watching.segments import SegmentBenches

__all__ = ["Benches"]

_KEPT = 3


class Benches:
    """Benches by version, made when they are asked for; the last three are kept.

    :meth:`whole` may be called by any thread, the rest by the watcher's only.

    Parameters
    ----------
    references : References
    config : MonitoringConfig
    seed : int
    ledger : Ledger
    clock : callable
    """

    def __init__(
        self,
        references: References,
        config: MonitoringConfig,
        seed: int,
        *,
        ledger: Ledger,
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._references = references
        self._config = config
        self._seed = seed
        self._ledger = ledger
        self._clock = clock
        self._benches: dict[int, Bench] = {}
        self._streams: dict[int, KeptStream] = {}
        self._segments = SegmentBenches(ledger, config, seed, clock)
        self._lock = threading.Lock()

    def whole(self, version: int) -> Bench | None:
        """What all rows of a version are held to; None if it has no reference."""
        with self._lock:
            bench = self._benches.pop(version, None) or self._made(version)
            if bench is not None:
                self._benches[version] = bench  # the newest use is last
                while len(self._benches) > _KEPT:
                    del self._benches[next(iter(self._benches))]
            return bench

    def segment(self, window: Window, usable: bool, now: dt.datetime) -> Bench | None:
        """What a segment's window is held to; None while nothing can be concluded of it."""
        whole = self.whole(window.model_version)
        return None if whole is None else self._segments.bench(whole, window, usable, now)

    def stream(self, version: int) -> KeptStream | None:
        """The error stream of a version; None without a reference."""
        if version not in self._streams:
            bench = self.whole(version)
            if bench is None or not self._config.harm.change_detection:
                return None
            while len(self._streams) >= _KEPT:
                del self._streams[next(iter(self._streams))]
            self._streams[version] = KeptStream(self._ledger, version, bench.reference.quality)
        return self._streams[version]

    def _made(self, version: int) -> Bench | None:
        reference = self._references.reference(version)
        if reference is None:
            return None
        return Bench.of(
            version, reference, self._config, self._seed, ledger=self._ledger, clock=self._clock
        )
