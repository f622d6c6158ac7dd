r"""Decisions: fire, hold or suppress a retraining; each with its evidence, for ever.

::

    fire ----> awaiting approval --approve--> approved --report--> started --report--> finished
                     |                           |  \                 |                 or failed
                     `--reject--> rejected       |   `--- retry <----'-------------------'
    suppress, hold --> suppressed                `-- fail --> failed

A decision is open until it has an end. At most one is open for each champion version: the
database's own constraint.
"""

from __future__ import annotations

import builtins
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger import tables
from tidemill.ledger.faults import DecisionOpen, RecordMissing, WrongState
from tidemill.ledger.outbox import NewMessage, enqueue
from tidemill.ledger.reading import newest_records
from tidemill.ledger.store import Store
from tidemill.ledger.upserting import insert_row
from tidemill.ledger.writer import Commit, Writer

__all__ = ["Decision", "Decisions"]

_RUNNING = ("approved", "started")


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision about one champion version.

    Parameters
    ----------
    action : str
        ``fire``, ``suppress`` or ``hold``.
    state : str
        ``awaiting approval``, ``approved``, ``rejected``, ``started``, ``finished``,
        ``failed`` or ``suppressed``.
    evidence : dict
    source : str
        ``policy``, or who asked.
    attempt : int
        Flow runs that were asked for; with the id it makes the flow's idempotency key.
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


Tell = Callable[[Decision], NewMessage]


class Decisions:
    """All decisions."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._store, self._writer = store, writer

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
        at: dt.datetime,
        message: Tell | None = None,
    ) -> Decision:
        """Record a decision; one that fires without approval enqueues its message as well.

        Raises
        ------
        DecisionOpen
            If a decision about this champion version is open.
        """
        fires = action == "fire"
        state = "suppressed" if not fires else "awaiting approval" if needs_approval else "approved"
        values = {
            "model": model,
            "champion_version": champion_version,
            "action": action,
            "state": state,
            "reason": reason,
            "evidence": dict(evidence or {}),
            "source": source,
            "needs_approval": needs_approval,
            "attempt": 1,
            "note": "",
            "opened_at": at,
            "updated_at": at,
            "closed_at": None if fires else at,
        }

        def write(commit: Commit) -> Decision:
            if fires:
                _none_open(commit.connection, model, champion_version)
            number = insert_row(commit.connection, tables.decisions, **values)
            commit.topic("decisions")
            return _tell(commit, _get(commit.connection, number), message, at)

        return self._writer.call(write)

    def approve(
        self, decision_id: int, *, note: str = "", at: dt.datetime, message: Tell | None = None
    ) -> Decision:
        """A person agrees; the message is enqueued in the same commit.

        Raises
        ------
        RecordMissing, WrongState
            If there is no such decision, or it does not await approval.
        """
        return self._step(
            decision_id,
            ("awaiting approval",),
            at,
            message,
            lambda _: {"state": "approved", "note": note},
        )

    def reject(self, decision_id: int, *, note: str = "", at: dt.datetime) -> Decision:
        """A person refuses; it is closed.

        Raises
        ------
        RecordMissing, WrongState
            As :meth:`approve`.
        """
        return self._step(
            decision_id,
            ("awaiting approval",),
            at,
            None,
            lambda _: {"state": "rejected", "note": note, "closed_at": at},
        )

    def launched(
        self,
        decision_id: int,
        *,
        attempt: int,
        flow_run_id: str,
        flow_run_url: str | None = None,
        at: dt.datetime,
    ) -> Decision:
        """The orchestrator took the attempt; an older attempt changes nothing."""

        def change(decision: Decision) -> dict[str, Any] | None:
            if attempt != decision.attempt:
                return None
            return {"flow_run_id": flow_run_id, "flow_run_url": flow_run_url}

        return self._step(decision_id, None, at, None, change)

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
    ) -> Decision:
        """The flow says that it ``started``, ``finished`` or ``failed``; again: no effect.

        Raises
        ------
        RecordMissing, WrongState
            If there is no such decision, the attempt is not the present one, or it is closed.
        """
        given = {
            "flow_run_id": flow_run_id,
            "flow_run_url": flow_run_url,
            "challenger_version": challenger_version,
            "promoted": promoted,
            "outcome": None if outcome is None else dict(outcome),
        }

        def change(decision: Decision) -> dict[str, Any] | None:
            if attempt != decision.attempt:
                raise WrongState.of(
                    f"attempt {attempt} of decision",
                    decision_id,
                    f"superseded by attempt {decision.attempt}",
                    "the newest",
                )
            if decision.state == state and state != "started":
                return None
            if decision.state not in _RUNNING:
                raise WrongState.of("decision", decision_id, decision.state, " or ".join(_RUNNING))
            news = {name: value for name, value in given.items() if value is not None}
            return {**news, "state": state, "closed_at": None if state == "started" else at}

        return self._step(decision_id, None, at, None, change)

    def retry(self, decision_id: int, *, at: dt.datetime, message: Tell | None = None) -> Decision:
        """Ask for another attempt; one that has failed is open again.

        Raises
        ------
        RecordMissing, WrongState, DecisionOpen
            If there is none, it is neither running nor failed, or another is open by now.
        """
        return self._step(
            decision_id,
            (*_RUNNING, "failed"),
            at,
            message,
            lambda decision: {
                "state": "approved",
                "attempt": decision.attempt + 1,
                "flow_run_id": None,
                "flow_run_url": None,
                "closed_at": None,
            },
        )

    def fail(self, decision_id: int, *, outcome: Mapping[str, Any], at: dt.datetime) -> Decision:
        """Close a running decision without success.

        Raises
        ------
        RecordMissing, WrongState
            If there is no such decision, or it is not running.
        """
        return self._step(
            decision_id,
            _RUNNING,
            at,
            None,
            lambda _: {"state": "failed", "outcome": dict(outcome), "closed_at": at},
        )

    def get(self, decision_id: int) -> Decision:
        """One decision."""
        with self._store.read() as connection:
            return _get(connection, decision_id)

    def list(
        self, *, state: str | None = None, limit: int = 50, before: int | None = None
    ) -> list[Decision]:
        """Decisions, newest first."""
        found = newest_records(
            self._store, tables.decisions, state=state, limit=limit, before=before
        )
        return [Decision(*row) for row in found]

    def current(self, model: str, champion_version: int) -> Decision | None:
        """The open decision about a champion version, or None."""
        with self._store.read() as connection:
            return _open_one(connection, model, champion_version)

    def open_ones(self, model: str | None = None) -> builtins.list[Decision]:
        """Every decision that has no end yet, oldest first."""
        t = tables.decisions
        chosen = sa.select(t).where(t.c.closed_at.is_(None)).order_by(t.c.id)
        if model is not None:
            chosen = chosen.where(t.c.model == model)
        with self._store.read() as connection:
            return [Decision(*row) for row in connection.execute(chosen)]

    def past(self, model: str, since: dt.datetime) -> tuple[Decision, ...]:
        """Decisions that were opened since then, oldest first."""
        t = tables.decisions
        chosen = sa.select(t).where(t.c.model == model, t.c.opened_at >= since).order_by(t.c.id)
        with self._store.read() as connection:
            return tuple(Decision(*row) for row in connection.execute(chosen))

    def _step(
        self,
        decision_id: int,
        allowed: tuple[str, ...] | None,
        at: dt.datetime,
        message: Tell | None,
        change: Callable[[Decision], dict[str, Any] | None],
    ) -> Decision:
        t = tables.decisions

        def write(commit: Commit) -> Decision:
            decision = _get(commit.connection, decision_id)
            if allowed is not None and decision.state not in allowed:
                raise WrongState.of("decision", decision_id, decision.state, " or ".join(allowed))
            values = change(decision)
            if values is None:
                return decision
            if not decision.open and values.get("closed_at", at) is None:
                _none_open(commit.connection, decision.model, decision.champion_version)
            commit.connection.execute(
                sa.update(t).where(t.c.id == decision_id).values(**values, updated_at=at)
            )
            commit.topic("decisions")
            return _tell(commit, _get(commit.connection, decision_id), message, at)

        return self._writer.call(write)


def _get(connection: Connection, decision_id: int) -> Decision:
    t = tables.decisions
    row = connection.execute(sa.select(t).where(t.c.id == decision_id)).one_or_none()
    if row is None:
        raise RecordMissing.of("decision", decision_id)
    return Decision(*row)


def _open_one(connection: Connection, model: str, champion_version: int) -> Decision | None:
    t = tables.decisions
    chosen = sa.select(t).where(
        t.c.model == model, t.c.champion_version == champion_version, t.c.closed_at.is_(None)
    )
    row = connection.execute(chosen).one_or_none()
    return None if row is None else Decision(*row)


def _none_open(connection: Connection, model: str, champion_version: int) -> None:
    found = _open_one(connection, model, champion_version)
    if found is not None:
        raise DecisionOpen(
            f"decision {found.id} about version {champion_version} of {model} is open",
            remedy="wait for its end, or reject it",
            decision_id=found.id,
            state=found.state,
        )


def _tell(commit: Commit, decision: Decision, message: Tell | None, at: dt.datetime) -> Decision:
    if message is not None and decision.state == "approved":
        enqueue(commit, [message(decision)], at)
    return decision
