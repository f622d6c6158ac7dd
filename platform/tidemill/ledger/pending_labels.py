"""Labels that came before their event: kept until it comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger.database import Commit, tables
from tidemill.ledger.event_ids import IdRun, Ids, Numbers, add_run, find_in_run

__all__ = ["PENDING_LIMIT", "PendingIds", "insert_labels"]

PENDING_LIMIT = 1_000_000
_AT_ONCE = 400


class PendingIds:
    """The ids of labels that wait, in memory: 24 bytes each, at most ``PENDING_LIMIT`` of them.

    An id stays here after its event came; it is then known as a duplicate and never asked for
    again, and goes when the store is opened the next time.
    """

    def __init__(self) -> None:
        self._runs: tuple[IdRun, ...] = ()

    def load(self, connection: Connection) -> int:
        """Read the ids that wait; returns how many."""
        keys = connection.scalars(sa.select(tables.pending.c.id)).all()
        self._runs = ()
        self.add(Ids.of_keys(keys))
        return len(keys)

    def add(self, ids: Ids) -> None:
        """Note ids that wait, once that is committed."""
        if len(ids):
            self._runs = add_run(self._runs, IdRun.of(ids, np.zeros(len(ids), np.int64)))

    def attach(self, commit: Commit, ids: Ids, seq: Numbers) -> int:
        """Give the labels that wait for these new rows to them; returns how many."""
        waits = np.zeros(len(ids), np.bool_)
        for run in self._runs:
            waits |= find_in_run(run, ids.high, ids.low) >= 0
        rows = np.flatnonzero(waits)
        by_key = dict(zip(ids.take(rows).keys(), seq[rows].tolist(), strict=True))
        found = read_pending(commit.connection, list(by_key))
        if not found:
            return 0
        insert_labels(commit, [{**label, "seq": by_key[key]} for key, label in found.items()])
        _delete(commit, list(found))
        commit.set_mark("pending", commit.mark("pending") - len(found))
        return len(found)


def read_pending(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, dict[str, Any]]:
    """The labels that wait under some ids: word, value, at."""
    t = tables.pending
    found = {}
    for start in range(0, len(keys), _AT_ONCE):
        chosen = sa.select(t.c.id, t.c.word, t.c.value, t.c.at).where(
            t.c.id.in_(keys[start : start + _AT_ONCE])
        )
        for row in connection.execute(chosen):
            found[row.id] = {"word": row.word, "value": row.value, "at": row.at}
    return found


def insert_labels(commit: Commit, labels: Sequence[Mapping[str, Any]]) -> None:
    """Database labels of known rows (seq, word, value, at) under the next label numbers."""
    if not labels:
        return
    number = commit.mark("label_number")
    rows = [{**label, "number": number + i} for i, label in enumerate(labels, start=1)]
    commit.connection.execute(sa.insert(tables.labels), rows)
    commit.set_mark("label_number", number + len(rows))
    commit.topic("labels")


def _delete(commit: Commit, keys: Sequence[bytes]) -> None:
    t = tables.pending
    for start in range(0, len(keys), _AT_ONCE):
        commit.connection.execute(sa.delete(t).where(t.c.id.in_(keys[start : start + _AT_ONCE])))
