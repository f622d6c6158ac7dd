"""What the three routes that take rows share: limits, idempotency, answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson
from fastapi import Request as HttpRequest
from starlette.responses import Response

from tidemill.ledger import Request, StoredRequest
from tidemill_monitor.intake import Body, RowError, Sorted
from tidemill_monitor.monitor_service import Service
from tidemill_monitor.problems import Problem
from tidemill_monitor.security.scopes import Identity
from tidemill_monitor.serving.champion import Champion

__all__ = [
    "answer",
    "charge",
    "count",
    "idempotency",
    "identity_of",
    "require_champion",
    "rows_refused",
    "stored_answer",
]

MAX_KEY = 200


def require_champion(service: Service) -> Champion:
    """The champion, or 503: without one nobody knows what rows should hold."""
    champion = service.champion.current
    if champion is None:
        fault = service.champion.fault
        why = f" ({fault.code})" if fault is not None else ""
        detail = f"no model serves yet{why}; GET /v1/status says why and what to do"
        raise Problem.later(503, "NoChampion", detail, seconds=10.0)
    return champion


def identity_of(request: HttpRequest) -> Identity:
    """Who asks; the guard has made sure that somebody does."""
    identity: Identity = request.state.identity
    return identity


def idempotency(request: HttpRequest, body: Body, route: str) -> Request | None:
    """The request's ``Idempotency-Key``, bound to who asks, where, and what was sent.

    Raises
    ------
    Problem
        400 if it is empty, longer than 200 characters or not printable ASCII.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise Problem(
            400,
            "IdempotencyKeyInvalid",
            "Bad request",
            f"Idempotency-Key must be 1 to {MAX_KEY} printable ASCII characters",
        )
    digest = hashlib.blake2b(body.content, digest_size=32)
    for name in ("content-type", "content-encoding", "accept"):
        digest.update(b"\0" + request.headers.get(name, "").encode("utf-8", "replace"))
    return Request(f"{route}:{identity_of(request).id}", key, digest.digest())


async def stored_answer(service: Service, asked: Request | None) -> StoredRequest | None:
    """What the same request was answered before."""
    if asked is None:
        return None
    return await service.run(service.ledger.requests.find, asked.scope, asked.key, asked.digest)


def charge(service: Service, identity: Identity, rows: int) -> None:
    """Count ``rows`` against the key's allowance, or 429."""
    if wait := service.rates.rows.take(identity.id, rows):
        raise Problem.later(429, "TooManyRows", "this key sends too many rows a second", wait)


def rows_refused(rows: int, errors: list[RowError] | list[dict[str, Any]], total: int) -> Problem:
    """422 for a request of which no row was taken."""
    listed = [asdict(error) if isinstance(error, RowError) else error for error in errors]
    return Problem(
        422,
        "RowsRefused",
        "No row was good",
        f"all {rows} rows were refused",
        errors=listed,
        errors_total=total,
        refused=rows,
    )


def count(
    service: Service, route: str, outcomes: Mapping[str, int], found: Sorted | None = None
) -> None:
    """Add rows to the meters by what became of them, with faults and what was altered."""
    for outcome, rows in outcomes.items():
        if rows:
            service.meters.rows.labels(route, outcome).inc(rows)
    for fault in found.faults if found is not None else ():
        service.meters.refusals.labels(route, fault.code).inc(len(fault.rows))
    for altered in found.altered if found is not None else ():
        service.meters.altered.labels(route, altered.code).inc(len(altered.rows))


def answer(document: Mapping[str, Any], status: int = 200, *, replayed: bool = False) -> Response:
    """Any JSON-friendly document as a response; ``replayed`` says that it was kept."""
    headers = {"Idempotent-Replayed": "true"} if replayed else None
    content = orjson.dumps(document)
    return Response(content, status, headers=headers, media_type="application/json")
