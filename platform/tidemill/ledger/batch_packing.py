"""Small batches that were folded together become one: many rows of a table become few."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from tidemill.ledger.database import Commit, tables
from tidemill.ledger.event_batches import pack_rows
from tidemill.ledger.late_masks import pack_mask, unpack_mask
from tidemill.ledger.unfolded import Unfolded

__all__ = ["pack_small"]

_SMALL_ROWS = 1024
_PACKED_ROWS = 16_384
_PACKED_SPAN = dt.timedelta(minutes=10)


def pack_small(commit: Commit, items: Sequence[Unfolded]) -> None:
    """Many small batches become few: rows keep their numbers, so that nothing else changes."""
    several: list[Unfolded] = []
    rows = 0
    for item in items:
        if several and (rows + item.note.rows > _PACKED_ROWS or _apart(several[0], item)):
            _pack(commit, several, rows)
            several, rows = [], 0
        several.append(item)
        rows += item.note.rows
    _pack(commit, several, rows)


def _apart(first: Unfolded, item: Unfolded) -> bool:
    """Whether the two came too long after one another to be forgotten together."""
    return item.note.received_at - first.note.received_at > _PACKED_SPAN


def _pack(commit: Commit, items: Sequence[Unfolded], rows: int) -> None:
    if len(items) < 2 or rows >= _SMALL_ROWS * len(items):
        return
    b = tables.batches
    inside = (b.c.first_seq >= items[0].first_seq, b.c.first_seq < items[-1].end_seq)
    chosen = sa.select(b.c.rows, b.c.min_at, b.c.max_at, b.c.late).where(*inside)
    found = commit.connection.execute(chosen.order_by(b.c.first_seq)).all()
    joined = pa.concat_tables([item.table for item in items]).unify_dictionaries()
    outcomes, features = pack_rows(joined, items[0].outcomes)
    commit.connection.execute(sa.delete(b).where(b.c.first_seq != items[0].first_seq, *inside))
    commit.connection.execute(
        sa.update(b)
        .where(b.c.first_seq == items[0].first_seq)
        .values(
            rows=rows,
            outcomes=outcomes,
            features=features,
            min_at=min(row.min_at for row in found),
            max_at=max(row.max_at for row in found),
            late=pack_mask(np.concatenate([unpack_mask(row.late, row.rows) for row in found])),
            # Retention goes by the youngest row.
            received_at=max(item.note.received_at for item in items),
        )
    )
