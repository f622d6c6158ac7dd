"""Rows that came after their window was closed: found when they are folded, kept with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import sqlalchemy as sa

from tidemill.ledger.database import Commit, tables
from tidemill.ledger.event_ids import Numbers
from tidemill.ledger.late_masks import Mask, pack_mask
from tidemill.ledger.unfolded import Unfolded

__all__ = ["late_masks", "mark_late"]


def late_masks(items: Iterable[Unfolded], late: Sequence[Numbers]) -> dict[int, Mask]:
    """By the first row of each batch: which of its rows are late.

    Parameters
    ----------
    items : iterable of Unfolded
        Of one model version.
    late : sequence of (n,) int64
        Positions of the late rows among those of the version.
    """
    if not late:
        return {}
    positions = np.concatenate(late)
    found = {}
    for item in items:
        mine = positions - item.note.position
        mask = np.zeros(item.note.rows, np.bool_)
        mask[mine[(mine >= 0) & (mine < item.note.rows)]] = True
        if mask.any():
            found[item.first_seq] = mask
    return found


def mark_late(commit: Commit, masks: dict[int, Mask]) -> None:
    """Write down which rows of their batches are late."""
    b = tables.batches
    for first_seq, mask in masks.items():
        commit.connection.execute(
            sa.update(b).where(b.c.first_seq == first_seq).values(late=pack_mask(mask))
        )
