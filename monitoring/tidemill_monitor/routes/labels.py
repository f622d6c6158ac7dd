"""POST /v1/labels: what turned out to be true, late and in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from starlette.responses import Response

from tidemill.ledger import LabelBatch, LabelReceipt, Request, StoredRequest
from tidemill_monitor.intake import ARROW, JSON, NDJSON, RowError, Sorted, read_body, sort_body
from tidemill_monitor.intake.row_faults import MAX_REPORTED
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
from tidemill_monitor.routes.documents import LABELS

__all__ = ["router"]

ROUTE = "/v1/labels"
router = APIRouter(tags=["intake"])

_REFUSALS = (
    ("conflicts", "truth", "conflict", "another truth was reported before; the first one stays"),
    ("expired", "event_id", "expired", "the event is older than what the store keeps"),
    ("refused", "event_id", "too_many_pending", "too many labels wait for their events"),
)


@router.post(ROUTE, status_code=202, **LABELS)
async def report_labels(request: HttpRequest, service: Service = Depends(service_of)) -> Response:  # noqa: B008
    """Report what turned out to be true; answered when it is durable."""
    champion = require_champion(service)
    settings = service.settings
    async with read_body(
        request, service.bodies, max_bytes=settings.max_body_bytes, kinds=(JSON, NDJSON, ARROW)
    ) as body:
        asked = idempotency(request, body, ROUTE)
        stored = await stored_answer(service, asked)
        if stored is not None:
            return answer(_again(stored), 202, replayed=True)
        found = await service.run(
            sort_body,
            body,
            champion.shape.labels,
            max_rows=settings.max_rows,
            max_bytes=settings.max_body_bytes,
        )
    charge(service, identity_of(request), found.rows)
    if not found.table.num_rows:
        count(service, ROUTE, {"refused": found.refused}, found)
        raise rows_refused(found.rows, found.errors(), found.faults_total)
    batch = await service.run(_batch, found, service, asked)
    receipt = await asyncio.wrap_future(await service.run(service.ledger.labels.submit, batch))
    document = _document(receipt, _kept(found))
    outcomes = {name: document[name] for name in ("matched", "pending", "repeated", "refused")}
    count(service, ROUTE, outcomes, found)
    if document["refused"] == found.rows:
        raise rows_refused(found.rows, document["errors"], document["errors_total"])
    return answer(document, 202, replayed=receipt.replayed)


def _batch(found: Sorted, service: Service, asked: Request | None) -> LabelBatch:
    table = found.table.select(["event_id", "truth", "at"])
    now = pa.scalar(service.clock().replace(tzinfo=None), pa.timestamp("us"))
    table = table.set_column(2, "at", pc.fill_null(table["at"], now))
    if asked is not None:
        asked = Request(asked.scope, asked.key, asked.digest, orjson.dumps(_kept(found)))
    return LabelBatch(table, request=asked)


def _kept(found: Sorted) -> dict[str, Any]:
    """What a repeated request needs beside what the ledger knows."""
    return {
        "errors": [asdict(error) for error in found.errors()],
        "errors_total": found.faults_total,
        "refused": found.refused,
        "taken": found.positions.tolist() if found.refused else None,
        "altered": found.alterations(),
    }


def _document(receipt: LabelReceipt, kept: dict[str, Any]) -> dict[str, Any]:
    errors: list[dict[str, Any]] = list(kept["errors"])
    refused, total, taken = kept["refused"], kept["errors_total"], kept["taken"]
    for name, field, code, detail in _REFUSALS:
        rows: Sequence[int] = getattr(receipt, name)
        refused, total = refused + len(rows), total + len(rows)
        for row in rows[:MAX_REPORTED]:
            sent = row if taken is None else taken[row]
            errors.append(asdict(RowError(sent, field, code, detail)))
    return {
        "matched": receipt.matched,
        "pending": receipt.pending,
        "repeated": receipt.repeated,
        "altered": kept.get("altered", []),
        "refused": refused,
        "errors_total": total,
        "errors": sorted(errors, key=lambda error: int(error["row"]))[:MAX_REPORTED],
    }


def _again(stored: StoredRequest) -> dict[str, Any]:
    receipt = stored.receipt()
    assert isinstance(receipt, LabelReceipt)  # noqa: S101 - the scope says which route
    return _document(receipt, orjson.loads(stored.answer))
