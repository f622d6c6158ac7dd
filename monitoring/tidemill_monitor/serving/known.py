"""Rows of a request whose ids are known: the same events again, or others under their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.ledger import Ledger
from tidemill.schema import Purpose
from tidemill_monitor.serving.champion import Champion

__all__ = ["Known", "known_rows"]

_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Known:
    """Rows whose event was stored before: it stays, and nothing of these is stored.

    Parameters
    ----------
    rows : tuple of int
    changed : tuple of int
        Those whose features are not the stored ones.
    """

    rows: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()

    def at(self, positions: Sequence[int]) -> Known:
        """The same where ``positions`` says which row of the request each is."""
        return Known(
            tuple(positions[row] for row in self.rows),
            tuple(positions[row] for row in self.changed),
        )

    def document(self) -> dict[str, Any]:
        """What an answer says of them."""
        return {
            "duplicates": len(self.rows),
            "duplicate_rows": list(self.rows[:_LISTED]),
            "changed": len(self.changed),
            "changed_rows": list(self.changed[:_LISTED]),
        }


def known_rows(ledger: Ledger, events: pa.Table, champion: Champion) -> Known:
    """Which rows of ``events`` have a known id, or one that an earlier of them has.

    Compared are the features, the time column aside: it may have been left out.

    Notes
    -----
    Reads a stored batch for each that holds one of the events; memory is one of them.
    """
    names = [c.name for c in champion.schema.features if c.purpose is not Purpose.TIME]
    known = np.zeros(len(events), np.bool_)
    changed = np.zeros(len(events), np.bool_)
    for rows, stored in ledger.events.stored(events["event_id"]):
        known[rows] = True
        changed[rows] = _differ(events.take(pa.array(rows)), stored, names)
    first: dict[str, int] = {}
    ids = events["event_id"].to_pylist()
    inside = [(row, first.setdefault(name, row)) for row, name in enumerate(ids)]
    again = np.array([pair for pair in inside if pair[0] != pair[1]], np.int64).reshape(-1, 2)
    again = again[~known[again[:, 0]]]
    if len(again):
        rows, earlier = again.T
        known[rows] = True
        changed[rows] = _differ(events.take(pa.array(rows)), events.take(pa.array(earlier)), names)
    return Known(tuple(np.flatnonzero(known).tolist()), tuple(np.flatnonzero(changed).tolist()))


def _differ(sent: pa.Table, stored: pa.Table, names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which rows differ in one of the columns; one that is not there has no value."""
    found = np.zeros(len(sent), np.bool_)
    for name in names:
        a = _decoded(sent[name])
        has = name in stored.schema.names
        b = _decoded(stored[name]).cast(a.type) if has else pa.nulls(len(sent), a.type)
        same = pc.fill_null(pc.equal(a, b), False)
        none = pc.and_(pc.is_null(a), pc.is_null(b))
        found |= ~pc.or_(same, none).to_numpy(zero_copy_only=False)
    return found


def _decoded(values: Any) -> Any:
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return whole.cast(whole.type.value_type) if pa.types.is_dictionary(whole.type) else whole
