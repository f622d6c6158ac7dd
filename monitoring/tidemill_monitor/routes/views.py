"""Everything that can be looked at: status, windows, findings, features, alerts, decisions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query
from fastapi import Path as InPath
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tidemill.config.monitoring import VerdictWord
from tidemill_monitor.monitor_service import Service, service_of
from tidemill_monitor.problems import Problem
from tidemill_monitor.routes.asking import answer
from tidemill_monitor.routes.features import feature_document, feature_list, heatmap_document
from tidemill_monitor.routes.lineage import models_document
from tidemill_monitor.routes.overview import status_document
from tidemill_monitor.routes.shown import (
    SAMPLES,
    alert_item,
    decision_item,
    finding_item,
    page,
    shown,
    window_item,
)

__all__ = ["router"]

router = APIRouter(tags=["views"])

HEARTBEAT_SECONDS = 15.0

Serving = Annotated[Service, Depends(service_of)]
Limit = Annotated[int, Query(ge=1, le=500, description="items at most")]
Cursor = Annotated[int | None, Query(ge=0, lt=2**63, description="`next` of the page before")]
Number = Annotated[int, InPath(ge=1, lt=2**63)]
Segment = Annotated[
    str | None,
    Query(max_length=300, description="empty: all traffic; left out: that and all segments"),
]
AlertState = Literal["open", "acknowledged", "resolved"]
DecisionState = Literal[
    "awaiting approval",
    "approved",
    "rejected",
    "started",
    "finished",
    "failed",
    "superseded",
    "stopped",
    "suppressed",
]
_NONE_SUCH = (401, 403, 404, 422, 503)
_LISTED = (401, 403, 422, 503)


@router.get(
    "/v1/status",
    **shown("the whole, on one page", {"model": "rides", "open_alerts": 0, "open_decision": None}),
)
async def status(service: Serving) -> Response:
    """Champion, readiness, traffic, newest verdict, open alerts and decision."""
    parts = await service.readiness.parts()
    return answer(await service.run(status_document, service, parts))


@router.get("/v1/windows", **shown("windows, newest first", SAMPLES["windows"], _LISTED))
def windows(
    service: Serving,
    limit: Limit = 50,
    before: Cursor = None,
    state: Literal["open", "closed"] | None = None,
    segment: Segment = None,
    verdict: VerdictWord | None = None,
    model_version: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
) -> Response:
    """Windows of the whole traffic (``segment=``), of one segment, or of all; newest first."""
    found = service.ledger.windows.list(
        limit=limit,
        before=before,
        state=state,
        segment=_without_zero_bytes(segment),
        verdict=verdict,
        model_version=model_version,
    )
    items = [window_item(window) for window in found]
    return answer(page(items, limit, found[-1].id if found else None))


@router.get("/v1/windows/{window_id}", **shown("a window", SAMPLES["window"], _NONE_SUCH))
def window(service: Serving, window_id: Number) -> Response:
    """A window with its verdict and why, its figures, and its parts in time."""
    return answer(window_item(service.ledger.windows.get(window_id)))


@router.get(
    "/v1/windows/{window_id}/findings",
    **shown("its findings", SAMPLES["findings"], _NONE_SUCH),
)
def findings(service: Serving, window_id: Number, flagged: bool | None = None) -> Response:
    """The findings of a window; all of them, or those that are (not) flagged."""
    found = service.ledger.windows.get(window_id)
    rows = service.ledger.findings.of(window_id, flagged)
    items = [finding_item(row) for row in rows]
    return answer({"window": window_item(found), "items": items})


@router.get(
    "/v1/features",
    **shown("what is compared", {"items": [{"name": "distance_km", "type": "numeric"}]}),
)
def features(service: Serving) -> Response:
    """The model's features, and what it says and is told (prediction, score, truth)."""
    return answer(feature_list(service))


@router.get(
    "/v1/features/{name:path}",
    **shown(
        "a column in the reference and in a window",
        {"name": "pickup_zone", "type": "categorical", "bins": ["harbour", "others"]},
        _NONE_SUCH,
    ),
)
def feature(
    service: Serving,
    name: Annotated[str, InPath(min_length=1, max_length=300)],
    window: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="windows of history")] = 50,
) -> Response:
    """One column: its shares in the reference and in a window, and its findings over time."""
    return answer(feature_document(service, name, window, limit))


@router.get(
    "/v1/heatmap",
    **shown(
        "features by windows: value over threshold",
        {"windows": [], "features": [], "test": "furthest", "values": []},
        _LISTED,
    ),
)
def heatmap(
    service: Serving,
    limit: Annotated[int, Query(ge=1, le=200, description="windows")] = 50,
    test: Literal["furthest", "jensen_shannon", "psi"] = "furthest",
) -> Response:
    """How far each feature of each window lies from the reference, beside its threshold.

    ``furthest`` takes of all drift tests the one that went furthest, as the verdict does.
    """
    return answer(heatmap_document(service, test, limit))


@router.get("/v1/alerts", **shown("alerts, newest first", SAMPLES["alerts"], _LISTED))
def alerts(
    service: Serving, limit: Limit = 50, before: Cursor = None, state: AlertState | None = None
) -> Response:
    """Alerts; ``state=open`` are all that are not resolved."""
    listing = service.ledger.alerts.list
    if state == "open":
        both = [
            *listing(state="open", limit=limit, before=before),
            *listing(state="acknowledged", limit=limit, before=before),
        ]
        found = sorted(both, key=lambda alert: alert.id, reverse=True)[:limit]
    else:
        found = listing(state=state, limit=limit, before=before)
    items = [alert_item(alert) for alert in found]
    return answer(page(items, limit, found[-1].id if found else None))


@router.get("/v1/decisions", **shown("decisions, newest first", SAMPLES["decisions"], _LISTED))
def decisions(
    service: Serving, limit: Limit = 50, before: Cursor = None, state: DecisionState | None = None
) -> Response:
    """Decisions with their evidence."""
    found = service.ledger.decisions.list(state=state, limit=limit, before=before)
    items = [decision_item(decision) for decision in found]
    return answer(page(items, limit, found[-1].id if found else None))


@router.get("/v1/decisions/{decision_id}", **shown("it", SAMPLES["decision"], _NONE_SUCH))
def decision(service: Serving, decision_id: Number) -> Response:
    """A decision with its evidence, the rows it holds, and what came of it."""
    return answer(decision_item(service.ledger.decisions.get(decision_id)))


@router.get("/v1/models", **shown("versions, newest first", {"items": [], "links": {}}))
def models(service: Serving) -> Response:
    """The registered versions of the model, and which of them serves."""
    return answer(models_document(service))


@router.get(
    "/v1/stream",
    response_class=StreamingResponse,
    responses={200: {"description": "what changes", "content": {"text/event-stream": {}}}},
)
async def stream(request: Request, service: Serving) -> Response:
    """Server-sent events: ``changed`` with the names of what has changed; no contents."""
    if service.topics.full:
        raise Problem.later(503, "TooManyListeners", "too many pages listen already", 30.0)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _changes(request, service), media_type="text/event-stream", headers=headers
    )


async def _changes(request: Request, service: Service) -> AsyncIterator[bytes]:
    async with service.topics.listen() as listener:
        yield b"retry: 2000\n: here\n\n"
        while not await request.is_disconnected():
            topics = await listener.next(HEARTBEAT_SECONDS)
            yield _event(topics) if topics else b": still here\n\n"


def _event(topics: frozenset[str]) -> bytes:
    content: dict[str, Any] = {"topics": sorted(topics)}
    return b"event: changed\ndata: " + orjson.dumps(content) + b"\n\n"


def _without_zero_bytes(text: str | None) -> str | None:
    # PostgreSQL's text holds no zero byte, so no segment has one.
    return text.replace("\0", "\ufffd") if text else text
