"""Is this the new normal? The question, and the two answers of a person."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from tidemill_monitor.monitor_service import Service, service_of
from tidemill_monitor.routes.asking import answer, identity_of
from tidemill_monitor.routes.shown import shown
from tidemill_monitor.routes.small import Answer, small_body
from tidemill_monitor.watching.newnormal import NormalQuestion, accepted_of

__all__ = ["question_item", "router"]

router = APIRouter(tags=["operate"])

Serving = Annotated[Service, Depends(service_of)]
_CODES = (400, 401, 403, 409, 413, 422, 503)
_SAMPLE: dict[str, Any] = {
    "question": {"window": 41, "model_version": 3, "state": "asked", "windows": 3},
    "accepted": [{"window": 12, "features": ["distance_km"], "by": "ops"}],
}


def question_item(question: NormalQuestion | None) -> dict[str, Any] | None:
    """The question as the API shows it."""
    return None if question is None else question.to_json()


def _takes(example: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": Answer.model_json_schema(), "example": example}}
    return {"openapi_extra": {"requestBody": {"required": False, "content": content}}}


_ANSWER = _takes({"window": 41, "note": "metres since the new release"})


@router.get("/v1/normal", **shown("what is asked, and what was accepted", _SAMPLE))
def normal(service: Serving) -> Response:
    """Whether a break is asked to be the new normal, and what was accepted for this version."""
    champion = service.champion.current
    if champion is None:
        return answer({"question": None, "accepted": []})
    question = service.watcher.newnormal.question(champion.version)
    accepted = accepted_of(service.ledger, champion.version)
    return answer({"question": question_item(question), "accepted": accepted})


@router.post("/v1/normal/accept", **shown("what was accepted", _SAMPLE["accepted"][0], _CODES),
             **_ANSWER)  # fmt: skip
async def accept(request: Request, service: Serving) -> Response:
    """Take the windows of the break as a new reference; the same again changes nothing."""
    told = await small_body(request, Answer)
    name = identity_of(request).name
    return answer(await service.run(service.watcher.accept_normal, told.window, name, told.note))


@router.post("/v1/normal/hold", **shown("the question", _SAMPLE["question"], _CODES), **_ANSWER)
async def hold(request: Request, service: Serving) -> Response:
    """Go on calling it broken; nobody is asked again until something changes."""
    told = await small_body(request, Answer)
    name = identity_of(request).name
    question = await service.run(service.watcher.hold_normal, told.window, name, told.note)
    return answer(question.to_json())
