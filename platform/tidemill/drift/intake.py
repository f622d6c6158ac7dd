"""What arrived and how it was received: the part of a window that its rows cannot tell."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tidemill.errors import SchemaMismatch
from tidemill.profiling import CategoryProfile

__all__ = ["MAX_EXTRA", "MISSING", "TYPE", "Intake"]

MISSING = "missing"
"""Reason: the row had no such column."""
TYPE = "type"
"""Reason: the value is not of the column's type."""

MAX_EXTRA = 100


@dataclass(frozen=True, slots=True)
class Intake:
    """Counts of rows sent, refused and sent again, and of what was wrong with them.

    Parameters
    ----------
    rows_sent : int
        All rows that reached the monitor: accepted, refused and sent again.
    rows_refused : int
        Rows that were not kept.
    duplicates : int
        Rows whose event id was known already.
    refusals : dict of (str, str) to int
        Cells by feature and reason (``MISSING``, ``TYPE`` or any other short text), whether
        or not their row was refused. Features are the model's: give names from outside to
        ``extra``, which is bounded.
    extra : CategoryProfile
        How often columns came that the model does not know; at most 100 names.
    first_at, last_at : datetime or None
        Smallest and largest event time of the accepted rows; UTC with a zone, or all
        without one.

    Notes
    -----
    Merges exactly. Memory: features x reasons, and 100 names.

    >>> a = Intake.of(rows_sent=3, rows_refused=1, refusals={("age", TYPE): 1})
    >>> a.merge(Intake.of(rows_sent=2, duplicates=1)).accepted
    3
    """

    rows_sent: int
    rows_refused: int
    duplicates: int
    refusals: dict[tuple[str, str], int]
    extra: CategoryProfile
    first_at: dt.datetime | None
    last_at: dt.datetime | None

    @classmethod
    def of(
        cls,
        *,
        rows_sent: int,
        rows_refused: int = 0,
        duplicates: int = 0,
        refusals: Mapping[tuple[str, str], int] | None = None,
        extra: Mapping[str, int] | None = None,
        first_at: dt.datetime | None = None,
        last_at: dt.datetime | None = None,
    ) -> Self:
        """What one request brought to one window.

        Raises
        ------
        SchemaMismatch
            If more rows were refused or known than were sent.
        """
        if rows_refused + duplicates > rows_sent:
            raise SchemaMismatch(
                f"{rows_refused} refused and {duplicates} repeated rows of {rows_sent} sent",
                remedy="count refused and repeated rows among those sent, each once",
                rows_sent=rows_sent,
            )
        counts = {name: n for name, n in (extra or {}).items() if n}
        return cls(
            rows_sent,
            rows_refused,
            duplicates,
            _ordered({key: n for key, n in (refusals or {}).items() if n}),
            CategoryProfile.of(counts, rows=sum(counts.values()), limit=MAX_EXTRA),
            first_at,
            last_at,
        )

    @property
    def accepted(self) -> int:
        """Rows that were kept and are in the window's profile."""
        return self.rows_sent - self.rows_refused - self.duplicates

    def merge(self, other: Self) -> Self:
        """The intake of both, exactly."""
        refusals = dict(self.refusals)
        for key, n in other.refusals.items():
            refusals[key] = refusals.get(key, 0) + n
        firsts = [at for at in (self.first_at, other.first_at) if at is not None]
        lasts = [at for at in (self.last_at, other.last_at) if at is not None]
        return type(self)(
            self.rows_sent + other.rows_sent,
            self.rows_refused + other.rows_refused,
            self.duplicates + other.duplicates,
            _ordered(refusals),
            self.extra.merge(other.extra),
            min(firsts, default=None),
            max(lasts, default=None),
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        return {
            "rows_sent": self.rows_sent,
            "rows_refused": self.rows_refused,
            "duplicates": self.duplicates,
            "refusals": [[*key, n] for key, n in self.refusals.items()],
            "extra": self.extra.to_json(),
            "first_at": self.first_at and self.first_at.isoformat(),
            "last_at": self.last_at and self.last_at.isoformat(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            rows_sent=document["rows_sent"],
            rows_refused=document["rows_refused"],
            duplicates=document["duplicates"],
            refusals={(feature, why): n for feature, why, n in document["refusals"]},
            extra=CategoryProfile.from_json(document["extra"]),
            first_at=_moment(document["first_at"]),
            last_at=_moment(document["last_at"]),
        )


def _ordered(refusals: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    return dict(sorted(refusals.items()))


def _moment(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None
