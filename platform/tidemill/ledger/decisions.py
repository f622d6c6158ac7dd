r"""Decisions: fire, hold or suppress a retraining; each with its evidence, for ever.

::

    fire ----> awaiting approval --approve--> approved --report--> started --report--> finished
                     |                           ^                    |                 or failed
                     `--reject--> rejected       `------ retry <------'--------------------'
    suppress, hold --> suppressed

    awaiting approval, approved (and nothing has begun) --supersede--> superseded
    approved, started --stop--> stopped

A decision is open until it has an end. At most one is open for each model: the database's own
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
from tidemill.ledger.withholding import Take, owed_after
from tidemill.ledger.writer import Commit, Writer

__all__ = ["Decision", "Decisions"]

_RUNNING = ("approved", "started")
_WAITING = ("awaiting approval", "approved")
_HOLDING = ("awaiting approval", "approved", "started", "finished")
_GIVEN_UP = ("failed", "stopped")


@dataclass(frozen=True, slots=True)
class Decision:
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
    def rows(self) -> tuple[int, int]:
        """The label numbers, (after, through], of the rows that it holds.

        Raises
        ------
        WrongState
            If it holds none: it never fired, or has ended without success.
        """
        if self.state not in _HOLDING:
            raise WrongState.of("decision", self.id, self.state, " or ".join(_HOLDING), self.note)
        return self.labels_after or 0, self.labels_through or 0

    @property
    def takes(self) -> tuple[Take, ...]:
        """The rows that it holds, as :attr:`rows`, without those that must not teach.

        Settled when it fired: a window that is found broken later takes none of them back.
        """
        held = self.rows
        told = self.evidence.get("takes")
        return (Take(*held),) if told is None else tuple(Take.from_json(take) for take in told)


Tell = Callable[[Decision], NewMessage | None]


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
        labels: tuple[int, int] | None = None,
        at: dt.datetime,
        message: Tell | None = None,
    ) -> Decision:
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
            "labels_after": labels[0] if labels and fires else None,
            "labels_through": labels[1] if labels and fires else None,
            "note": "",
            "opened_at": at,
            "updated_at": at,
            "closed_at": None if fires else at,
        }

        def write(commit: Commit) -> Decision:
            if fires:
                _none_open(commit.connection, model)
                _rows_free(commit.connection, model, labels)
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

    def stop(
        self, decision_id: int, *, note: str = "", at: dt.datetime, message: Tell | None = None
    ) -> Decision:
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

        def change(decision: Decision) -> dict[str, Any]:
            said = "; ".join(filter(None, (decision.note, note)))
            return {"state": "stopped", "note": said, "closed_at": at}

        return self._step(decision_id, _RUNNING, at, message, change)

    def supersede(self, model: str, champion_version: int, *, at: dt.datetime) -> Decision | None:
        """End the open decision about another version than the one that serves now.

        Only one of which no flow run has begun: what runs goes on, and so does what is tried
        again. A flow run that was asked for and has not begun is refused when it reports.

        Returns
        -------
        Decision or None
            The one that was ended.
        """

        def replaced(decision: Decision | None) -> bool:
            return (
                decision is not None
                and decision.champion_version != champion_version
                and decision.state in _WAITING
                and decision.attempt == 1
            )

        if not replaced(self.current(model)):
            return None
        t = tables.decisions

        def write(commit: Commit) -> Decision | None:
            decision = _open_one(commit.connection, model)
            if decision is None or not replaced(decision):
                return None
            said = f"version {champion_version} took the place of {decision.champion_version}"
            note = f"{decision.note}; {said}" if decision.note else said
            commit.connection.execute(
                sa.update(t)
                .where(t.c.id == decision.id)
                .values(state="superseded", note=note, updated_at=at, closed_at=at)
            )
            commit.topic("decisions")
            return _get(commit.connection, decision.id)

        return self._writer.call(write)

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

        That it finished counts also where it was thought to have failed, or was stopped when it
        had its outcome already; that what was stopped has failed is no news.

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
            if (decision.state, state) == ("stopped", "failed"):
                return None
            late = decision.state in _GIVEN_UP and state == "finished"
            if decision.state not in _RUNNING and not late:
                raise WrongState.of(
                    "decision", decision_id, decision.state, " or ".join(_RUNNING), decision.note
                )
            news = {name: value for name, value in given.items() if value is not None}
            return {**news, "state": state, "closed_at": None if state == "started" else at}

        return self._step(decision_id, None, at, None, change)

    def retry(self, decision_id: int, *, at: dt.datetime, message: Tell | None = None) -> Decision:
        """Ask for another attempt; one that has failed is open again.

        Raises
        ------
        RecordMissing, WrongState, DecisionOpen
            If there is none, it is neither running nor failed, or another is open or has its rows
            by now.
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

    def current(self, model: str) -> Decision | None:
        """The open decision about a model, or None."""
        with self._store.read() as connection:
            return _open_one(connection, model)

    def latest(self, model: str) -> Decision | None:
        """The newest decision that fired, or None."""
        t = tables.decisions
        chosen = sa.select(t).where(t.c.model == model, t.c.action == "fire")
        with self._store.read() as connection:
            row = connection.execute(chosen.order_by(t.c.id.desc()).limit(1)).one_or_none()
        return None if row is None else Decision(*row)

    def open_ones(self, model: str | None = None) -> builtins.list[Decision]:
        """Every decision that has no end yet, oldest first."""
        t = tables.decisions
        chosen = sa.select(t).where(t.c.closed_at.is_(None)).order_by(t.c.id)
        if model is not None:
            chosen = chosen.where(t.c.model == model)
        with self._store.read() as connection:
            return [Decision(*row) for row in connection.execute(chosen)]

    def past(self, model: str, champion_version: int, since: dt.datetime) -> tuple[Decision, ...]:
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
        with self._store.read() as connection:
            return tuple(Decision(*row) for row in connection.execute(chosen))

    def owed(self, model: str) -> builtins.list[Take]:
        """Rows that the decisions which hold rows left out, and owe to the next one."""
        t = tables.decisions
        held = t.c.model == model, t.c.labels_through.is_not(None), t.c.state.in_(_HOLDING)
        newest = sa.select(t).where(*held).order_by(t.c.labels_through.desc(), t.c.id.desc())
        with self._store.read() as connection:
            row = connection.execute(newest.limit(1)).one_or_none()
        return [] if row is None else owed_after(Decision(*row).takes)

    def labels_given(self, model: str) -> int:
        """The label number up to which decisions hold rows; the next begins after it."""
        with self._store.read() as connection:
            return _given(connection, model)

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
                raise WrongState.of(
                    "decision", decision_id, decision.state, " or ".join(allowed), decision.note
                )
            values = change(decision)
            if values is None:
                return decision
            if not decision.open and values.get("closed_at", at) is None:
                _none_open(commit.connection, decision.model)
            if decision.state not in _HOLDING and values.get("state") in _HOLDING:
                _rows_free(commit.connection, decision.model, _taken(decision))
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


def _open_one(connection: Connection, model: str) -> Decision | None:
    t = tables.decisions
    chosen = sa.select(t).where(t.c.model == model, t.c.closed_at.is_(None))
    row = connection.execute(chosen).one_or_none()
    return None if row is None else Decision(*row)


def _none_open(connection: Connection, model: str) -> None:
    found = _open_one(connection, model)
    if found is not None:
        raise DecisionOpen(
            f"decision {found.id} about version {found.champion_version} of {model} is open",
            remedy="wait for its end, or reject it",
            decision_id=found.id,
            state=found.state,
        )


def _given(connection: Connection, model: str) -> int:
    t = tables.decisions
    held = t.c.model == model, t.c.labels_through.is_not(None), t.c.state.in_(_HOLDING)
    newest = sa.select(t.c.labels_through).where(*held).order_by(t.c.labels_through.desc())
    return int(connection.scalar(newest.limit(1)) or 0)


def _taken(decision: Decision) -> tuple[int, int] | None:
    if decision.labels_after is None or decision.labels_through is None:
        return None
    return decision.labels_after, decision.labels_through


def _rows_free(connection: Connection, model: str, labels: tuple[int, int] | None) -> None:
    if labels is not None and labels[0] < (given := _given(connection, model)):
        raise WrongState.of(
            "the rows with labels",
            f"{labels[0] + 1} to {labels[1]}",
            f"given away up to {given}",
            "with nobody",
        )


def _tell(commit: Commit, decision: Decision, message: Tell | None, at: dt.datetime) -> Decision:
    if message is not None and decision.state in ("approved", "stopped"):
        told = message(decision)
        enqueue(commit, [told] if told is not None else [], at)
    return decision
