"""What stands in a decision's way: one that is open, and rows that another one holds."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger.database import DecisionOpen, WrongState, tables
from tidemill.ledger.decision import HOLDING, DecisionRow, open_decision

__all__ = ["given_through", "newest_holder", "require_free", "require_none_open"]


def newest_holder(connection: Connection, model: str) -> DecisionRow | None:
    """The decision that holds the newest rows, or None."""
    t = tables.decisions
    held = t.c.model == model, t.c.labels_through.is_not(None), t.c.state.in_(HOLDING)
    newest = sa.select(t).where(*held).order_by(t.c.labels_through.desc(), t.c.id.desc())
    row = connection.execute(newest.limit(1)).one_or_none()
    return None if row is None else DecisionRow(*row)


def given_through(connection: Connection, model: str) -> int:
    """The label number up to which decisions hold rows."""
    newest = newest_holder(connection, model)
    return 0 if newest is None else newest.rows[1]


def require_free(connection: Connection, model: str, labels: tuple[int, int] | None) -> None:
    """Refuse rows, (after, through], of which another decision holds some.

    Raises
    ------
    WrongState
        If one does.
    """
    if labels is not None and labels[0] < (given := given_through(connection, model)):
        raise WrongState.of(
            "the rows with labels",
            f"{labels[0] + 1} to {labels[1]}",
            f"given away up to {given}",
            "with nobody",
        )


def require_none_open(connection: Connection, model: str) -> None:
    """Refuse a second open decision.

    Raises
    ------
    DecisionOpen
        If one about this model has no end yet.
    """
    found = open_decision(connection, model)
    if found is not None:
        raise DecisionOpen(
            f"decision {found.id} about version {found.champion_version} of {model} is open",
            remedy="wait for its end, or reject it",
            decision_id=found.id,
            state=found.state,
        )
