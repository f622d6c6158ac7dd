"""What is done now and then: closed windows to the archive, old events out of the store."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator

import structlog

from tidemill.config.monitoring import MonitoringConfig
from tidemill.errors import TidemillError
from tidemill.ledger import Ledger, Window
from tidemill_monitor.dates import is_ahead

__all__ = ["Housekeeping"]

EVERY = dt.timedelta(hours=1)
_AT_ONCE = 20
_PAGE = 500
_REST = dt.timedelta(days=1)
_SEEN = "clock/seen"
_log = structlog.get_logger("tidemill_monitor.housekeeping")


class Housekeeping:
    """Keeps the store bounded.

    Parameters
    ----------
    ledger : Ledger
    config : MonitoringConfig
        ``retention_days`` and ``archive``.
    running : callable
        Seconds of a clock that nobody sets.
    believe_clock : bool
        Whether the clock is right, whatever the ledger saw last: somebody looked.

    Notes
    -----
    Where an archive is set, events are not deleted before their window is in it. Nor are they by
    a day's clock that is ahead: more time than passed since the start makes none older; and where
    the start itself is further from what the ledger saw last than a tenth of the retention, time
    goes on from there.
    """

    def __init__(
        self,
        ledger: Ledger,
        config: MonitoringConfig,
        *,
        running: Callable[[], float] = time.monotonic,
        believe_clock: bool = False,
    ) -> None:
        self._ledger = ledger
        self._config = config
        self._running = running
        self._believe = believe_clock
        self.doubt: str | None = None
        self._began: tuple[dt.datetime, float] | None = None
        self._due = running()

    def run_if_due(self, now: dt.datetime) -> bool:
        """Run once an hour; return whether it ran."""
        ran = self._running()
        if ran < self._due:
            return False
        self._due = ran + EVERY.total_seconds()
        try:
            if self.archive(now):
                self.prune(self._passed(now))
            else:
                self._due = ran  # a few windows at a time, so that it can be stopped
        except TidemillError as exc:
            _log.warning("housekeeping_failed", code=exc.code, error=exc.message)
        return True

    def _passed(self, now: dt.datetime) -> dt.datetime:
        """The time, as far as it can have come; what is thought of the clock is in ``doubt``."""
        ran = self._running()
        then, at = self._began = self._began or (self._first(now), ran)
        lived = then + dt.timedelta(seconds=ran - at)
        passed, seen = min(now, lived + EVERY), self._seen()
        self.doubt = _doubt(now, lived) if abs(now - lived) > self._tolerance else None
        if self.doubt or passed < now:
            _log.warning("clock_not_believed", now=now.isoformat(), lived=lived.isoformat())
        if seen is None or min(now, lived) > seen:
            self._ledger.notes.put(_SEEN, min(now, lived).isoformat(), passed)
        return passed

    def _first(self, now: dt.datetime) -> dt.datetime:
        """Where time goes on from at the start."""
        seen = None if self._believe else self._seen()
        if seen is None:
            self._ledger.notes.put(_SEEN, now.isoformat(), now)
            return now
        return seen if now - seen > self._tolerance else max(now, seen)

    def _seen(self) -> dt.datetime | None:
        """The latest time that the ledger saw and that was believed."""
        kept = self._ledger.notes.get(_SEEN)
        if kept is not None:
            return dt.datetime.fromisoformat(kept)
        return self._ledger.events.totals(dt.datetime.now(dt.UTC)).last_received_at

    @property
    def _tolerance(self) -> dt.timedelta:
        return dt.timedelta(days=self._config.retention_days) / 10

    def archive(self, now: dt.datetime) -> bool:
        """Write some closed windows to the archive; return whether none is left to write.

        A window is written a day after it was closed (or after half of the retention), so that
        most labels are in its file.
        """
        url = self._config.archive
        if url is None:
            return True
        rest = min(_REST, dt.timedelta(days=self._config.retention_days) / 2)
        waiting = [
            w
            for w in self._unarchived()
            if w.closed_at and (now - w.closed_at >= rest or is_ahead(w.closed_at, now))
        ]
        for window in waiting[-_AT_ONCE:]:
            self._ledger.windows.archive(window.id, url)
        return len(waiting) <= _AT_ONCE

    def _unarchived(self) -> Iterator[Window]:
        """Closed windows of the whole traffic that are in no file, newest first."""
        before: int | None = None
        while True:
            page = self._ledger.windows.list(limit=_PAGE, before=before, state="closed", segment="")
            yield from (w for w in page if w.archived_url is None and w.rows)
            if len(page) < _PAGE:
                return
            before = page[-1].id

    def prune(self, now: dt.datetime) -> None:
        """Delete events older than ``retention_days``; windows and decisions stay."""
        before = now - dt.timedelta(days=self._config.retention_days)
        pruned = self._ledger.prune(before, now=now)
        if pruned.rows:
            _log.info("pruned", rows=pruned.rows, before=before.isoformat())


def _doubt(now: dt.datetime, lived: dt.datetime) -> str:
    way = "ahead of" if now > lived else "behind"
    return (
        f"the clock says {now:%Y-%m-%d %H:%M} UTC, far {way} what the ledger saw last "
        f"({lived:%Y-%m-%d %H:%M}): nothing is deleted by it; set it right, or if it is, start "
        "the monitor once with TIDEMILL_MONITOR_BELIEVE_CLOCK=true"
    )
