"""POST /v1/events: predictions that were made elsewhere."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from starlette.responses import Response

from tidemill.ledger import EventReceipt, Request, StoredRequest
from tidemill_monitor.intake import ARROW, JSON, NDJSON, Body, Sorted, read_body, sort_body
from tidemill_monitor.monitor_service import Service, service_of
from tidemill_monitor.routes.asking import (
    answer,
    charge,
    count,
    idempotency,
    identity_of,
    require_champion,
    rows_refused,
    stored_answer,
)
from tidemill_monitor.routes.documents import EVENTS
from tidemill_monitor.serving.champion import Champion
from tidemill_monitor.serving.reported import (
    Reported,
    RowsAnswer,
    known_versions_only,
    report_batches,
    scope_of,
)

__all__ = ["router"]

ROUTE = "/v1/events"
router = APIRouter(tags=["intake"])


@router.post(ROUTE, status_code=202, **EVENTS)
async def report_events(request: HttpRequest, service: Service = Depends(service_of)) -> Response:  # noqa: B008
    """Report predictions that were made elsewhere; answered when they are durable."""
    champion = require_champion(service)
    limit = service.settings.max_body_bytes
    async with read_body(
        request, service.bodies, max_bytes=limit, kinds=(JSON, NDJSON, ARROW)
    ) as body:
        asked = idempotency(request, body, ROUTE)
        stored = await stored_answer(service, asked)
        if asked is not None and stored is not None:
            return answer(await service.run(_again, service, asked, stored), 202, replayed=True)
        found = await service.run(_sort, body, champion, service)
        charge(service, identity_of(request), found.rows)
        reported = await service.run(_batches, found, champion, service, asked)
    receipts = await _durable(reported, service)
    document = reported.answer.document(receipts)
    outcomes = {
        "accepted": document["accepted"],
        "duplicate": document["duplicates"],
        "refused": found.refused,
    }
    count(service, ROUTE, outcomes, found)
    if not found.table.num_rows:
        raise rows_refused(found.rows, reported.answer.errors, found.faults_total)
    return answer(document, 202, replayed=all(receipt.replayed for receipt in receipts))


def _sort(body: Body, champion: Champion, service: Service) -> Sorted:
    settings = service.settings
    found = sort_body(
        body,
        champion.shape.events,
        max_rows=settings.max_rows,
        max_bytes=settings.max_body_bytes,
    )
    return known_versions_only(found, champion.version, service.champion.known)


def _batches(
    found: Sorted, champion: Champion, service: Service, asked: Request | None
) -> Reported:
    outcomes = service.scorer.outcomes(champion)
    return report_batches(found, champion, outcomes, service.clock(), asked)


async def _durable(reported: Reported, service: Service) -> list[EventReceipt]:
    # Handed over in a thread: the ledger looks through the rows before it queues them.
    waiting = [
        asyncio.wrap_future(await service.run(service.ledger.events.submit, batch))
        for batch in reported.batches
    ]
    return list(await asyncio.gather(*waiting))


def _again(service: Service, asked: Request, stored: StoredRequest) -> dict[str, object]:
    """The answer that the same request got before, from what the ledger kept of it."""
    before = RowsAnswer.from_bytes(stored.answer)
    receipts = []
    for version in before.versions[:-1]:
        scope = scope_of(asked, version, last=False)
        other = service.ledger.requests.find(scope, asked.key, asked.digest)
        if other is not None:
            receipts.append(other.receipt())
    receipts.append(stored.receipt())
    return before.document([r for r in receipts if isinstance(r, EventReceipt)])
