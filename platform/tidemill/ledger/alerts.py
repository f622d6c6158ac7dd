"""Alerts: one open incident for each key, however often it is raised."""

from __future__ import annotations

import builtins
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger.database import Commit, Database, RecordMissing, WrongState, insert_row, tables
from tidemill.ledger.outbox import NewMessage, enqueue
from tidemill.ledger.row_reading import newest_records
from tidemill.ledger.writer import Writer

__all__ = ["Alert", "Alerts"]


@dataclass(frozen=True, slots=True)
class Alert:
    """An incident.

    Parameters
    ----------
    key : str
        What makes it the same incident.
    rule, segment : str
        What raised it, and about which rows; the segment is empty for all of them.
    model_version : int or None
        Whose rows; None where it is about no model's.
    state : str
        ``open``, ``acknowledged`` or ``resolved``.
    count : int
        How often it was raised while it was not resolved.
    """

    id: int
    key: str
    rule: str
    segment: str
    model_version: int | None
    severity: str
    state: str
    title: str
    detail: Mapping[str, Any]
    window_id: int | None
    count: int
    opened_at: dt.datetime
    updated_at: dt.datetime
    acknowledged_at: dt.datetime | None
    resolved_at: dt.datetime | None
    note: str


class Alerts:
    """All incidents, open and past."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database, self._writer = database, writer

    def raise_(
        self,
        key: str,
        *,
        rule: str,
        segment: str = "",
        model_version: int | None = None,
        severity: str,
        title: str,
        detail: Mapping[str, Any] | None = None,
        window_id: int | None = None,
        at: dt.datetime,
        messages: Sequence[NewMessage] = (),
    ) -> tuple[Alert, bool]:
        """Open an incident, or count the open one of that key once more.

        Returns
        -------
        (Alert, bool)
            True for a new incident: only then are ``messages`` put into the outbox, in the
            same commit.
        """
        values = {
            "rule": rule,
            "segment": segment,
            "model_version": model_version,
            "severity": severity,
            "title": title,
            "detail": dict(detail or {}),
            "window_id": window_id,
            "updated_at": at,
        }

        def write(commit: Commit) -> tuple[Alert, bool]:
            commit.topic("alerts")
            known = _find_open(commit.connection, key)
            if known is not None:
                _update(commit.connection, known.id, **values, count=known.count + 1)
                return _get(commit.connection, known.id), False
            number = insert_row(
                commit.connection,
                tables.alerts,
                key=key,
                state="open",
                count=1,
                opened_at=at,
                note="",
                **values,
            )
            enqueue(commit, messages, at)
            return _get(commit.connection, number), True

        return self._writer.call(write)

    def acknowledge(self, alert_id: int, *, note: str = "", at: dt.datetime) -> Alert:
        """Somebody looks after it; acknowledging again changes nothing.

        Raises
        ------
        RecordMissing, WrongState
            If there is no such alert, or it is resolved.
        """

        def write(commit: Commit) -> Alert:
            alert = _not_resolved(commit.connection, alert_id)
            if alert.state == "acknowledged":
                return alert
            commit.topic("alerts")
            return _update(
                commit.connection,
                alert_id,
                state="acknowledged",
                acknowledged_at=at,
                updated_at=at,
                note=note or alert.note,
            )

        return self._writer.call(write)

    def resolve(
        self,
        alert_id: int,
        *,
        note: str = "",
        at: dt.datetime,
        messages: Sequence[NewMessage] = (),
    ) -> Alert:
        """It is over; the next of its key is a new incident.

        Raises
        ------
        RecordMissing, WrongState
            If there is no such alert, or it is resolved already.
        """

        def write(commit: Commit) -> Alert:
            alert = _not_resolved(commit.connection, alert_id)
            return _resolve(commit, alert, note, at, messages)

        return self._writer.call(write)

    def resolve_key(
        self, key: str, *, at: dt.datetime, note: str = "", messages: Sequence[NewMessage] = ()
    ) -> Alert | None:
        """Resolve the open incident of a key, if there is one."""

        def write(commit: Commit) -> Alert | None:
            alert = _find_open(commit.connection, key)
            return None if alert is None else _resolve(commit, alert, note, at, messages)

        return self._writer.call(write)

    def get(self, alert_id: int) -> Alert:
        """The alert of this number; :class:`RecordMissing` if there is none."""
        with self._database.read() as connection:
            return _get(connection, alert_id)

    def find_open(self, key: str) -> Alert | None:
        """The incident of a key that is not resolved."""
        with self._database.read() as connection:
            return _find_open(connection, key)

    def last(self, rule: str, segment: str, model_version: int | None = None) -> Alert | None:
        """The newest incident of a rule about a version's rows in a segment, open or over."""
        t = tables.alerts
        chosen = sa.select(t).where(
            t.c.rule == rule,
            t.c.segment == segment,
            t.c.model_version.is_not_distinct_from(model_version),
        )
        with self._database.read() as connection:
            row = connection.execute(chosen.order_by(t.c.id.desc()).limit(1)).one_or_none()
        return None if row is None else Alert(*row)

    def knows_run(
        self, key: str, rule: str, segment: str, model_version: int, first: int, last: int
    ) -> bool:
        """Whether an incident, open or over, has this key, or tells of a window of a run.

        Parameters
        ----------
        first, last : int
            The first and last window of the run.
        """
        t = tables.alerts
        chosen = sa.select(t.c.id).where(
            t.c.rule == rule,
            t.c.segment == segment,
            t.c.model_version == model_version,
            (t.c.key == key) | t.c.window_id.between(first, last),
        )
        with self._database.read() as connection:
            return connection.execute(chosen.limit(1)).first() is not None

    def open_ones(self, segment: str | None = None) -> builtins.list[Alert]:
        """Every incident that is not resolved, of a segment if one is named, oldest first."""
        t = tables.alerts
        chosen = sa.select(t).where(t.c.resolved_at.is_(None)).order_by(t.c.id)
        if segment is not None:
            chosen = chosen.where(t.c.segment == segment)
        with self._database.read() as connection:
            return [Alert(*row) for row in connection.execute(chosen)]

    def open_count(self) -> int:
        """Incidents that are not resolved."""
        t = tables.alerts
        with self._database.read() as connection:
            chosen = sa.select(sa.func.count()).where(t.c.resolved_at.is_(None))
            return int(connection.scalar(chosen) or 0)

    def list(
        self, *, state: str | None = None, limit: int = 50, before: int | None = None
    ) -> list[Alert]:
        """At most ``limit`` alerts below the number ``before``, the newest first."""
        found = newest_records(
            self._database, tables.alerts, state=state, limit=limit, before=before
        )
        return [Alert(*row) for row in found]


def _get(connection: Connection, alert_id: int) -> Alert:
    t = tables.alerts
    row = connection.execute(sa.select(t).where(t.c.id == alert_id)).one_or_none()
    if row is None:
        raise RecordMissing.of("alert", alert_id)
    return Alert(*row)


def _find_open(connection: Connection, key: str) -> Alert | None:
    t = tables.alerts
    chosen = sa.select(t).where(t.c.key == key, t.c.resolved_at.is_(None))
    row = connection.execute(chosen).one_or_none()
    return None if row is None else Alert(*row)


def _not_resolved(connection: Connection, alert_id: int) -> Alert:
    alert = _get(connection, alert_id)
    if alert.state == "resolved":
        raise WrongState.of("alert", alert_id, alert.state, "open or acknowledged")
    return alert


def _resolve(
    commit: Commit, alert: Alert, note: str, at: dt.datetime, messages: Sequence[NewMessage]
) -> Alert:
    commit.topic("alerts")
    enqueue(commit, messages, at)
    return _update(
        commit.connection,
        alert.id,
        state="resolved",
        resolved_at=at,
        updated_at=at,
        note=note or alert.note,
    )


def _update(connection: Connection, alert_id: int, **values: Any) -> Alert:
    t = tables.alerts
    connection.execute(sa.update(t).where(t.c.id == alert_id).values(**values))
    return _get(connection, alert_id)
