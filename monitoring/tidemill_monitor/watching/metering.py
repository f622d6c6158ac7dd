"""What Prometheus is told of watching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from prometheus_client import Histogram

from tidemill.ledger import DecisionRow, Ledger, Window
from tidemill.schema import Verdict
from tidemill_monitor.meters import Meters
from tidemill_monitor.watching.newnormal import NormalQuestion
from tidemill_monitor.watching.stints import Stint, since_return

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["WatchMeters"]

_VERDICTS = tuple(Verdict)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


_LINES = {
    "estimated": "The same before labels.",
    "held": "The same on held-out rows.",
    "harm": "Its level beyond which it is harm.",
}


class WatchMeters:
    """Counters and gauges of windows, verdicts, alerts, decisions and the outbox.

    Parameters
    ----------
    ledger : Ledger
        Read for the gauges.
    meters : Meters
        Where they are registered.
    """

    def __init__(self, ledger: Ledger, meters: Meters) -> None:
        self._ledger = ledger
        self._seconds = Histogram(
            "tidemill_monitor_tick_seconds",
            "Time of a tick: closing, judging, alerting, deciding.",
            buckets=_SECONDS,
            registry=meters.registry,
        )
        self.failures = meters.counter("tick_failures", "Ticks that failed; each is tried again.")
        self._closed = meters.counter("windows_closed", "Windows of the whole traffic closed.")
        self._verdicts = meters.counter(
            "verdicts", "Judgements of the whole traffic, those made again included.", ("verdict",)
        )
        self._decisions = meters.counter("decisions", "Decisions written.", ("action",))
        self._open = meters.gauge("windows_open", "Windows of the whole traffic that fill.")
        self._last = meters.gauge(
            "last_verdict",
            "Of the newest judged window: 0 healthy, 1 broken feed, 2 harmless drift, "
            "3 suspected harm, 4 confirmed harm.",
        )
        self._harm = meters.gauge(
            "last_harm",
            "Of the newest judged window, whatever its verdict: 0 no harm found, 3 suspected, "
            "4 confirmed; beside a broken feed too.",
        )
        self._asked = meters.gauge(
            "new_normal_asked",
            "1 while a break of the feed waits for the answer whether it is the new normal.",
        )
        self._late = meters.gauge("late_rows", "Rows that came after their window was closed.")
        self._figure = meters.gauge(
            "performance", "The followed figure of the newest window with labels."
        )
        self._lines = {
            name: meters.gauge(f"performance_{name}", text) for name, text in _LINES.items()
        }
        self._alerts = meters.gauge("alerts_open", "Alerts that are not resolved.")
        self._outbox = meters.gauge("outbox_pending", "Messages that wait for their delivery.")
        self._dead = meters.gauge("outbox_dead", "Messages that were given up.")
        self._read_of: tuple[int | None, Stint | None] | None = None

    def timed(self) -> AbstractContextManager[object]:
        """Measures the tick in its ``with`` block."""
        return self._seconds.time()

    def count(
        self,
        closed: Sequence[Window],
        judged: Sequence[Window],
        decision: DecisionRow | None,
        *,
        version: int | None,
        stint: Stint | None,
        asked: NormalQuestion | None,
    ) -> None:
        """Take note of one tick; gauges are read from the ledger.

        Parameters
        ----------
        version : int or None
            The one that serves.
        stint : Stint or None
            Since when it does.
        asked : NormalQuestion or None
            Whether a break is the new normal.
        """
        self._closed.inc(sum(not window.segment for window in closed))
        for window in judged:
            if not window.segment:
                self._verdicts.labels(window.verdict or "none").inc()
        if decision is not None:
            self._decisions.labels(decision.action).inc()
        self._asked.set(asked is not None and asked.held is None)
        self._read(version, stint, news=bool(closed or judged))

    def _read(self, version: int | None, stint: Stint | None, *, news: bool) -> None:
        # Of the version that serves, and since it does so: what another one did is history.
        found = self._ledger.windows.list(limit=50, segment="", model_version=version)
        windows = [w for w in found if w.state == "open"] + since_return(
            (w for w in found if w.state == "closed"), stint
        )
        self._open.set(sum(window.state == "open" for window in windows))
        self._late.set(sum(window.late_rows for window in windows))
        if news or self._read_of != (version, stint):
            self._read_of = version, stint
            self._read_judged(version, stint)
        self._alerts.set(self._ledger.alerts.open_count())
        counts = self._ledger.outbox.counts()
        self._outbox.set(counts.get("pending", 0) + counts.get("leased", 0))
        self._dead.set(counts.get("dead", 0))

    def _read_judged(self, version: int | None, stint: Stint | None) -> None:
        """What judged windows tell, however many others lie between."""
        windows = self._told("verdict", version, stint)
        judged = windows[0] if windows else None
        if judged is not None and judged.verdict in _VERDICTS:
            self._last.set(_VERDICTS.index(judged.verdict))
            harm = judged.summary.get("found_harm")
            self._harm.set(_VERDICTS.index(harm) if harm in _VERDICTS else 0)
        for figure in (p for w in self._told("measured", version, stint) for p in w.performance):
            if figure.measured is not None:
                self._figure.set(figure.measured)
                break
        self._read_lines(next((w for w in windows if w.performance), None))

    def _told(
        self, what: Literal["verdict", "measured"], version: int | None, stint: Stint | None
    ) -> list[Window]:
        found = self._ledger.windows.list(
            limit=50, state="closed", segment="", model_version=version, told=what
        )
        return since_return(found, stint)

    def _read_lines(self, told: Window | None) -> None:
        if told is None:
            return
        lines = {
            "estimated": told.performance[0].estimated,
            "held": told.summary.get("held"),
            "harm": told.summary.get("harm"),
        }
        for name, value in lines.items():
            if value is not None:
                self._lines[name].set(value)
