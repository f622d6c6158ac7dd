"""What people, flows and outside systems do: alerts, decisions, models, retraining by request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi import Path as InPath
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tidemill.errors import TidemillError
from tidemill.ledger import DecisionOpen, DecisionRow, Take
from tidemill_monitor.dispatch.flow_runs import call_message
from tidemill_monitor.dispatch.signing import secret_keys, verified_id
from tidemill_monitor.dispatch.trying import chosen_channels, try_channels
from tidemill_monitor.monitor_service import Service, service_of
from tidemill_monitor.problems import Problem
from tidemill_monitor.routes.asking import answer, identity_of, require_champion
from tidemill_monitor.routes.labelled import labelled_stream
from tidemill_monitor.routes.shown import (
    SAMPLES,
    alert_item,
    decision_item,
    problems,
    shown,
)
from tidemill_monitor.routes.small import (
    Asked,
    Chosen,
    FlowReport,
    Note,
    body_of,
    raw_body,
    small_body,
)

__all__ = ["router"]

router = APIRouter(tags=["operate"])

ARROW = "application/vnd.apache.arrow.stream"
SECRET = "TIDEMILL_MONITOR_WEBHOOK_SECRET"  # noqa: S105 - the variable's name

Serving = Annotated[Service, Depends(service_of)]
Number = Annotated[int, InPath(ge=1, lt=2**63)]
_CODES = (400, 401, 403, 404, 409, 413, 422, 503)


def _takes(model: Any, example: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    """What OpenAPI says of a small body that the route reads itself."""
    content = {"application/json": {"schema": model.model_json_schema(), "example": example}}
    return {"openapi_extra": {"requestBody": {"required": required, "content": content}}}


_NOTE = _takes(Note, {"note": "looked at it: a sensor was exchanged"})


@router.post("/v1/alerts/{alert_id}/acknowledge", **shown("it", SAMPLES["alert"], _CODES), **_NOTE)
async def acknowledge(request: Request, service: Serving, alert_id: Number) -> Response:
    """Say that somebody looks after an alert; it stays until it is over."""
    note = await small_body(request, Note)
    said = _signed(request, note.note)
    alert = await service.run(
        service.ledger.alerts.acknowledge, alert_id, note=said, at=service.clock()
    )
    return answer(alert_item(alert))


_TRIED = {
    "channel": "ops",
    "kind": "webhook",
    "delivered": False,
    "error": "the receiver of the channel ops answered 500",
    "remedy": "look at the receiver; what the outbox holds is sent again by itself",
}


@router.post(
    "/v1/alerts/test",
    **shown("what became of it, channel by channel", {"items": [_TRIED]}, _CODES),
    **_takes(Chosen, {"channels": ["ops"]}),
)
async def try_alerts(request: Request, service: Serving) -> Response:
    """Send a test message by each channel, now."""
    asked = await small_body(request, Chosen)
    chosen = chosen_channels(service.params.monitoring.alerts.channels, asked.channels)
    tried = await service.run(
        try_channels, chosen, model=service.champion.name, now=service.clock()
    )
    return answer({"items": [one.to_json() for one in tried]})


@router.post("/v1/alerts/{alert_id}/resolve", **shown("it", SAMPLES["alert"], _CODES), **_NOTE)
async def resolve(request: Request, service: Serving, alert_id: Number) -> Response:
    """End an alert; it does not come back while the same trouble goes on."""
    note = await small_body(request, Note)
    name = identity_of(request).name

    def end() -> dict[str, Any]:
        alert = service.ledger.alerts.get(alert_id)
        found = service.watcher.alerting.resolved_by_hand(alert, name, note.note, service.clock())
        return alert_item(found)

    return answer(await service.run(end))


@router.post(
    "/v1/decisions/{decision_id}/approve", **shown("it", SAMPLES["decision"], _CODES), **_NOTE
)
async def approve(request: Request, service: Serving, decision_id: Number) -> Response:
    """Let a decision that awaits approval start its retraining."""
    note = await small_body(request, Note)
    said = _signed(request, note.note)

    def agree() -> dict[str, Any]:
        champion, now = service.champion.current, service.clock()
        if champion is not None:
            service.watcher.deciding.end_replaced(champion.version, now)
        found = service.ledger.decisions.approve(
            decision_id, note=said, at=now, message=lambda one: call_message(one, one.attempt)
        )
        return decision_item(found)

    return answer(await service.run(agree))


@router.post(
    "/v1/decisions/{decision_id}/reject", **shown("it", SAMPLES["decision"], _CODES), **_NOTE
)
async def reject(request: Request, service: Serving, decision_id: Number) -> Response:
    """Refuse a decision that awaits approval."""
    note = await small_body(request, Note)
    decision = await service.run(
        service.ledger.decisions.reject,
        decision_id,
        note=_signed(request, note.note),
        at=service.clock(),
    )
    return answer(decision_item(decision))


@router.post(
    "/v1/decisions/{decision_id}/stop", **shown("it", SAMPLES["decision"], _CODES), **_NOTE
)
async def stop(request: Request, service: Serving, decision_id: Number) -> Response:
    """End a retraining that was approved or runs; nothing is tried again."""
    note = await small_body(request, Note)
    decision = await service.run(
        service.dispatcher.retraining.stop,
        decision_id,
        note=_signed(request, note.note),
        now=service.clock(),
    )
    return answer(decision_item(decision))


@router.post(
    "/v1/decisions/{decision_id}/report",
    **shown("it", SAMPLES["decision"], _CODES),
    **_takes(
        FlowReport,
        {"attempt": 1, "state": "finished", "challenger_version": 4, "promoted": True},
        required=True,
    ),
)
async def report(request: Request, service: Serving, decision_id: Number) -> Response:
    """Take what the flow run of a decision says; the same report again changes nothing.

    After ``finished`` with ``promoted`` the new champion serves before this answers, if it can
    be loaded.
    """
    told = await small_body(request, FlowReport)
    decision = await service.run(
        service.dispatcher.retraining.report,
        decision_id,
        attempt=told.attempt,
        state=told.state,
        now=service.clock(),
        flow_run_id=told.flow_run_id,
        challenger_version=told.challenger_version,
        promoted=told.promoted,
        outcome={"said": told.outcome} if isinstance(told.outcome, str) else told.outcome,
    )
    return answer(decision_item(decision))


@router.post(
    "/v1/models/reload",
    **shown("what serves", {"version": 4, "previous": 3, "changed": True}, (401, 403, 409, 503)),
)
def reload(service: Serving) -> Response:
    """Serve the version that is champion now; one that cannot be loaded leaves the old one."""
    try:
        found = service.champion.reload()
    except TidemillError as exc:
        current = service.champion.current
        raise Problem(
            409,
            "ChampionNotLoaded",
            "Conflict",
            exc.message,
            remedy=exc.remedy,
            serving=current.version if current is not None else None,
        ) from exc
    return answer({"version": found.version, "previous": found.previous, "changed": found.changed})


@router.post(
    "/v1/retrain",
    status_code=202,
    responses={
        202: {
            "description": "a decision was opened, or this message had opened it",
            "content": {"application/json": {"example": {"decision_id": 7, "replayed": False}}},
        },
        **problems((400, 401, 409, 413, 422, 503)),
    },
    **_takes(Asked, {"reason": "the supplier changed its price list"}),
)
async def retrain(request: Request, service: Serving) -> Response:
    """Start a retraining from an outside system; signed as Standard Webhooks says.

    The same message again is answered as the first time and starts nothing.
    """
    content = await raw_body(request)
    secret = service.settings.webhook_secret
    if not secret:
        raise Problem(
            401, "SignatureRefused", "Unauthorized", f"no webhook is accepted: set {SECRET}"
        )
    keys = secret_keys(secret, SECRET)
    message_id = verified_id(keys, request.headers, content, service.clock())
    asked = body_of(content, Asked)
    decision, replayed = await service.run(_retrain, service, message_id, asked.reason)
    document = {"decision_id": decision.id, "state": decision.state, "replayed": replayed}
    return answer(document, 202, replayed=replayed)


def _retrain(service: Service, message_id: str, reason: str) -> tuple[DecisionRow, bool]:
    champion = require_champion(service)
    ledger, now = service.ledger, service.clock()
    place = f"retrain/{message_id}"
    # Kept for ever: a sender may repeat a message, signed anew, after hours.
    if (known := ledger.notes.get(place)) is not None:
        return ledger.decisions.get(known), True
    replayed = False
    try:
        decision = service.watcher.deciding.by_request(
            champion.version, reason, {"webhook_id": message_id}, now
        )
    except DecisionOpen as error:
        # Opened by this message, and killed before that was noted.
        decision = ledger.decisions.get(error.decision_id)
        if decision.evidence.get("webhook_id") != message_id:
            raise
        replayed = True
    ledger.notes.put(place, decision.id, now)
    return decision, replayed


@router.get(
    "/v1/labelled",
    response_class=StreamingResponse,
    responses={
        200: {"description": "rows with their truth", "content": {ARROW: {}}},
        **problems((401, 403, 404, 409, 422, 503)),
    },
)
def labelled(
    service: Serving,
    decision_id: Annotated[
        int | None, Query(ge=1, lt=2**63, description="the rows of this decision only")
    ] = None,
) -> Response:
    """Labelled rows as an Arrow stream: event_id, at, the model's features, its target.

    With a decision: those that it holds, the same at every call, and no other decision's; rows of
    windows with a broken feed are not among them. One that has ended without success holds none.
    """
    champion = require_champion(service)
    takes: Sequence[Take] = (Take(0, service.ledger.labels.mark()),)
    if decision_id is not None:
        takes = service.ledger.decisions.get(decision_id).takes
    rows = service.ledger.events.taken(takes)
    stream: Iterator[bytes] = labelled_stream(rows, champion.schema)
    return StreamingResponse(stream, media_type=ARROW, headers={"Cache-Control": "no-store"})


def _signed(request: Request, note: str) -> str:
    """A note that begins with the name of whoever wrote it."""
    name = identity_of(request).name
    return f"{name}: {note}" if note else name
