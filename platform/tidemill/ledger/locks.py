"""One process writes to a store: a file lock beside SQLite, an advisory lock in PostgreSQL."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger.faults import LedgerInUse

__all__ = ["FileLock", "hold_advisory_lock"]

_ADVISORY_KEY = 0x7469_6465  # one writer to a database


class FileLock:
    """The kernel's lock on a file; it is gone the moment its holder is, however it ended.

    Parameters
    ----------
    descriptor : int
        The open file that is locked.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path, what: str) -> FileLock:
        """Lock ``path`` for the store ``what``.

        Raises
        ------
        LedgerInUse
            If it is locked.
        OSError
            If the file cannot be opened.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise _in_use(what, holder or "unknown") from exc
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


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
