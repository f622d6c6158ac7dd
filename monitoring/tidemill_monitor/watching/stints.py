"""Which version served from when on: a version that returns begins anew."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from tidemill.ledger import Ledger, Window
from tidemill_monitor.dates import Dates

__all__ = ["Stint", "Stints", "since_return"]

_KEPT = 100


@dataclass(frozen=True, slots=True)
class Stint:
    """A version serves.

    Parameters
    ----------
    version : int
    since : str
        RFC 3339, UTC: when the monitor saw it serve first.
    before : int or None
        The version that served before it.
    returned : bool
        Whether it had served already: somebody rolled back.
    """

    version: int
    since: str
    before: int | None = None
    returned: bool = False

    @property
    def began(self) -> dt.datetime:
        """When the monitor saw it serve first."""
        return dt.datetime.fromisoformat(self.since)


class Stints:
    """The versions that served, newest last; the last hundred are kept in the ledger.

    Parameters
    ----------
    ledger : Ledger
    model : str
    """

    def __init__(self, ledger: Ledger, model: str) -> None:
        self._ledger = ledger
        self._place = f"serving/{model}"
        kept = ledger.notes.get(self._place) or []
        self._known = [Stint(**stint) for stint in kept]
        self._dates = Dates(ledger)
        self._current = self._known[-1] if self._known else None

    def serves(self, version: int, now: dt.datetime) -> Stint:
        """Take note of the version that serves; return its stint.

        Where it began by a clock that was ahead, it began when that was seen.
        """
        stint = self._noted(version, now)
        began = self._dates.known(f"{self._place}/{stint.since}", stint.began, now)
        self._current = replace(stint, since=began.isoformat())
        return self._current

    def _noted(self, version: int, now: dt.datetime) -> Stint:
        last = self._known[-1] if self._known else None
        if last is not None and last.version == version:
            return last
        # A version that was promoted before a later one did serve, seen or not.
        seen = last is not None and (
            version < last.version or any(one.version == version for one in self._known)
        )
        stint = Stint(version, now.isoformat(), last.version if last else None, seen)
        self._known = [*self._known, stint][-_KEPT:]
        self._ledger.notes.put(self._place, [asdict(one) for one in self._known], now)
        return stint

    @property
    def current(self) -> Stint | None:
        """The stint of the version that serves now; None before the first."""
        return self._current


def since_return(windows: Iterable[Window], stint: Stint | None) -> list[Window]:
    """Windows that speak of a version as it serves now.

    What was closed before its return tells of another time: it neither alerts, accuses nor shows
    how the version is.
    """
    if stint is None or not stint.returned:
        return list(windows)
    return [w for w in windows if w.closed_at is not None and w.closed_at > stint.began]
