"""The benches and error streams of the model versions in use."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tidemill.config.monitoring import MonitoringConfig
from tidemill.drift import FeedCheck
from tidemill.ledger import Ledger, Window
from tidemill_monitor.watching.bench import Bench, KeptYardstick, Normal, for_columns
from tidemill_monitor.watching.errorstream import KeptStream
from tidemill_monitor.watching.folds import References
from tidemill_monitor.watching.judged_window import Opened
from tidemill_monitor.watching.newnormal import accepted_of
from tidemill_monitor.watching.segment_benches import SegmentBenches

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

    def forget(self, version: int) -> None:
        """Make the bench of a version anew: something was accepted as its new normal."""
        with self._lock:
            self._benches.pop(version, None)

    def segment(self, window: Window, usable: bool, now: dt.datetime) -> Bench | None:
        """What a segment's window is held to; None while nothing can be concluded of it."""
        whole = self.whole(window.model_version)
        if whole is None:
            return None
        return self._segments.bench(whole.at(window.start), window, usable, now)

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
        bench = Bench.of(
            version, reference, self._config, self._seed, ledger=self._ledger, clock=self._clock
        )
        accepted = accepted_of(self._ledger, version)
        return replace(bench, normals=tuple(self._normal(bench, record) for record in accepted))

    def _normal(self, bench: Bench, record: dict[str, Any]) -> Normal:
        """What was accepted, made ready from the windows of the break."""
        opened = [Opened.of(self._ledger.windows.parts(number)) for number in record["windows"]]
        columns = tuple(record["features"])
        profiles = [one.profile for one in opened if one.profile is not None and one.profile.rows]
        yardstick, feed = None, None
        if columns and profiles:
            reference = for_columns(bench.reference, profiles, columns)
            name = f"{bench.version}/normal/{record['window']}"
            yardstick = KeptYardstick(
                reference,
                self._config.drift,
                self._seed,
                ledger=self._ledger,
                name=name,
                clock=self._clock,
            )
            feed = FeedCheck(reference, self._config.quality)
        since = dt.datetime.fromisoformat(record["since"])
        return Normal(since, columns, record["volume"], yardstick, feed)
