"""What every part of the suite begins with: a store that it opens, and a clock that stands."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tidemill.ledger import Ledger
from tidemill.testing.traffic import CountingFolding

__all__ = ["DAY", "HOUR", "MINUTE", "NOW", "Clock", "Open", "Opening", "rows_of"]

Open = Callable[..., Ledger]
NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: dt.datetime = NOW

    def __call__(self) -> dt.datetime:
        """The present."""
        return self.now


class Opening:
    """A subclass supplies a fixture ``url`` with the address of an empty store."""

    @pytest.fixture
    def clock(self) -> Clock:
        """The clock of the ledgers that ``opened`` opens."""
        return Clock()

    @pytest.fixture
    def opened(self, url: str, clock: Clock) -> Iterator[Open]:
        """Opens the store; what is still open at the end is closed."""
        ledgers: list[Ledger] = []

        def open_(**settings: Any) -> Ledger:
            given = {"folding": CountingFolding(), "fold_seconds": 0.01, "clock": clock}
            ledgers.append(Ledger.open(url, **{**given, **settings}))
            return ledgers[-1]

        yield open_
        for ledger in ledgers:
            ledger.close()


def rows_of(ledger: Ledger, **limits: Any) -> list[dict[str, Any]]:
    """The labelled rows, as ``events.labelled`` gives them."""
    return [row for batch in ledger.events.labelled(**limits) for row in batch.to_pylist()]
