"""Who may come in: API keys, sessions, and webhook messages that were seen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from tidemill.ledger.database import AnyRow, Commit, Database, tables
from tidemill.ledger.writer import Writer

__all__ = ["Key", "KeyRows", "Session", "SessionRows"]


@dataclass(frozen=True, slots=True)
class Key:
    """An API key; only a digest of its secret is kept."""

    id: str
    digest: bytes
    scopes: tuple[str, ...]
    name: str
    created_at: dt.datetime
    expires_at: dt.datetime | None = None
    revoked_at: dt.datetime | None = None
    last_used_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A login; only a digest of its cookie is kept."""

    digest: bytes
    key_id: str
    csrf: str
    created_at: dt.datetime
    expires_at: dt.datetime


class KeyRows:
    """API keys as the store holds them: their hashes, never the keys."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database, self._writer = database, writer

    def add(self, key: Key) -> Key:
        """Database a key; who listens to ``keys`` hears of it."""

        def write(commit: Commit) -> Key:
            values = {**asdict(key), "scopes": list(key.scopes)}
            commit.connection.execute(sa.insert(tables.keys).values(**values))
            commit.topic("keys")
            return key

        return self._writer.call(write)

    def get(self, key_id: str) -> Key | None:
        """The key of that id, revoked and expired ones included."""
        t = tables.keys
        with self._database.read() as connection:
            row = connection.execute(sa.select(t).where(t.c.id == key_id)).one_or_none()
        return None if row is None else _key(row)

    def list(self) -> list[Key]:
        """All keys, oldest first."""
        t = tables.keys
        with self._database.read() as connection:
            chosen = sa.select(t).order_by(t.c.created_at, t.c.id)
            return [_key(row) for row in connection.execute(chosen)]

    def count(self) -> int:
        """Keys that are not revoked."""
        t = tables.keys
        with self._database.read() as connection:
            chosen = sa.select(sa.func.count()).where(t.c.revoked_at.is_(None))
            return int(connection.scalar(chosen) or 0)

    def revoke(self, key_id: str, at: dt.datetime) -> bool:
        """Let nobody in with it any more; its sessions end too. False if there is none."""
        t, s = tables.keys, tables.sessions

        def write(commit: Commit) -> bool:
            commit.topic("keys")
            commit.connection.execute(sa.delete(s).where(s.c.key_id == key_id))
            mine = sa.update(t).where(t.c.id == key_id, t.c.revoked_at.is_(None))
            return bool(commit.connection.execute(mine.values(revoked_at=at)).rowcount)

        return self._writer.call(write)

    def touch(self, key_id: str, at: dt.datetime) -> None:
        """Note that it was used; returns at once, nobody waits for it."""
        t = tables.keys

        def write(commit: Commit) -> None:
            commit.connection.execute(sa.update(t).where(t.c.id == key_id).values(last_used_at=at))

        self._writer.submit(write)


class SessionRows:
    """Logins as the store holds them: digests of their cookies."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database, self._writer = database, writer

    def add(self, session: Session) -> Session:
        """Database a login; it ends at its ``expires_at``, or by :meth:`end`."""

        def write(commit: Commit) -> Session:
            commit.connection.execute(sa.insert(tables.sessions).values(**asdict(session)))
            return session

        return self._writer.call(write)

    def get(self, digest: bytes, now: dt.datetime) -> Session | None:
        """The session of a cookie, unless it has expired."""
        t = tables.sessions
        chosen = sa.select(t).where(t.c.digest == digest, t.c.expires_at > now)
        with self._database.read() as connection:
            row = connection.execute(chosen).one_or_none()
        return None if row is None else Session(*row)

    def end(self, digest: bytes) -> None:
        """Delete a login: its cookie opens nothing any more."""
        t = tables.sessions
        self._writer.call(
            lambda commit: commit.connection.execute(sa.delete(t).where(t.c.digest == digest))
        )


def _key(row: AnyRow) -> Key:
    values: Sequence[Any] = row
    return Key(values[0], values[1], tuple(values[2]), *values[3:])
