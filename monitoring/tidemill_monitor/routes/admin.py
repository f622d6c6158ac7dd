"""What must also work while the monitor runs: keys made and revoked, dead messages sent again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from fastapi import Path as InPath
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from tidemill_monitor.monitor_service import Service, service_of
from tidemill_monitor.problems import Problem
from tidemill_monitor.routes.asking import answer
from tidemill_monitor.routes.shown import shown
from tidemill_monitor.routes.small import Small, Words, small_body

__all__ = ["router"]

router = APIRouter(tags=["operate"])

Serving = Annotated[Service, Depends(service_of)]
KeyId = Annotated[str, InPath(pattern=r"^[0-9a-f]{1,32}$")]
_CODES = (400, 401, 403, 404, 413, 422, 503)


class NewKey(Small):
    """A key to make."""

    name: Words = ""
    scope: Literal["ingest", "read", "retrain", "operate"] = "ingest"


class Messages(Small):
    """Numbers of dead messages; none means all of them."""

    messages: tuple[Annotated[int, Field(ge=1, lt=2**63)], ...] = Field((), strict=False)


def _takes(model: Any, example: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": model.model_json_schema(), "example": example}}
    return {"openapi_extra": {"requestBody": {"required": False, "content": content}}}


_MADE = {"key": "tm_0123456789ab_(64 hexadecimal digits)", "scope": "ingest", "name": "shop"}


@router.post(
    "/v1/keys",
    **shown("the key; it is shown this once", _MADE, _CODES),
    **_takes(NewKey, {"name": "shop", "scope": "ingest"}),
)
async def create_key(request: Request, service: Serving) -> Response:
    """Make a key."""
    asked = await small_body(request, NewKey)
    name = asked.name or asked.scope
    text = await service.run(service.keys.create, name, asked.scope)
    return answer({"key": text, "scope": asked.scope, "name": name})


@router.post(
    "/v1/keys/{key_id}/revoke", **shown("it is refused from now on", {"revoked": "0123"}, _CODES)
)
async def revoke_key(service: Serving, key_id: KeyId) -> Response:
    """Refuse a key from now on, here at once."""
    if not await service.run(service.keys.revoke, key_id):
        raise Problem.not_found("key", key_id)
    return answer({"revoked": key_id})


@router.post(
    "/v1/outbox/replay",
    **shown("how many wait to be sent again", {"replayed": 2}, _CODES),
    **_takes(Messages, {"messages": [7]}),
)
async def replay_outbox(request: Request, service: Serving) -> Response:
    """Send notifications again that were given up."""
    asked = await small_body(request, Messages)
    count = await service.run(
        service.ledger.outbox.replay, list(asked.messages) or None, at=service.clock()
    )
    return answer({"replayed": count})
