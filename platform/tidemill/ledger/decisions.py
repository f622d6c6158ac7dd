"""Decisions: fire, hold or suppress a retraining; each with its evidence, for ever.

Its states are in ``steps``. At most one decision is open for each model: the database's own
constraint.

A decision that fires takes labelled rows: those with a number in (``labels_after``,
``labels_through``]. It holds them while it is open, and for ever once it has finished; any other
end gives them back. Because one is open at a time, and each begins where the rows end that are
held, no row is passed over and none is held twice; one that has failed is tried again only as
long as nobody else holds its rows. Of its numbers it leaves out the rows that must not teach
(``withholding``): those are owed to the next one.
"""

from __future__ import annotations

import builtins
import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from tidemill.ledger import decision_steps
from tidemill.ledger.database import Commit, Database, insert_row, tables
from tidemill.ledger.decision import HOLDING, DecisionRow, get_decision, open_decision
from tidemill.ledger.decision_holds import (
    given_through,
    newest_holder,
    require_free,
    require_none_open,
)
from tidemill.ledger.decision_steps import Step
from tidemill.ledger.outbox import NewMessage, enqueue
from tidemill.ledger.row_reading import newest_records
from tidemill.ledger.withholding import Take, owed_after
from tidemill.ledger.writer import Writer

__all__ = ["Decisions"]

Tell = Callable[[DecisionRow], NewMessage | None]


class Decisions:
    """Decisions and their steps: each step in one commit with what it tells others."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database, self._writer = database, writer

    def open(
        self,
        *,
        model: str,
        champion_version: int,
        action: str = "fire",
        reason: str,
        evidence: Mapping[str, Any] | None = None,
        needs_approval: bool = False,
        source: str = "policy",
        labels: tuple[int, int] | None = None,
        at: dt.datetime,
        message: Tell | None = None,
    ) -> DecisionRow:
        """Record a decision; one that fires without approval enqueues its message as well.

        Parameters
        ----------
        labels : (int, int), optional
            Of a fire: the rows that it takes, from :meth:`labels_given` on.

        Raises
        ------
        DecisionOpen
            If a decision about this model is open.
        WrongState
            If another one holds some of ``labels``.
        """
        values = decision_steps.opened(
            action,
            labels,
            at,
            model=model,
            champion_version=champion_version,
            reason=reason,
            evidence=dict(evidence or {}),
            needs_approval=needs_approval,
            source=source,
        )

        def write(commit: Commit) -> DecisionRow:
            if action == "fire":
                require_none_open(commit.connection, model)
                require_free(commit.connection, model, labels)
            number = insert_row(commit.connection, tables.decisions, **values)
            commit.topic("decisions")
            return _tell(commit, get_decision(commit.connection, number), message, at)

        return self._writer.call(write)

    def approve(
        self, decision_id: int, *, note: str = "", at: dt.datetime, message: Tell | None = None
    ) -> DecisionRow:
        """A person agrees; the message is enqueued in the same commit.

        Raises
        ------
        RecordMissing, WrongState
            If there is no such decision, or it does not await approval.
        """
        return self._step(decision_id, decision_steps.answered("approved", note), at, message)

    def reject(self, decision_id: int, *, note: str = "", at: dt.datetime) -> DecisionRow:
        """A person refuses; it is closed.

        Raises
        ------
        RecordMissing, WrongState
            As :meth:`approve`.
        """
        return self._step(decision_id, decision_steps.answered("rejected", note, at), at)

    def stop(
        self, decision_id: int, *, note: str = "", at: dt.datetime, message: Tell | None = None
    ) -> DecisionRow:
        """A person ends its retraining: nothing is tried again, and its rows are given back.

        Parameters
        ----------
        message : callable, optional
            Makes what calls the flow run off; enqueued in the same commit. None: nothing runs.

        Raises
        ------
        RecordMissing, WrongState
            If there is no such decision, or it is neither approved nor started.
        """
        return self._step(decision_id, decision_steps.stopped(note, at), at, message)

    def supersede(
        self, model: str, champion_version: int, *, at: dt.datetime
    ) -> DecisionRow | None:
        """End the open decision about another version than the one that serves now.

        Only one of which no flow run has begun: what runs goes on, and so does what is tried
        again. A flow run that was asked for and has not begun is refused when it reports.

        Returns
        -------
        DecisionRow or None
            The one that was ended.
        """
        step = decision_steps.superseded(champion_version, at)
        found = self.current(model)
        if found is None or step(found) is None:
            return None
        ended = self._step(found.id, step, at)
        return ended if ended.state == "superseded" else None

    def launched(
        self,
        decision_id: int,
        *,
        attempt: int,
        flow_run_id: str,
        flow_run_url: str | None = None,
        at: dt.datetime,
    ) -> DecisionRow:
        """The orchestrator took the attempt; an older attempt changes nothing."""
        step = decision_steps.launched(attempt, flow_run_id, flow_run_url)
        return self._step(decision_id, step, at)

    def report(
        self,
        decision_id: int,
        *,
        attempt: int,
        state: str,
        at: dt.datetime,
        flow_run_id: str | None = None,
        flow_run_url: str | None = None,
        challenger_version: int | None = None,
        promoted: bool | None = None,
        outcome: Mapping[str, Any] | None = None,
    ) -> DecisionRow:
        """The flow says that it ``started``, ``finished`` or ``failed``; again: no effect.

        That it finished counts also where it was thought to have failed, or was stopped when it
        had its outcome already; that what was stopped has failed is no news.

        Raises
        ------
        RecordMissing, WrongState
            If there is no such decision, the attempt is not the present one, or it is closed.
        """
        news = {
            "flow_run_id": flow_run_id,
            "flow_run_url": flow_run_url,
            "challenger_version": challenger_version,
            "promoted": promoted,
            "outcome": None if outcome is None else dict(outcome),
        }
        return self._step(decision_id, decision_steps.reported(attempt, state, news, at), at)

    def retry(
        self, decision_id: int, *, at: dt.datetime, message: Tell | None = None
    ) -> DecisionRow:
        """Ask for another attempt; one that has failed is open again.

        Raises
        ------
        RecordMissing, WrongState, DecisionOpen
            If there is none, it is neither running nor failed, or another is open or has its rows
            by now.
        """
        return self._step(decision_id, decision_steps.tried_again, at, message)

    def get(self, decision_id: int) -> DecisionRow:
        """The decision of this number; :class:`RecordMissing` if there is none."""
        with self._database.read() as connection:
            return get_decision(connection, decision_id)

    def list(
        self, *, state: str | None = None, limit: int = 50, before: int | None = None
    ) -> list[DecisionRow]:
        """At most ``limit`` decisions below the number ``before``, the newest first."""
        found = newest_records(
            self._database, tables.decisions, state=state, limit=limit, before=before
        )
        return [DecisionRow(*row) for row in found]

    def current(self, model: str) -> DecisionRow | None:
        """The open decision about a model, or None."""
        with self._database.read() as connection:
            return open_decision(connection, model)

    def latest(self, model: str) -> DecisionRow | None:
        """The newest decision that fired, or None."""
        t = tables.decisions
        chosen = sa.select(t).where(t.c.model == model, t.c.action == "fire")
        with self._database.read() as connection:
            row = connection.execute(chosen.order_by(t.c.id.desc()).limit(1)).one_or_none()
        return None if row is None else DecisionRow(*row)

    def open_ones(self, model: str | None = None) -> builtins.list[DecisionRow]:
        """Every decision that has no end yet, oldest first."""
        t = tables.decisions
        chosen = sa.select(t).where(t.c.closed_at.is_(None)).order_by(t.c.id)
        if model is not None:
            chosen = chosen.where(t.c.model == model)
        with self._database.read() as connection:
            return [DecisionRow(*row) for row in connection.execute(chosen)]

    def past(
        self, model: str, champion_version: int, since: dt.datetime
    ) -> tuple[DecisionRow, ...]:
        """What a policy asks of the past, oldest first.

        Decisions that fired since then, the one that is open, and the last that fired about this
        champion version and was not superseded, however old.
        """
        t = tables.decisions
        fires = sa.and_(t.c.model == model, t.c.action == "fire")
        wanted = sa.union(
            sa.select(t.c.id).where(fires, t.c.opened_at >= since),
            sa.select(t.c.id).where(t.c.model == model, t.c.closed_at.is_(None)),
            sa.select(sa.func.max(t.c.id)).where(
                fires, t.c.champion_version == champion_version, t.c.state != "superseded"
            ),
        )
        chosen = sa.select(t).where(t.c.id.in_(wanted)).order_by(t.c.id)
        with self._database.read() as connection:
            return tuple(DecisionRow(*row) for row in connection.execute(chosen))

    def owed(self, model: str) -> builtins.list[Take]:
        """Rows that the decisions which hold rows left out, and owe to the next one."""
        with self._database.read() as connection:
            newest = newest_holder(connection, model)
        return [] if newest is None else owed_after(newest.takes)

    def labels_given(self, model: str) -> int:
        """The label number up to which decisions hold rows; the next begins after it."""
        with self._database.read() as connection:
            return given_through(connection, model)

    def _step(
        self,
        decision_id: int,
        step: Step,
        at: dt.datetime,
        message: Tell | None = None,
    ) -> DecisionRow:
        t = tables.decisions

        def write(commit: Commit) -> DecisionRow:
            decision = get_decision(commit.connection, decision_id)
            values = step(decision)
            if values is None:
                return decision
            if not decision.open and values.get("closed_at", at) is None:
                require_none_open(commit.connection, decision.model)
            if decision.state not in HOLDING and values.get("state") in HOLDING:
                require_free(commit.connection, decision.model, decision.labels)
            commit.connection.execute(
                sa.update(t).where(t.c.id == decision_id).values(**values, updated_at=at)
            )
            commit.topic("decisions")
            return _tell(commit, get_decision(commit.connection, decision_id), message, at)

        return self._writer.call(write)


def _tell(
    commit: Commit, decision: DecisionRow, message: Tell | None, at: dt.datetime
) -> DecisionRow:
    if message is not None and decision.state in ("approved", "stopped"):
        told = message(decision)
        enqueue(commit, [told] if told is not None else [], at)
    return decision
