"""Small JSON bodies: notes and reports; read with a limit, refused by name of the field."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.functional_validators import AfterValidator

from tidemill.config.monitoring import MAX_CHANNELS
from tidemill.errors import first_few
from tidemill_monitor.problems import Problem

__all__ = ["Answer", "Asked", "Chosen", "FlowReport", "Note", "body_of", "raw_body", "small_body"]

MAX_BYTES = 64 << 10
T = TypeVar("T", bound=BaseModel)


def _storable(text: str) -> str:
    # PostgreSQL's text holds no zero byte.
    if "\0" in text:
        raise ValueError("holds a zero character")
    return text


Words = Annotated[str, Field(max_length=2_000), AfterValidator(_storable)]
Story = Annotated[str, Field(max_length=20_000), AfterValidator(_storable)]
Id = Annotated[str, Field(max_length=200), AfterValidator(_storable)]
Version = Annotated[int, Field(ge=1, lt=2**31)]


class Small(BaseModel):
    """A body of which every field is known."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class Note(Small):
    """What a person says about what they do."""

    note: Words = ""


class Answer(Small):
    """Whether a break is the new normal: about which one (its first window), and why."""

    window: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    note: Words = ""


class Chosen(Small):
    """Names of channels; none means all of them."""

    channels: tuple[Words, ...] = Field((), max_length=MAX_CHANNELS, strict=False)


class FlowReport(Small, title="Report"):
    """What a flow run says of itself."""

    attempt: int = Field(ge=1, lt=2**31)
    state: Literal["started", "finished", "failed"]
    flow_run_id: Id | None = None
    challenger_version: Version | None = None
    promoted: bool | None = None
    outcome: Story | dict[str, Any] | None = None


class Asked(BaseModel):
    """What an outside system says when it asks for a retraining; more fields are let be."""

    reason: Words = "an outside system asked for it"


async def raw_body(request: Request, max_bytes: int = MAX_BYTES) -> bytes:
    """The body as it came, at most ``max_bytes``.

    Raises
    ------
    Problem
        413 beyond it, counted while it streams in.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > max_bytes:
            raise Problem(
                413, "BodyTooLarge", "Too large", f"at most {max_bytes:,} bytes are read here"
            )
        parts.append(part)
    return b"".join(parts)


async def small_body(request: Request, model: type[T]) -> T:
    """The body as ``model``; an empty one is an empty object.

    Raises
    ------
    Problem
        400 if it is no JSON object, 422 with the fields that are not valid.
    """
    return body_of(await raw_body(request), model)


def body_of(content: bytes, model: type[T]) -> T:
    """Parse and check; what was sent is never echoed."""
    try:
        # Refuses NaN, Infinity, 1e999 and lone surrogates, which no store could hold.
        document = orjson.loads(content or b"{}")
    except orjson.JSONDecodeError as exc:
        raise Problem(400, "JsonInvalid", "Bad request", "the body is not JSON") from exc
    if not isinstance(document, dict):
        raise Problem(400, "JsonInvalid", "Bad request", "the body is not a JSON object")
    try:
        return model.model_validate(document)
    except ValidationError as exc:
        found = [
            {"field": ".".join(str(part) for part in item["loc"])[:100], "code": item["type"]}
            for item in exc.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise Problem(
            422,
            "FieldsInvalid",
            "Unprocessable",
            f"not valid: {first_few((item['field'] for item in found), 5)}",
            fields=found,
        ) from exc
