"""What came, changed and went between two versions of a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tidemill.contracts import Split
from tidemill.errors import first_few
from tidemill.storage import PartEntry

__all__ = ["SourceChanges"]

_NAMED = 3


@dataclass(frozen=True, slots=True)
class SourceChanges:
    """How the splits of a source differ from those of the version before; by their addresses.

    Parameters
    ----------
    splits, same : int
        Splits of today, and how many of them were there with the same content.
    new, changed, gone : tuple of str
        Addresses that were not there, hold something else, or are not there any more.
    """

    splits: int
    same: int
    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    @classmethod
    def between(cls, before: Sequence[PartEntry], splits: Sequence[Split]) -> Self:
        """Compare the parts of an earlier version with today's splits.

        Memory: the addresses and digests of both.
        """
        earlier: dict[str, set[str]] = {}
        for part in before:
            earlier.setdefault(part.source, set()).add(part.split)
        today: dict[str, set[str]] = {}
        for split in splits:
            today.setdefault(split.address, set()).add(split.digest)
        return cls(
            len(splits),
            sum(split.digest in earlier.get(split.address, ()) for split in splits),
            tuple(address for address in today if address not in earlier),
            tuple(a for a, held in today.items() if a in earlier and held != earlier[a]),
            tuple(address for address in earlier if address not in today),
        )

    def __str__(self) -> str:
        kinds = {"new": self.new, "changed": self.changed, "gone": self.gone}
        named = [
            f"{len(found):,} {kind}: {first_few(found, _NAMED)}"
            for kind, found in kinds.items()
            if found
        ]
        return "; ".join([f"{self.same:,} of {self.splits:,} splits are as they were", *named])
