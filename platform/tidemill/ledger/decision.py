"""One decision as it is kept, and which labelled rows it holds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger.database import RecordMissing, WrongState, tables
from tidemill.ledger.withholding import Take

__all__ = ["HOLDING", "DecisionRow", "get_decision", "open_decision"]

HOLDING = ("awaiting approval", "approved", "started", "finished")
"""States in which a decision holds the rows that it took."""


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One decision about one champion version.

    Parameters
    ----------
    action : str
        ``fire``, ``suppress`` or ``hold``.
    state : str
        ``awaiting approval``, ``approved``, ``rejected``, ``started``, ``finished``,
        ``failed``, ``superseded``, ``stopped`` or ``suppressed``.
    evidence : dict
    source : str
        ``policy``, or who asked.
    attempt : int
        Flow runs that were asked for; with the id it makes the flow's idempotency key.
    labels_after, labels_through : int or None
        Numbers of the labelled rows that it took; None where it fired without any, or not.
    outcome : dict or None
        What the flow reported.
    """

    id: int
    model: str
    champion_version: int
    action: str
    state: str
    reason: str
    evidence: Mapping[str, Any]
    source: str
    needs_approval: bool
    attempt: int
    labels_after: int | None
    labels_through: int | None
    challenger_version: int | None
    promoted: bool | None
    flow_run_id: str | None
    flow_run_url: str | None
    outcome: Mapping[str, Any] | None
    note: str
    opened_at: dt.datetime
    updated_at: dt.datetime
    closed_at: dt.datetime | None

    @property
    def open(self) -> bool:
        """Whether it has no end yet."""
        return self.closed_at is None

    @property
    def labels(self) -> tuple[int, int] | None:
        """The label numbers that it took when it fired, held still or not; None without any."""
        if self.labels_after is None or self.labels_through is None:
            return None
        return self.labels_after, self.labels_through

    @property
    def rows(self) -> tuple[int, int]:
        """The label numbers, (after, through], of the rows that it holds.

        Raises
        ------
        WrongState
            If it holds none: it never fired, or has ended without success.
        """
        if self.state not in HOLDING:
            raise WrongState.of("decision", self.id, self.state, " or ".join(HOLDING), self.note)
        return self.labels_after or 0, self.labels_through or 0

    @property
    def takes(self) -> tuple[Take, ...]:
        """The rows that it holds, as :attr:`rows`, without those that must not teach.

        Settled when it fired: a window that is found broken later takes none of them back.
        """
        held = self.rows
        told = self.evidence.get("takes")
        return (Take(*held),) if told is None else tuple(Take.from_json(take) for take in told)


def get_decision(connection: Connection, decision_id: int) -> DecisionRow:
    """The decision of this number.

    Raises
    ------
    RecordMissing
        If there is none.
    """
    t = tables.decisions
    row = connection.execute(sa.select(t).where(t.c.id == decision_id)).one_or_none()
    if row is None:
        raise RecordMissing.of("decision", decision_id)
    return DecisionRow(*row)


def open_decision(connection: Connection, model: str) -> DecisionRow | None:
    """The one decision about a model that has no end yet, or None."""
    t = tables.decisions
    chosen = sa.select(t).where(t.c.model == model, t.c.closed_at.is_(None))
    row = connection.execute(chosen).one_or_none()
    return None if row is None else DecisionRow(*row)
