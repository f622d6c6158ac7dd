"""One process writes to a store: a file lock beside SQLite, an advisory lock in PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger.database.ledger_errors import LedgerInUse
from tidemill.storage import FileHeld, FileLock

__all__ = ["file_lock", "hold_advisory_lock"]

_ADVISORY_KEY = 0x7469_6465  # one writer to a database


def file_lock(path: Path, what: str) -> FileLock:
    """Lock ``path`` for the store ``what``.

    Raises
    ------
    LedgerInUse
        If it is locked.
    OSError
        If the file cannot be opened.
    """
    try:
        return FileLock.take(path, mode=0o600)
    except FileHeld as exc:
        raise _in_use(what, exc.holder) from exc


def hold_advisory_lock(connection: Connection, what: str) -> None:
    """Lock the database for writing as long as ``connection`` lives.

    Raises
    ------
    LedgerInUse
        If another session holds the lock.
    """
    with connection.begin():
        held = connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_ADVISORY_KEY)))
    if not held:
        raise _in_use(what, "another session")


def _in_use(what: str, holder: str) -> LedgerInUse:
    return LedgerInUse(
        f"{what} is written to by another process ({holder})",
        remedy="stop the other monitor, or give this one another store",
        store=what,
        holder=holder,
    )
