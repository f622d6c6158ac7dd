"""Notes: small JSON documents that must outlive the process."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from tidemill.ledger.database import Commit, Database, tables, upsert
from tidemill.ledger.writer import Writer

__all__ = ["Notes"]


class Notes:
    """JSON documents by key."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database, self._writer = database, writer

    def get(self, key: str) -> Any:
        """The document of a key, or None."""
        t = tables.notes
        with self._database.read() as connection:
            return connection.execute(sa.select(t.c.value).where(t.c.key == key)).scalar()

    def put(self, key: str, value: Any, at: dt.datetime) -> None:
        """Database a document under its key; one that was there is replaced."""
        self.put_many({key: value}, at)

    def put_many(self, values: Mapping[str, Any], at: dt.datetime) -> None:
        """Write several documents in one commit."""
        rows = [{"key": key, "value": value, "updated_at": at} for key, value in values.items()]

        def write(commit: Commit) -> None:
            upsert(commit.connection, tables.notes, rows, key=["key"])
            commit.topic("notes")

        self._writer.call(write)

    def delete(self, key: str) -> None:
        """Remove a document, if it is there."""
        t = tables.notes
        self._writer.call(
            lambda commit: commit.connection.execute(sa.delete(t).where(t.c.key == key))
        )

    def keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with ``prefix``, sorted."""
        t = tables.notes
        chosen = sa.select(t.c.key).where(t.c.key.startswith(prefix, autoescape=True))
        with self._database.read() as connection:
            return sorted(connection.scalars(chosen))
