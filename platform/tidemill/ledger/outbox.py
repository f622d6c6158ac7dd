"""The outbox: what must be told to others, kept until it was told."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger.database import Commit, Database, RecordMissing, insert_new, tables
from tidemill.ledger.row_reading import newest_records
from tidemill.ledger.writer import Writer

__all__ = ["Message", "NewMessage", "Outbox", "back_off_seconds", "enqueue"]

_LONGEST_SECONDS = 3600.0
_LONGEST = dt.timedelta(seconds=_LONGEST_SECONDS)
_STATES = ("pending", "leased", "done", "dead", "outdated")


@dataclass(frozen=True, slots=True)
class NewMessage:
    """Something to be told.

    Parameters
    ----------
    kind, target : str
        Who carries it where, for example ``webhook`` and the name of a channel.
    payload : dict
        JSON.
    key : str, optional
        A message of the same key is never enqueued twice.
    max_attempts : int
        After so many it is dead.
    due_at : datetime, optional
        Not before.
    series : str, optional
        What it tells of. Messages of one kind, target and series arrive in order: each waits for
        the one before, and none is delivered after a later one.
    """

    kind: str
    target: str
    payload: Mapping[str, Any]
    key: str | None = None
    max_attempts: int = 12
    due_at: dt.datetime | None = None
    series: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A message in the outbox.

    Parameters
    ----------
    state : str
        ``pending``, ``leased``, ``done``, ``dead``, or ``outdated``: a later one of its series was
        delivered before it could be.
    attempts : int
        Claims so far; counted before the attempt, so that a crash counts too.
    lease : str
        Names the claim; only its holder may finish it.
    """

    id: int
    kind: str
    target: str
    payload: Mapping[str, Any]
    key: str | None
    state: str
    attempts: int
    max_attempts: int
    due_at: dt.datetime
    leased_until: dt.datetime | None
    lease: str
    last_error: str
    created_at: dt.datetime
    finished_at: dt.datetime | None
    series: str | None = None


def back_off_seconds(message_id: int, attempts: int) -> float:
    """Seconds until the next attempt: doubled each time, at most an hour, spread over half.

    The jitter is a hash of message and attempt: messages that failed together do not come back
    together, and the same history gives the same times.

    >>> 1.0 <= back_off_seconds(7, 1) <= 2.0
    True
    """
    longest = min(_LONGEST_SECONDS, 2.0 ** min(attempts, 32))
    digest = hashlib.blake2b(f"{message_id}-{attempts}".encode(), digest_size=8).digest()
    return longest * (0.5 + 0.5 * int.from_bytes(digest, "little") / 2**64)


def enqueue(commit: Commit, messages: Sequence[NewMessage], at: dt.datetime) -> None:
    """Put messages into the outbox, in the caller's transaction."""
    for message in messages:
        row = {
            "kind": message.kind,
            "target": message.target,
            "payload": dict(message.payload),
            "key": message.key,
            "state": "pending",
            "attempts": 0,
            "max_attempts": message.max_attempts,
            "due_at": message.due_at or at,
            "lease": "",
            "last_error": "",
            "created_at": at,
            "series": message.series,
        }
        if insert_new(commit.connection, tables.outbox, row):
            commit.topic("outbox")


class Outbox:
    """Messages, each carried out at least once and, by lease, by one worker at a time."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database, self._writer = database, writer

    def add(self, message: NewMessage, *, at: dt.datetime) -> Message | None:
        """Enqueue a message by itself; None if its key is there."""

        def write(commit: Commit) -> Message | None:
            t = tables.outbox
            last = commit.connection.scalar(sa.select(sa.func.max(t.c.id))) or 0
            enqueue(commit, [message], at)
            chosen = sa.select(t).where(t.c.id > last)
            row = commit.connection.execute(chosen).one_or_none()
            return None if row is None else Message(*row)

        return self._writer.call(write)

    def claim(
        self,
        *,
        limit: int = 10,
        lease_seconds: float = 60.0,
        at: dt.datetime,
        kinds: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        besides: Sequence[str] = (),
    ) -> list[Message]:
        """Take messages that are due, for ``lease_seconds``; then others may take them again.

        One that comes after another of its series waits until that is done, dead or outdated; one
        that a later one has overtaken (it was dead, and is sent again) is outdated now.

        Parameters
        ----------
        kinds, targets : sequence of str, optional
            Only of these; None: of all.
        besides : sequence of str
            Not to these targets.
        """
        t, lease = tables.outbox, dt.timedelta(seconds=lease_seconds)
        due = sa.or_(
            sa.and_(t.c.state == "pending", t.c.due_at <= at),
            sa.and_(t.c.state == "leased", t.c.leased_until <= at),
            # No lease is that long: it was given by a clock that was ahead.
            sa.and_(t.c.state == "leased", t.c.leased_until > at + _LONGEST + lease),
        )
        chosen = sa.select(t.c.id).where(due, ~_waits()).order_by(t.c.due_at, t.c.id).limit(limit)
        if kinds is not None:
            chosen = chosen.where(t.c.kind.in_(kinds))
        if targets is not None:
            chosen = chosen.where(t.c.target.in_(targets))
        if besides:
            chosen = chosen.where(t.c.target.not_in(besides))
        with self._database.read() as connection:
            if not connection.execute(chosen.limit(1)).first():
                return []  # asked every second: do not write for nothing
        holder = uuid.uuid4().hex

        def write(commit: Commit) -> list[Message]:
            numbers = commit.connection.scalars(chosen).all()
            _set_aside_overtaken(commit, numbers, at)
            commit.connection.execute(
                sa.update(t)
                .where(t.c.id.in_(numbers), t.c.state != "outdated")
                .values(
                    state="leased",
                    lease=holder,
                    attempts=t.c.attempts + 1,
                    leased_until=at + lease,
                )
            )
            taken = (
                sa.select(t)
                .where(t.c.id.in_(numbers), t.c.state == "leased")
                .order_by(t.c.due_at, t.c.id)
            )
            return [Message(*row) for row in commit.connection.execute(taken)]

        return self._writer.call(write)

    def finish(self, message: Message, *, at: dt.datetime) -> bool:
        """It was told; False if the lease was lost meanwhile."""

        def write(commit: Commit) -> bool:
            commit.topic("outbox")
            return _change(
                commit.connection,
                message,
                state="done",
                finished_at=at,
                leased_until=None,
                last_error="",
            )

        return self._writer.call(write)

    def fail(
        self,
        message: Message,
        *,
        error: str,
        at: dt.datetime,
        permanent: bool = False,
        retry_after: float | None = None,
    ) -> Message:
        """It was not told: try again later, or never after ``max_attempts`` or if permanent.

        Not before ``retry_after`` seconds, of which an hour counts.
        """
        dead = permanent or message.attempts >= message.max_attempts
        seconds = back_off_seconds(message.id, message.attempts)
        seconds = max(seconds, min(retry_after or 0.0, _LONGEST_SECONDS))

        def write(commit: Commit) -> Message:
            commit.topic("outbox")
            _change(
                commit.connection,
                message,
                state="dead" if dead else "pending",
                due_at=at + dt.timedelta(seconds=seconds),
                finished_at=at if dead else None,
                leased_until=None,
                last_error=error[:2000],
            )
            return _get(commit.connection, message.id)

        return self._writer.call(write)

    def postpone(self, kind: str, due: Callable[[Message], dt.datetime]) -> int:
        """Say anew when the waiting messages of a kind are due; returns how many changed.

        Those that are being carried out now stay as they are. Memory: one message.
        """
        t = tables.outbox
        waiting = sa.select(t.c.id).where(t.c.kind == kind, t.c.state == "pending")

        def write(commit: Commit) -> int:
            changed = 0
            for number in commit.connection.scalars(waiting.order_by(t.c.id)).all():
                message = _get(commit.connection, number)
                if (at := due(message)) != message.due_at:
                    chosen = sa.update(t).where(t.c.id == number).values(due_at=at)
                    changed += commit.connection.execute(chosen).rowcount
            if changed:
                commit.topic("outbox")
            return changed

        return self._writer.call(write)

    def replay(self, ids: Sequence[int] | None = None, *, at: dt.datetime) -> int:
        """Make dead messages pending again; returns how many."""
        t = tables.outbox
        statement = sa.update(t).where(t.c.state == "dead")
        if ids is not None:
            statement = statement.where(t.c.id.in_(list(ids)))

        def write(commit: Commit) -> int:
            commit.topic("outbox")
            return commit.connection.execute(
                statement.values(state="pending", attempts=0, due_at=at, finished_at=None)
            ).rowcount

        return self._writer.call(write)

    def get(self, message_id: int) -> Message:
        """The message of this number; :class:`RecordMissing` if there is none."""
        with self._database.read() as connection:
            return _get(connection, message_id)

    def list(
        self, *, state: str | None = None, limit: int = 50, before: int | None = None
    ) -> list[Message]:
        """At most ``limit`` messages below the number ``before``, the newest first."""
        found = newest_records(
            self._database, tables.outbox, state=state, limit=limit, before=before
        )
        return [Message(*row) for row in found]

    def counts(self) -> dict[str, int]:
        """How many messages are in each state."""
        t = tables.outbox
        chosen = sa.select(t.c.state, sa.func.count()).group_by(t.c.state)
        with self._database.read() as connection:
            found = {row[0]: row[1] for row in connection.execute(chosen)}
        return {state: found.get(state, 0) for state in _STATES}


def _waits() -> sa.ColumnElement[bool]:
    """Whether an earlier message of the series is still to be delivered."""
    t, earlier = tables.outbox, tables.outbox.alias("earlier")
    return sa.exists().where(
        *_of_one_series(earlier), earlier.c.id < t.c.id, earlier.c.state.in_(("pending", "leased"))
    )


def _set_aside_overtaken(commit: Commit, numbers: Sequence[int], at: dt.datetime) -> None:
    """What a later message of its series came before is not told any more."""
    t, later = tables.outbox, tables.outbox.alias("later")
    overtaken = sa.exists().where(
        *_of_one_series(later), later.c.id > t.c.id, later.c.state == "done"
    )
    found = commit.connection.execute(
        sa.update(t)
        .where(t.c.id.in_(numbers), overtaken)
        .values(
            state="outdated",
            finished_at=at,
            leased_until=None,
            last_error="a later message of the same series was delivered",
        )
    )
    if found.rowcount:
        commit.topic("outbox")


def _of_one_series(other: sa.FromClause) -> tuple[sa.ColumnElement[bool], ...]:
    t = tables.outbox
    return tuple(other.c[name] == t.c[name] for name in ("kind", "target", "series"))


def _get(connection: Connection, message_id: int) -> Message:
    t = tables.outbox
    row = connection.execute(sa.select(t).where(t.c.id == message_id)).one_or_none()
    if row is None:
        raise RecordMissing.of("message", message_id)
    return Message(*row)


def _change(connection: Connection, message: Message, **values: Any) -> bool:
    t = tables.outbox
    mine = sa.and_(t.c.id == message.id, t.c.state == "leased", t.c.lease == message.lease)
    return bool(connection.execute(sa.update(t).where(mine).values(**values)).rowcount)
