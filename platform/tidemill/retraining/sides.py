"""Which labelled live rows judge and which may teach: by stretches of time; pure.

Neighbours in time are often alike. Were rows that judge drawn one by one from between those that
teach, a model would have seen their like, and its figures on them would promise too much. So whole
stretches of time judge, spread over all that is known: what was learnt before and after a change
is judged too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.metrics import STRETCHES
from tidemill.storage import salted_hash

__all__ = ["UNTIMED", "Cut", "Sides", "stretch_numbers"]

UNTIMED = np.iinfo(np.int64).min
"""The time of a row that has none."""

_SALT = "learn or proof"
_GOLDEN = (5**0.5 - 1) / 2
_COARSER = (STRETCHES, 10, 5, 3, 2, 1)
_SHARE_MAY_BE_OFF = 0.2

Times = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cut:
    """The sides of all rows of a stretch of time, known or to come.

    Parameters
    ----------
    first, last : int
        Its ends, both included; microseconds since 1970.
    proof : tuple of (int, int)
        Half-open stretches whose rows judge. None where the times cannot be cut (one time for
        nearly all rows): there the hash of a row's id tells.
    """

    first: int
    last: int
    proof: tuple[tuple[int, int], ...] | None

    @classmethod
    def of(cls, times: Times, share: float) -> Self:
        """A cut for rows of these times, at least one: equal parts of them, a stretch in each.

        Notes
        -----
        O(rows) memory. Where in its part a stretch lies follows the golden ratio, so that it
        keeps step with no week or day. Rows of one time stay together; where they are too many
        for twenty parts there are fewer.
        """
        moments, counts = np.unique(times, return_counts=True)
        ends = np.cumsum([0, *counts])
        for parts in _COARSER:
            proof = _stretches(ends, share, parts)
            held = sum(int(ends[stop] - ends[start]) for start, stop in proof) / len(times)
            if abs(held - share) <= _SHARE_MAY_BE_OFF * share and held < 1:
                edges = np.append(moments, moments[-1] + 1).tolist()
                stretches = tuple((edges[start], edges[stop]) for start, stop in proof)
                return cls(int(moments[0]), int(moments[-1]), stretches)
        return cls(int(moments[0]), int(moments[-1]), None)

    def holds(self, times: Times) -> Mask:
        """Which rows' sides it tells."""
        return (times >= self.first) & (times <= self.last)

    def judges(self, times: Times, hashed: Mask) -> Mask:
        """Which of the rows it holds judge; ``hashed`` is what their ids say."""
        if self.proof is None:
            return hashed
        edges = np.asarray(self.proof, np.int64).ravel()
        # Between an even edge and an odd one: within a stretch.
        inside: Mask = np.searchsorted(edges, times, side="right") % 2 == 1
        return inside

    def to_json(self) -> dict[str, Any]:
        """A JSON document that :meth:`from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        proof = document["proof"]
        stretches = None if proof is None else tuple((first, last) for first, last in proof)
        return cls(document["first"], document["last"], stretches)


def _stretches(ends: npt.NDArray[np.int64], share: float, parts: int) -> list[tuple[int, int]]:
    """In each part a stretch, from the number of one moment to that of another one."""
    rows, number = int(ends[-1]), np.arange(parts)
    begin = (number + (number + 1) * _GOLDEN % 1 * (1 - share)) * rows / parts
    start, stop = (_nearest(ends, wanted) for wanted in (begin, begin + share * rows / parts))
    return [(a, b) for a, b in zip(start.tolist(), stop.tolist(), strict=True) if a < b]


def _nearest(ends: npt.NDArray[np.int64], wanted: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Numbers of the moments before which there are about the wanted rows."""
    after = np.searchsorted(ends, wanted).clip(1, len(ends) - 1)
    nearest: npt.NDArray[np.int64] = after - (wanted - ends[after - 1] < ends[after] - wanted)
    return nearest


@dataclass(frozen=True, slots=True)
class Sides:
    """The sides of all live rows so far: a row never changes sides, whenever it comes.

    Parameters
    ----------
    share : float
        Of the rows that judge.
    cuts : tuple of Cut
        The first one that holds a row tells; rows without time go by their hash.
    """

    share: float
    cuts: tuple[Cut, ...] = ()

    def extended(self, times: Times) -> Self:
        """With a further cut for those rows that no cut holds; itself where there are none.

        Parameters
        ----------
        times : (rows,) int64
            Microseconds since 1970, :data:`UNTIMED` where a row has no time.
        """
        free = times != UNTIMED
        for cut in self.cuts:
            free &= ~cut.holds(times)
        if not free.any():
            return self
        return type(self)(self.share, (*self.cuts, Cut.of(times[free], self.share)))

    def judges(self, times: Times, hashes: npt.NDArray[np.uint64]) -> Mask:
        """Which rows judge; the others may be learnt from.

        Parameters
        ----------
        times : (rows,) int64
        hashes : (rows,) uint64
            Of what names each row; the truth must be no part of it, lest it decide who is judged
            by it.
        """
        hashed = salted_hash(hashes, _SALT) < np.uint64(int(self.share * 2**64))
        found = hashed.copy()
        for cut in reversed(self.cuts):
            held = cut.holds(times)
            found[held] = cut.judges(times[held], hashed[held])
        return found


def stretch_numbers(times: Times) -> npt.NDArray[np.int64]:
    """For each row, in which of :data:`~tidemill.metrics.STRETCHES` equal parts of time it lies.

    Rows of one time follow their order, as do those without time. (rows,) int64.
    """
    numbers = np.empty(len(times), np.int64)
    numbers[np.argsort(times, kind="stable")] = (
        np.arange(len(times)) * STRETCHES // max(len(times), 1)
    )
    return numbers
