"""What OpenAPI says of the routes that read raw bodies: schemas, examples, problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import PlainTextResponse

__all__ = [
    "EVENTS",
    "EXAMPLE_FEATURES",
    "HEALTH",
    "LABELS",
    "METRICS",
    "PREDICT",
    "READY",
    "SCHEMAS",
]

EXAMPLE_FEATURES: dict[str, Any] = {
    "distance_km": 4.2,
    "pickup_zone": "harbour",
    "is_airport": None,
}
"""Shown until a champion is loaded; then its own columns are."""

_ID = {
    "type": ["string", "integer"],  # 7.0 is an integer too, as JSON Schema has it
    "minLength": 1,
    "maxLength": 200,
    "pattern": r"^[!-~]+$",
    "description": "names the event for ever: the same again is not stored twice; a whole "
    "number is its text",
}
_AT = {"type": "string", "format": "date-time", "description": "event time; UTC without offset"}
_MAYBE_AT = {**_AT, "type": ["string", "null"]}
_ALTERED = {
    "type": "array",
    "description": "values that were taken, though not as they came",
    "items": {
        "type": "object",
        "required": ["field", "code", "rows"],
        "properties": {
            "field": {"type": "string"},
            "code": {
                "type": "string",
                "description": "`rounded` to what the model's type holds, or `cut`: a time "
                "after the microsecond",
            },
            "rows": {"type": "integer", "minimum": 1},
        },
    },
}
_CELL = {"type": ["number", "string", "boolean", "null"]}

SCHEMAS: dict[str, Any] = {
    "Features": {
        "type": "object",
        "description": "Every feature of the model; null where it is unknown. The time column "
        "may be left out: it is `at` then.",
        "additionalProperties": _CELL,
    },
    "Record": {
        "type": "object",
        "required": ["features"],
        "additionalProperties": False,
        "properties": {
            "event_id": {**_ID, "description": "made up if left out"},
            "at": {**_MAYBE_AT, "description": "event time; now if left out"},
            "features": {"$ref": "#/components/schemas/Features"},
        },
    },
    "Event": {
        "type": "object",
        "required": ["event_id", "at", "features", "prediction"],
        "additionalProperties": False,
        "properties": {
            "event_id": _ID,
            "at": _AT,
            "features": {"$ref": "#/components/schemas/Features"},
            "prediction": {"$ref": "#/components/schemas/Prediction"},
            "score": {
                "type": ["number", "null"],
                "minimum": 0,
                "maximum": 1,
                "description": "probability of the second class, or of the predicted one of many",
            },
            "model_version": {
                "type": ["integer", "null"],
                "description": "a registered version; the champion's if left out",
            },
        },
    },
    "Label": {
        "type": "object",
        "required": ["event_id", "truth"],
        "additionalProperties": False,
        "properties": {
            "event_id": _ID,
            "truth": {"$ref": "#/components/schemas/Prediction"},
            "at": {**_MAYBE_AT, "description": "when it became known; now if left out"},
        },
    },
    "Prediction": {
        "type": ["string", "number"],
        "description": "a label of a classifier (the model's classes), or a number",
    },
    "RowError": {
        "type": "object",
        "required": ["row", "field", "code", "detail"],
        "properties": {
            "row": {"type": "integer", "minimum": 0},
            "field": {"type": "string", "description": "empty for the row as a whole"},
            "code": {"type": "string"},
            "detail": {"type": "string"},
        },
    },
    "Problem": {
        "type": "object",
        "description": "RFC 9457; `code` is stable",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string"},
            "remedy": {"type": "string"},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/RowError"}},
        },
    },
    "Predictions": {
        "type": "object",
        "required": ["model", "predictions", "refused", "errors_total", "errors"],
        "properties": {
            "model": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "version": {"type": "integer"}},
            },
            "predictions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["row", "event_id", "prediction"],
                    "properties": {
                        "row": {"type": "integer"},
                        "event_id": {"type": "string"},
                        "prediction": {"$ref": "#/components/schemas/Prediction"},
                        "score": {"type": "number"},
                    },
                },
            },
            "duplicates": {
                "type": "integer",
                "description": "ids that were known: predicted again, the stored events stay",
            },
            "duplicate_rows": {"type": "array", "items": {"type": "integer"}},
            "changed": {
                "type": "integer",
                "description": "those of them with other features than the stored event has",
            },
            "changed_rows": {"type": "array", "items": {"type": "integer"}},
            "altered": _ALTERED,
            "refused": {"type": "integer"},
            "errors_total": {"type": "integer"},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/RowError"}},
        },
    },
    "EventsTaken": {
        "type": "object",
        "required": ["accepted", "duplicates", "refused", "errors_total", "errors"],
        "properties": {
            "accepted": {"type": "integer"},
            "duplicates": {"type": "integer", "description": "ids that were known; no error"},
            "duplicate_rows": {"type": "array", "items": {"type": "integer"}},
            "altered": _ALTERED,
            "refused": {"type": "integer"},
            "errors_total": {"type": "integer"},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/RowError"}},
        },
    },
    "LabelsTaken": {
        "type": "object",
        "required": ["matched", "pending", "repeated", "refused", "errors_total", "errors"],
        "properties": {
            "matched": {"type": "integer"},
            "pending": {"type": "integer", "description": "their events have not come yet"},
            "repeated": {"type": "integer"},
            "altered": _ALTERED,
            "refused": {"type": "integer"},
            "errors_total": {"type": "integer"},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/RowError"}},
        },
    },
}

_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "a new one for each new request: the same key and body again get the first "
    "answer and count nowhere, another body gets 409; kept for a week. Without it known event "
    "ids are no error: they are stored once, and count as duplicates in their own window",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[!-~]+$"},
}
_ARROW = "application/vnd.apache.arrow.stream"
_NDJSON = "application/x-ndjson"
_PROBLEMS = {
    400: "not what its content type says",
    401: "no valid key",
    403: "the key's scope does not suffice",
    408: "the body came too slowly",
    409: "the Idempotency-Key was used for another body",
    413: "too many bytes or rows",
    415: "a content type or encoding that is not read",
    422: "no row was good; the errors say why",
    429: "too often; Retry-After says when",
    503: "not now; Retry-After says when",
}


def _problem(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {"application/problem+json": {"schema": schema}}}


def _rows(member: str, item: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [member],
        "additionalProperties": False,
        "properties": {
            member: {
                "type": "array",
                "minItems": 1,
                "items": {"$ref": f"#/components/schemas/{item}"},
            }
        },
    }


def _intake(
    member: str, item: str, *, lines: bool, answer: str, status: int, text: str
) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": _rows(member, item)}}
    if lines:
        content[_NDJSON] = {"schema": {"type": "string", "description": f"one {item} a line"}}
    flat = "an Arrow IPC stream; flat columns named as the fields, features beside them"
    content[_ARROW] = {"schema": {"type": "string", "format": "binary", "description": flat}}
    found: dict[str, Any] = {
        "application/json": {"schema": {"$ref": f"#/components/schemas/{answer}"}}
    }
    if member == "records":
        found[_ARROW] = {"schema": {"type": "string", "format": "binary"}}
    responses: dict[int | str, Any] = {status: {"description": text, "content": found}}
    responses |= {code: _problem(why) for code, why in _PROBLEMS.items()}
    return {
        "responses": responses,
        "openapi_extra": {
            "parameters": [_KEY],
            "requestBody": {"required": True, "content": content},
        },
    }


def _described(text: str, *, more: Mapping[int | str, Any] | None = None) -> dict[str, Any]:
    return {"responses": {200: {"description": text}, **(more or {})}}


PREDICT = _intake(
    "records",
    "Record",
    lines=False,
    answer="Predictions",
    status=200,
    text="predictions for the good rows, durable",
)
EVENTS = _intake("events", "Event", lines=True, answer="EventsTaken", status=202, text="durable")
LABELS = _intake("labels", "Label", lines=True, answer="LabelsTaken", status=202, text="durable")
HEALTH = _described("the process answers")
READY = _described("rows are taken", more={503: {"description": "they are not; the parts say why"}})
METRICS: dict[str, Any] = {
    **_described("figures, in Prometheus' text format", more={401: _problem("no valid key")}),
    "response_class": PlainTextResponse,
}
