"""GET /openapi.json with the champion's own columns and examples; /docs, a plain page of it."""

from __future__ import annotations

from html import escape
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill_monitor.monitor_service import Service
from tidemill_monitor.routes.documents import EXAMPLE_FEATURES, SCHEMAS
from tidemill_monitor.security.scopes import required_scope

__all__ = ["add_openapi", "describe"]

_TYPES: dict[ColumnType, list[str]] = {
    ColumnType.NUMERIC: ["number", "null"],
    ColumnType.BOOLEAN: ["boolean", "null"],
    ColumnType.CATEGORICAL: ["string", "null"],
    ColumnType.DATETIME: ["string", "null"],
}
_VALUES: dict[ColumnType, Any] = {
    ColumnType.NUMERIC: 1.5,
    ColumnType.BOOLEAN: True,
    ColumnType.CATEGORICAL: "a",
    ColumnType.DATETIME: "2026-01-31T09:30:00Z",
}
_ID, _AT = "ride-1024", "2026-01-31T09:30:00Z"
_METHODS = ("get", "post", "put", "patch", "delete")


def add_openapi(app: FastAPI, service: Service) -> None:
    """Serve the description of ``app``; both addresses need the scope read."""

    async def document(request: Request) -> Response:  # noqa: ARG001
        return Response(orjson.dumps(describe(app, service)), media_type="application/json")

    async def page(request: Request) -> Response:  # noqa: ARG001
        return HTMLResponse(_page(describe(app, service)))

    app.add_route("/openapi.json", document, methods=["GET"], include_in_schema=False)
    app.add_route("/docs", page, methods=["GET"], include_in_schema=False)


def describe(app: FastAPI, service: Service) -> dict[str, Any]:
    """The OpenAPI document, for the champion that serves now."""
    found: dict[str, Any] = get_openapi(
        title="tidemill monitor",
        version="1",
        description="Predictions, events and labels in; windows, findings and decisions out. "
        "Rows that are not good are reported by row and field, and the others are kept.",
        routes=app.routes,
    )
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.update({name: dict(schema) for name, schema in SCHEMAS.items()})
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    champion = service.champion.current
    if champion is not None:
        schemas["Features"] = _features(champion.schema)
        schemas["Prediction"] = _prediction(champion.schema)
    _add_examples(found, champion.schema if champion is not None else None)
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            need = required_scope(method.upper(), path)
            if method in _METHODS and need not in ("open", "signed"):
                operation["security"] = [{"key": []}]
                operation["x-scope"] = need
    return found


def _features(schema: TableSchema) -> dict[str, Any]:
    return {
        **SCHEMAS["Features"],
        "additionalProperties": False,
        "required": [c.name for c in schema.features if c.purpose is not Purpose.TIME],
        "properties": {column.name: _cell(column) for column in schema.features},
    }


def _cell(column: Column) -> dict[str, Any]:
    found: dict[str, Any] = {"type": _TYPES[column.type]}
    if column.type is ColumnType.DATETIME:
        found["format"] = "date-time"
    if column.physical == "int64":
        found["type"] = ["integer", "null"]
    if column.physical == "float32":
        found |= {"minimum": -3.4e38, "maximum": 3.4e38}
    return found


def _prediction(schema: TableSchema) -> dict[str, Any]:
    if schema.task is Task.REGRESSION:
        return {"type": "number"}
    return {"type": "string", "enum": list(schema.classes)}


def _add_examples(found: dict[str, Any], schema: TableSchema | None) -> None:
    features: dict[str, Any] = dict(EXAMPLE_FEATURES)
    prediction: Any = "0"
    if schema is not None:
        features = {c.name: _VALUES[c.type] for c in schema.features}
        if schema.time is not None:
            features[schema.time.name] = _AT
        prediction = 12.5 if schema.task is Task.REGRESSION else schema.classes[-1]
    event = {"event_id": _ID, "at": _AT, "features": features, "prediction": prediction}
    rows: dict[str, tuple[str, dict[str, Any]]] = {
        "/v1/predict": ("records", {"event_id": _ID, "at": _AT, "features": features}),
        "/v1/events": ("events", {**event, "score": 0.71}),
        "/v1/labels": ("labels", {"event_id": _ID, "truth": prediction, "at": _AT}),
    }
    for path, (member, row) in rows.items():
        content = found["paths"][path]["post"]["requestBody"]["content"]
        content["application/json"]["example"] = {member: [row]}
        if "application/x-ndjson" in content:
            content["application/x-ndjson"]["example"] = orjson.dumps(row).decode() + "\n"


def _page(document: dict[str, Any]) -> str:
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>tidemill monitor: HTTP</title>",
        "<h1>tidemill monitor: HTTP interface</h1>",
        f"<p>{escape(document['info']['description'])}</p>",
        "<p><a href=/openapi.json>openapi.json</a></p>",
    ]
    for path, operations in sorted(document["paths"].items()):
        for method, operation in operations.items():
            parts.append(f"<h2>{escape(method.upper())} {escape(path)}</h2>")
            text = operation.get("description") or operation.get("summary", "")
            parts.append(
                f"<p>{escape(text)} Scope: {escape(operation.get('x-scope', 'none'))}.</p>"
            )
            parts.extend(_examples(operation))
    return "".join(parts) + "</html>"


def _examples(operation: dict[str, Any]) -> list[str]:
    content = operation.get("requestBody", {}).get("content", {})
    shown = []
    for kind, body in content.items():
        if "example" in body:
            example = body["example"]
            text = (
                example
                if isinstance(example, str)
                else orjson.dumps(example, option=orjson.OPT_INDENT_2).decode()
            )
            shown.append(f"<h3>{escape(kind)}</h3><pre>{escape(text)}</pre>")
    return shown
