"""What can go wrong in the store, told in tidemill's errors.

The database's own exceptions are translated where they enter, by their codes and never by
their text::

    QueueFull            Busy           more is waiting to be written than the bound allows
    LedgerInUse          Busy           another process writes to this store
    IdempotencyConflict  UsageError     an Idempotency-Key was used for another body
    RecordMissing        UsageError     no window, alert, decision ... of that number
    WrongState           UsageError     the record's state does not allow what was asked
    DecisionOpen         UsageError     a decision about this champion is open already
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import exc

from tidemill.errors import (
    Busy,
    IntegrityError,
    ServiceUnavailable,
    StorageFailed,
    TidemillError,
    UsageError,
)

__all__ = [
    "DecisionOpen",
    "IdempotencyConflict",
    "LedgerInUse",
    "QueueFull",
    "RecordMissing",
    "WrongState",
    "busy",
    "database_errors",
    "translate",
]


class QueueFull(Busy):
    """More bytes wait to be written than the bound allows; try again after ``retry_after`` s."""

    @property
    def retry_after(self) -> int:
        """Seconds after which the queue has probably room, at least 1."""
        return int(self.fields["retry_after"])


class LedgerInUse(Busy):
    """Another process, or another ledger of this one, writes to the store."""

    retryable = False


class IdempotencyConflict(UsageError):
    """The Idempotency-Key was used before, for another body."""


class RecordMissing(UsageError):
    """The store has no such record."""

    @classmethod
    def of(cls, what: str, key: object) -> RecordMissing:
        """Say that there is no ``what`` (window, alert, ...) with this key."""
        return cls(
            f"there is no {what} {key}",
            remedy=f"list the {what}s that there are and use one of their ids",
            record=what,
            id=key,
        )


class WrongState(UsageError):
    """What was asked is not possible in the record's present state."""

    @classmethod
    def of(cls, what: str, key: object, state: str, wanted: str, why: str = "") -> WrongState:
        """Say that the record is in ``state``, where only ``wanted`` would do."""
        said = f"{state} ({why})" if why else state
        return cls(
            f"{what} {key} is {said}; this is possible only while it is {wanted}",
            remedy=f"look at the {what} again: somebody or something was faster",
            record=what,
            id=key,
            state=state,
        )


class DecisionOpen(UsageError):
    """A decision about this model is open already."""

    @property
    def decision_id(self) -> int:
        """The number of the open decision, which stands in the way of another."""
        return int(self.fields["decision_id"])


def busy(message: str, *, retry_after: int = 1, **fields: Any) -> Busy:
    """A :class:`Busy` that says when to come back."""
    return Busy(
        message,
        remedy=f"try again in {retry_after} s",
        retry_after=retry_after,
        **fields,
    )


@contextmanager
def database_errors(where: str) -> Iterator[None]:
    """Turn what the database raises inside into tidemill's errors; ``where`` names the store."""
    try:
        yield
    except TidemillError:
        raise
    except (exc.SQLAlchemyError, OSError) as error:
        raise translate(error, where) from error


def translate(error: BaseException, where: str) -> TidemillError:
    """The tidemill error for what SQLAlchemy or the system raised."""
    if isinstance(error, TidemillError):
        return error
    if isinstance(error, OSError):
        return _storage(where, error.strerror or str(error))
    original = getattr(error, "orig", None)
    if isinstance(error, exc.TimeoutError):
        return busy(f"{where}: all connections are in use", path=where)
    state = getattr(original, "sqlstate", None)
    code = getattr(original, "sqlite_errorcode", None)
    if code is not None:
        return _of_sqlite(code & 0xFF, where, str(original))
    if state is not None or isinstance(error, exc.OperationalError | exc.InterfaceError):
        return _of_postgres(state or "", where, str(original or error).strip().split("\n")[0])
    return TidemillError(
        f"{where}: {type(original or error).__name__}: {original or error}",
        remedy="this is a defect: report it with this message",
        path=where,
    )


def _of_sqlite(code: int, where: str, text: str) -> TidemillError:
    if code in (5, 6):  # BUSY, LOCKED
        return busy(f"{where} is locked by another program", path=where)
    if code in (11, 26):  # CORRUPT, NOTADB
        return IntegrityError(
            f"{where} is damaged or is no database: {text}",
            remedy="move the file away and put a backup in its place",
            path=where,
        )
    if code in (7, 8, 10, 13, 14, 23):  # NOMEM, READONLY, IOERR, FULL, CANTOPEN, AUTH
        return _storage(where, text)
    return TidemillError(
        f"{where}: {text}",
        remedy="this is a defect: report it with this message",
        path=where,
    )


def _of_postgres(state: str, where: str, text: str) -> TidemillError:
    if state in ("55P03", "40001", "40P01", "57014"):
        return busy(f"{where} is locked: {text}", path=where)
    if state.startswith("53") or state in ("25006", "42501", "58030"):
        return _storage(where, text)
    if state.startswith("XX"):
        return IntegrityError(
            f"{where} is damaged: {text}", remedy="restore the database", path=where
        )
    if state and not state.startswith(("08", "57", "28", "3D")):
        return TidemillError(
            f"{where}: {text}", remedy="this is a defect: report it with this message", path=where
        )
    return ServiceUnavailable(
        f"{where} does not answer: {text}",
        remedy="start PostgreSQL, or check the address in TIDEMILL_MONITOR_STORE",
        path=where,
        retry_after=2,
    )


def _storage(where: str, text: str) -> StorageFailed:
    return StorageFailed(
        f"{where}: {text}",
        remedy="free some space or make the file writable; nothing needs a restart",
        path=where,
        retry_after=5,
    )
