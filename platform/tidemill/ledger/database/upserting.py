"""Insert or update, in the words that SQLite and PostgreSQL share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

__all__ = ["insert_new", "insert_row", "upsert"]


def upsert(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, key: Sequence[str]
) -> None:
    """Insert rows; of those whose key is there, replace the other columns."""
    if not rows:
        return
    statement = _insert(connection, table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in key}
    connection.execute(
        statement.on_conflict_do_update(index_elements=list(key), set_=changed), list(rows)
    )


def insert_row(connection: Connection, table: Table, **values: Any) -> int:
    """Insert a row whose number the database gives; returns the number."""
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    return int(key[0]) if key else -1


def insert_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless a unique constraint forbids it; whether it was inserted."""
    statement = _insert(connection, table).values(**row).on_conflict_do_nothing()
    key = table.primary_key.columns.values()[0]
    return connection.execute(statement.returning(key)).first() is not None


def _insert(connection: Connection, table: Table) -> Any:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
