"""Cells that were not read as they came: one law for what is scored, taught and sent.

Ingestion sends a row with such a cell to quarantine. Where a row must be answered all the same
(``tidemill score``, ``retrain --labelled``, the monitor's door) it is counted by column, with the
first places, and said; above ``ingestion.max_invalid_fraction`` tables are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from tidemill.errors import ValidationFailed, first_few

__all__ = ["OddCells", "Oddities", "Oddity"]

MAX_PLACES = 3
_MAX_TEXT = 60
_NAMED = 5
_SAID_OF = 10


class Oddity(StrEnum):
    """What is odd about a cell."""

    UNREADABLE = "unreadable"  # not of the column's type: without a value
    KEY_LOST = "key lost"  # a key that is no key of the model's type: without a value
    NO_KEY = "no key"  # a key that is empty, or a word that means missing
    NEVER_SEEN = "never seen"  # a category that training rows did not have
    ROUNDED = "rounded"  # a number that the column's float32 alters
    CUT = "cut"  # a time finer than microseconds, a whole number that float64 does not hold

    @property
    def invalid(self) -> bool:
        """Whether the cell is left without a value, which makes its row invalid."""
        return self in (Oddity.UNREADABLE, Oddity.KEY_LOST)

    def said(self, *, rows_stay: bool = True) -> str:
        """For people, of some cells of a column, whose rows are answered or left out."""
        return _SAID[self] if rows_stay or not self.invalid else _LEFT_OUT[self]


_SAID = {
    Oddity.UNREADABLE: "cannot be read and count as missing",
    Oddity.KEY_LOST: "are no keys of the model's table and are left empty",
    Oddity.NO_KEY: "are empty, or a word for missing: their rows have no key",
    Oddity.NEVER_SEEN: "are categories that training rows never had",
    Oddity.ROUNDED: "are rounded to float32, as the model has the column",
    Oddity.CUT: "lose digits (times have microseconds, whole numbers the 53 bits of float64)",
}
_LEFT_OUT = {
    Oddity.UNREADABLE: "cannot be read: their rows are left out",
    Oddity.KEY_LOST: "are no keys of the model's table: their rows are left out",
}


@dataclass(frozen=True, slots=True)
class OddCells:
    """Cells of one column that are odd in one way.

    Parameters
    ----------
    cells : int
    places : tuple of (str, str or None)
        Of the first at most three: where it stands, and its text; None where it is not known.
    """

    cells: int
    places: tuple[tuple[str, str | None], ...] = ()

    @classmethod
    def of(
        cls, rows: Sequence[int], where: Callable[[int], str], text: Callable[[int], str | None]
    ) -> Self:
        """The cells of ``rows``, ascending; ``where`` and ``text`` say of one what it is."""
        return cls(len(rows), tuple((where(row), _cut(text(row))) for row in rows[:MAX_PLACES]))

    def merge(self, other: Self) -> Self:
        """Both; the places of this one come first."""
        places = (*self.places, *other.places)[:MAX_PLACES]
        return type(self)(self.cells + other.cells, places)


@dataclass(frozen=True, slots=True)
class Oddities:
    """All that was not read as it came, of a table or a part of one.

    Parameters
    ----------
    rows : int
        All records, those that are no rows too.
    invalid : int
        Rows with a cell that is left without a value, and records that are no rows.
    lines : int
        Records that are no rows.
    cells : mapping of (column, Oddity) to OddCells

    Notes
    -----
    Merges exactly, but for which places are kept. Memory: columns x oddities.

    >>> odd = OddCells(1, (("a.csv, row 4", "11,0"),))
    >>> part = Oddities(10, 1, cells={("price", Oddity.UNREADABLE): odd})
    >>> part.merge(part).sentences()
    ["price: 2 cells cannot be read and count as missing (first '11,0' at a.csv, row 4)"]
    """

    rows: int = 0
    invalid: int = 0
    lines: int = 0
    cells: Mapping[tuple[str, Oddity], OddCells] = field(default_factory=dict)

    def merge(self, other: Self) -> Self:
        """Of both parts; this one's come first."""
        cells = dict(self.cells)
        for key, odd in other.cells.items():
            cells[key] = cells[key].merge(odd) if key in cells else odd
        return type(self)(
            self.rows + other.rows,
            self.invalid + other.invalid,
            self.lines + other.lines,
            cells,
        )

    def count(self, oddity: Oddity) -> int:
        """Cells that are odd in one way, over all columns."""
        return sum(odd.cells for (_, kind), odd in self.cells.items() if kind is oddity)

    def table(self) -> list[dict[str, Any]]:
        """A row a column and oddity, the most cells first: for screens and summaries."""
        ordered = sorted(self.cells.items(), key=lambda item: (-item[1].cells, item[0]))
        return [
            {
                "column": column,
                "cells": odd.cells,
                "oddity": str(oddity),
                "such_as": odd.places[0][1] if odd.places else None,
                "first_at": odd.places[0][0] if odd.places else None,
            }
            for (column, oddity), odd in ordered
        ]

    def sentences(self, *, rows_stay: bool = True) -> list[str]:
        """What is said of the columns with the most such cells, and how many more there are."""
        table = self.table()
        said = [
            f"{row['column']}: {row['cells']:,} cells "
            + Oddity(row["oddity"]).said(rows_stay=rows_stay)
            + _first(row["such_as"], row["first_at"])
            for row in table[:_SAID_OF]
        ]
        if self.lines:
            said.append(f"{self.lines:,} lines are no rows and were left out")
        if len(table) > _SAID_OF:
            said.append(f"and {len(table) - _SAID_OF:,} more columns have such cells")
        return said

    def refusal(self, limit: float, *, source: str, remedy: str) -> ValidationFailed | None:
        """The error to raise where more than ``limit`` of the rows are invalid, or all are.

        >>> of = {"source": "a.csv", "remedy": "mend it"}
        >>> [Oddities(4, bad).refusal(1.0, **of) is None for bad in (0, 3, 4)]
        [True, True, False]
        """
        if not self.invalid or not (self.invalid / self.rows > limit or self.invalid == self.rows):
            return None
        worst = [
            f"{row['cells']:,} in {row['column']} (such as {row['such_as']!r})"
            for row in self.table()
            if Oddity(row["oddity"]).invalid
        ]
        shown = f"; unreadable cells: {first_few(worst, _NAMED)}" if worst else ""
        lines = f"; {self.lines:,} lines are no rows" if self.lines else ""
        return ValidationFailed(
            f"{source}: {self.invalid:,} of {self.rows:,} rows ({self.invalid / self.rows:.1%}) "
            f"cannot be read as the model's table was; at most {limit:.1%} may be so"
            f"{shown}{lines}",
            remedy=remedy,
            source=source,
            rows=self.rows,
            invalid=self.invalid,
            lines=self.lines,
            odd_cells=self.table(),
        )


def _first(text: str | None, where: str | None) -> str:
    if where is None:
        return ""
    return f" (first at {where})" if text is None else f" (first {text!r} at {where})"


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 3]}..."
