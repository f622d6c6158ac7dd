"""Idempotency keys: a request that is sent again is answered again, not carried out again."""

from __future__ import annotations

import hmac
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger.database import AnyRow, Commit, Database, IdempotencyConflict, cleaned, tables
from tidemill.ledger.entries import EventReceipt, LabelReceipt, Request

__all__ = ["Requests", "StoredRequest", "keep_request", "replayed"]

_KINDS: dict[str, type[EventReceipt] | type[LabelReceipt]] = {
    "events": EventReceipt,
    "labels": LabelReceipt,
}


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request that was carried out.

    Parameters
    ----------
    kind : str
        ``events`` or ``labels``.
    answer : bytes
        What came with it.
    document : dict
        The receipt as it was stored.
    """

    kind: str
    answer: bytes
    document: dict[str, Any]

    def receipt(self) -> EventReceipt | LabelReceipt:
        """The receipt it got, marked as replayed."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in self.document.items()
        }
        return _KINDS[self.kind](**values, replayed=True, answer=self.answer)


class Requests:
    """Requests that were carried out under an Idempotency-Key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, scope: str, key: str, digest: bytes) -> StoredRequest | None:
        """The stored request of this key, or None.

        Raises
        ------
        IdempotencyConflict
            If the key was used for another body.
        """
        with self._database.read() as connection:
            return _find(connection, scope, key, digest)


def replayed(commit: Commit, request: Request | None) -> EventReceipt | LabelReceipt | None:
    """The receipt of an equal request that was carried out before, or None."""
    if request is None:
        return None
    found = _find(commit.connection, request.scope, request.key, request.digest)
    return found.receipt() if found else None


def keep_request(
    commit: Commit, request: Request | None, kind: str, receipt: EventReceipt | LabelReceipt
) -> None:
    """Database the receipt with the request's key, in the same commit as its effect."""
    if request is None:
        return
    document = asdict(receipt)
    del document["replayed"], document["answer"]
    commit.connection.execute(
        sa.insert(tables.requests).values(
            scope=cleaned(request.scope),
            key=cleaned(request.key),
            digest=request.digest,
            kind=kind,
            receipt=document,
            answer=request.answer,
            created_at=commit.at,
        )
    )


def _find(connection: Connection, scope: str, key: str, digest: bytes) -> StoredRequest | None:
    t = tables.requests
    chosen = sa.select(t).where(t.c.scope == cleaned(scope), t.c.key == cleaned(key))
    row = connection.execute(chosen).one_or_none()
    if row is None:
        return None
    _same_body(row, digest)
    return StoredRequest(row.kind, row.answer, row.receipt)


def _same_body(row: AnyRow, digest: bytes) -> None:
    if not hmac.compare_digest(row.digest, digest):
        raise IdempotencyConflict(
            "the Idempotency-Key was used before, for another body",
            remedy="use a new key for a new request, and the same body for a repeated one",
        )
