"""The error stream of a champion, fed with what labels add; kept in the ledger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tidemill.drift import Finding
from tidemill.drift.performance.change import ErrorStream, error_name, error_of
from tidemill.drift.performance.estimate import PerformanceModel
from tidemill.ledger import Ledger
from tidemill.metrics import Figures

__all__ = ["Fed", "KeptStream"]

_REMEMBERED = 500


@dataclass(frozen=True, slots=True)
class Fed:
    """The labelled rows of one window so far.

    Parameters
    ----------
    window_id : int
    start : datetime
    figures : BinaryFigures, MulticlassFigures or RegressionFigures
    """

    window_id: int
    start: dt.datetime
    figures: Figures


class KeptStream:
    """An :class:`ErrorStream` that goes on after a restart.

    Labels of a window come bit by bit: what was fed of each window is remembered as rows and sum
    of errors, and only the difference is fed. State and memory are one note, written at once, so
    that no label counts twice.

    Parameters
    ----------
    ledger : Ledger
    version : int
    quality : PerformanceModel
        Of the version's reference.
    """

    def __init__(self, ledger: Ledger, version: int, quality: PerformanceModel) -> None:
        self._ledger = ledger
        self._place = f"errors/{version}"
        self._error = error_name(quality.task)
        kept: dict[str, Any] = ledger.notes.get(self._place) or {}
        self._stream = ErrorStream.from_json(kept["stream"]) if kept else ErrorStream.of(quality)
        self._fed: dict[int, list[float]] = {int(k): v for k, v in kept.get("fed", {}).items()}
        self._since: dt.datetime | None = (
            dt.datetime.fromisoformat(kept["since"]) if kept.get("since") else None
        )

    def feed(self, windows: Iterable[Fed], now: dt.datetime) -> None:
        """Feed what labels have added, in the order of the windows' time."""
        news = False
        for window in sorted(windows, key=lambda one: (one.start, one.window_id)):
            news = self._one(window) or news
        if news:
            self._keep(now)

    def finding(self, start: dt.datetime) -> Finding | None:
        """The change that stands, for windows that begin no earlier than it was noticed."""
        change = self._stream.change
        if change is None or self._since is None or start < self._since:
            return None
        return change.finding(self._error)

    def _one(self, window: Fed) -> bool:
        if self._fed and window.window_id < min(self._fed) and len(self._fed) >= _REMEMBERED:
            return False  # too old to know what was fed of it: no label counts twice
        rows, mean, deviation = error_of(window.figures)
        known_rows, known_sum = self._fed.get(window.window_id, [0, 0.0])
        added = rows - int(known_rows)
        if added <= 0:
            return False
        total = rows * mean
        change = self._stream.feed(added, (total - known_sum) / added, deviation)
        self._fed[window.window_id] = [rows, total]
        if change is not None:
            self._since = window.start
        if self._stream.change is None:
            self._since = None
        return True

    def _keep(self, now: dt.datetime) -> None:
        self._fed = dict(sorted(self._fed.items())[-_REMEMBERED:])
        document = {
            "stream": self._stream.to_json(),
            "fed": {str(k): v for k, v in self._fed.items()},
            "since": self._since and self._since.isoformat(),
        }
        self._ledger.notes.put(self._place, document, now)
