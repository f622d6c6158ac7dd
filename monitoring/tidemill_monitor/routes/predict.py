"""POST /v1/predict: the champion's answers, logged before they are given."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from functools import partial
from typing import Any

import orjson
import pyarrow as pa
from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from starlette.responses import Response

from tidemill.ledger import Request
from tidemill_monitor.intake import ARROW, JSON, Sorted, read_body
from tidemill_monitor.monitor_service import Service, service_of
from tidemill_monitor.routes.asking import (
    charge,
    count,
    idempotency,
    identity_of,
    require_champion,
    rows_refused,
    stored_answer,
)
from tidemill_monitor.routes.documents import PREDICT
from tidemill_monitor.serving.champion import Champion
from tidemill_monitor.serving.known import Known, known_rows
from tidemill_monitor.serving.scored_events import Scored
from tidemill_monitor.serving.scorer import Predicted

__all__ = ["router"]

ROUTE = "/v1/predict"
SMALL_BYTES = 32 << 10
router = APIRouter(tags=["intake"])


@router.post(ROUTE, **PREDICT)
async def predict(request: HttpRequest, service: Service = Depends(service_of)) -> Response:  # noqa: B008
    """Predict with the champion; answered when the events are durable."""
    champion = require_champion(service)
    limit = service.settings.max_body_bytes
    as_arrow = ARROW in request.headers.get("accept", "")
    async with read_body(request, service.bodies, max_bytes=limit, kinds=(JSON, ARROW)) as body:
        asked = idempotency(request, body, ROUTE)
        stored = await stored_answer(service, asked)
        if stored is not None:
            return _response(stored.answer, as_arrow, replayed=True)
        small = asked is None and not body.packed and len(body.content) <= SMALL_BYTES
        if small:
            predicted = await asyncio.wrap_future(service.scorer.put(body, champion))
        else:
            answering = partial(_with_answer, service, asked, as_arrow, champion) if asked else None
            predicted = await service.run(service.scorer.predict, body, champion, answering)
    found = predicted.sorted
    charge(service, identity_of(request), found.rows)
    receipt = await asyncio.wrap_future(predicted.receipt)
    if receipt.replayed:  # the same request came twice at once
        return _response(receipt.answer, as_arrow, replayed=True)
    repeated = predicted.duplicates(receipt)
    known = await service.run(_known, service, predicted, repeated) if repeated else Known()
    outcomes = {
        "accepted": found.table.num_rows - len(repeated),
        "duplicate": len(repeated) - len(known.changed),
        "changed": len(known.changed),
        "refused": found.refused,
    }
    count(service, ROUTE, outcomes, found)
    if not found.table.num_rows:
        raise rows_refused(found.rows, found.errors(), found.faults_total)
    if asked is not None:  # as it was stored with the key, for whoever sends the same again
        return _response(receipt.answer, as_arrow)
    if small and not repeated:
        return _response(_answer(predicted.scored, found, champion, as_arrow, known), as_arrow)
    content = await service.run(_answer, predicted.scored, found, champion, as_arrow, known)
    return _response(content, as_arrow)


def _known(service: Service, predicted: Predicted, repeated: list[int]) -> Known:
    """What is known of the rows whose ids were stored before, by the rows of the request."""
    events = predicted.scored.events.take(pa.array(repeated))
    found = known_rows(service.ledger, events, predicted.champion)
    return found.at(predicted.sorted.positions[repeated].tolist())


def _answer(
    scored: Scored, found: Sorted, champion: Champion, as_arrow: bool, known: Known
) -> bytes:
    shaped = _stream if as_arrow else _document
    return shaped(scored, found, champion, known)


def _document(scored: Scored, found: Sorted, champion: Champion, known: Known) -> bytes:
    document: dict[str, Any] = {
        "model": {"name": champion.name, "version": champion.version},
        "predictions": scored.answers(found.positions.tolist()),
        **known.document(),
        "altered": found.alterations(),
        "refused": found.refused,
        "errors_total": found.faults_total,
        "errors": [asdict(error) for error in found.errors()],
    }
    return orjson.dumps(document)


def _stream(scored: Scored, found: Sorted, champion: Champion, known: Known) -> bytes:
    """Predictions as an Arrow stream; ``row`` says which row of the request each is for."""
    table = scored.events.select(["event_id", "prediction", "score"])
    table = table.add_column(0, "row", pa.array(found.positions))
    facts = {
        "model": orjson.dumps({"name": champion.name, "version": champion.version}),
        "errors": orjson.dumps([asdict(error) for error in found.errors()]),
        "known": orjson.dumps(known.document()),
        "altered": orjson.dumps(found.alterations()),
    }
    table = table.replace_schema_metadata(facts)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _with_answer(
    service: Service,
    asked: Request,
    as_arrow: bool,
    champion: Champion,
    scored: Scored,
    found: Sorted,
) -> Request | None:
    if not found.table.num_rows:
        return None
    # The answer is stored with the rows: what is known of their ids is looked up before.
    known = known_rows(service.ledger, scored.events, champion)
    content = _answer(scored, found, champion, as_arrow, known.at(found.positions.tolist()))
    return Request(asked.scope, asked.key, asked.digest, content)


def _response(content: bytes, as_arrow: bool, *, replayed: bool = False) -> Response:
    headers = {"Idempotent-Replayed": "true"} if replayed else None
    kind = ARROW if as_arrow else JSON
    return Response(content, headers=headers, media_type=kind)
