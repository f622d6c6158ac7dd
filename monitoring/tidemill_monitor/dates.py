"""Dates that a clock wrote which was ahead: from the moment when that is seen, they are of then."""

from __future__ import annotations

import datetime as dt

from tidemill.ledger import Ledger

__all__ = ["AHEAD", "Dates", "is_ahead"]

AHEAD = dt.timedelta(hours=1)
"""What lies further ahead of the clock was written by one that was set back since."""


def is_ahead(at: dt.datetime, now: dt.datetime) -> bool:
    """Whether a date of the past lies so far in the future that it is not believed."""
    return at > now + AHEAD


class Dates:
    """When what has a date ahead of the clock was, as far as can be known.

    Notes
    -----
    The ledger's own dates stay as they are: it may be the present clock that is wrong, and once
    it is not, they are believed again.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def known(self, name: str, at: dt.datetime, now: dt.datetime) -> dt.datetime:
        """``at``; of a date ahead of the clock, when it was first seen to be.

        Parameters
        ----------
        name : str
            Of what has the date; the same at every call.
        at, now : datetime
        """
        if not is_ahead(at, now):
            return at
        place = f"dates/{name}"
        seen = self._ledger.notes.get(place)
        if seen is None or is_ahead(dt.datetime.fromisoformat(seen), now):
            seen = now.isoformat()
            self._ledger.notes.put(place, seen, now)
        return dt.datetime.fromisoformat(seen)
