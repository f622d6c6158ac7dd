"""How many rows an expectation saw, missed and did not expect, with examples: a partial."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

__all__ = ["EXAMPLES", "Example", "RowTally"]

#: As many unexpected values as Great Expectations lists.
EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Example:
    """A value and where it stands: split, 0-based row in the split."""

    split: int
    row: int
    value: Any

    @property
    def place(self) -> tuple[int, int]:
        """What examples are ordered by."""
        return self.split, self.row


@dataclass(frozen=True, slots=True)
class RowTally:
    """What an expectation found in some rows.

    Parameters
    ----------
    rows : int
        Rows that meet its row condition.
    missing : int
        Of these, rows without a value in its column.
    considered : int
        Of these, rows that it judged.
    unexpected : int
        Of these, rows that do not meet it.
    examples : tuple of Example
        The first ``EXAMPLES`` unexpected values, by split and row.
    """

    rows: int = 0
    missing: int = 0
    considered: int = 0
    unexpected: int = 0
    examples: tuple[Example, ...] = ()

    def merge(self, other: Self) -> RowTally:
        """The tally of both sets of rows; exact, commutative, associative.

        >>> RowTally(rows=1).merge(RowTally(rows=2)).rows
        3
        """
        examples = sorted((*self.examples, *other.examples), key=lambda e: e.place)
        return RowTally(
            rows=self.rows + other.rows,
            missing=self.missing + other.missing,
            considered=self.considered + other.considered,
            unexpected=self.unexpected + other.unexpected,
            examples=tuple(examples[:EXAMPLES]),
        )

    def at(self, split: int) -> Self:
        """The tally of one split that has this number in the listing."""
        return replace(self, examples=tuple(replace(e, split=split) for e in self.examples))

    def to_json(self) -> dict[str, Any]:
        """A JSON document that :meth:`from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        examples = tuple(Example(**example) for example in document["examples"])
        return cls(**{**document, "examples": examples})
