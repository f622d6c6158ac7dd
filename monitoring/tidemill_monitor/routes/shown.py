"""What the ledger holds, as the documents that the HTTP interface shows; pure."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tidemill.ledger import Alert, DecisionRow, FindingPoint, FindingRow, Window
from tidemill.schema import Verdict

__all__ = [
    "SAMPLES",
    "alert_item",
    "decision_item",
    "finding_item",
    "moment",
    "number",
    "page",
    "point_item",
    "problems",
    "shown",
    "window_item",
]

Document = dict[str, Any]


def moment(at: dt.datetime | None) -> str | None:
    """A time as RFC 3339 in UTC, with Z; null where there is none."""
    return None if at is None else at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def number(value: float | None) -> float | None:
    """A figure as JSON can hold it; what is not finite is null."""
    return value if value is not None and math.isfinite(value) else None


def page(items: Sequence[Document], limit: int, last: int | None) -> Document:
    """A page, and where the next one begins; null where this one was not full."""
    return {"items": list(items), "next": last if len(items) >= limit else None}


def window_item(window: Window) -> Document:
    """A window as lists and the live page show it, with its note and its figures."""
    summary = window.summary
    note = summary.get("note", "") if window.judged_at else ""
    return {
        "id": window.id,
        "start": moment(window.start),
        "end": moment(window.end),
        "state": window.state,
        "segment": window.segment,
        "model_version": window.model_version,
        "rows": window.rows,
        "late_rows": window.late_rows,
        "labelled_rows": window.labelled_rows,
        "verdict": window.verdict,
        "sentence": window.sentence,
        "harm": summary.get("found_harm") or None,
        "note": note,
        "features": summary.get("features", []),
        "performance": _performance(window),
        "findings_flagged": window.findings_flagged,
        "closed_at": moment(window.closed_at),
        "judged_at": moment(window.judged_at),
        "changes": summary.get("changes", []),
        "archived_url": window.archived_url,
    }


def _performance(window: Window) -> Document | None:
    summary = window.summary
    if not window.performance and not summary.get("metric"):
        return None
    figure = window.performance[0] if window.performance else None
    told = summary.get("performance") or {}
    metric = figure.metric if figure else summary["metric"]
    return {
        "metric": metric,
        "measured": number(figure.measured) if figure else None,
        "estimated": number(figure.estimated) if figure else None,
        "low": _possible(metric, figure.low if figure else None),
        "high": _possible(metric, figure.high if figure else None),
        "estimated_low": _possible(metric, told.get("estimated_low")),
        "estimated_high": _possible(metric, told.get("estimated_high")),
        "estimate_trusted": _trusted(told),
        "held": summary.get("held"),
        "harm": summary.get("harm"),
    }


def _trusted(told: Mapping[str, Any]) -> bool | None:
    """Whether the estimate has a voice that labels do not deny; null where there is none."""
    if told.get("estimated") is None:
        return None
    return told.get("suspected") is not None and not told.get("doubt")


def _possible(metric: str, value: float | None) -> float | None:
    """An end of a band, no further than the figure can be."""
    if value is None or not math.isfinite(value):
        return None
    least = -math.inf if metric == "r2" else 0.0
    most = math.inf if metric in ("log_loss", "mae", "rmse") else 1.0
    return min(max(value, least), most)


def finding_item(finding: FindingRow) -> Document:
    """A finding as a window shows it; figures that are not finite are null."""
    return {
        "kind": finding.kind,
        "feature": finding.feature,
        "test": finding.test,
        "value": number(finding.value),
        "threshold": number(finding.threshold),
        "p_value": number(finding.p_value),
        "flagged": finding.flagged,
        "detail": finding.detail,
    }


def point_item(point: FindingPoint, end: dt.datetime | None = None) -> Document:
    """A finding of one feature in one window of its history."""
    return {
        "window": point.window_id,
        "start": moment(point.start),
        "end": moment(end),
        "test": point.test,
        "value": number(point.value),
        "threshold": number(point.threshold),
        "flagged": point.flagged,
    }


def alert_item(alert: Alert) -> Document:
    """An alert as lists and its page show it."""
    detail = alert.detail
    over = alert.resolved_at is not None
    return {
        "id": alert.id,
        "rule": alert.rule,
        "severity": alert.severity,
        "state": alert.state,
        "title": alert.title,
        "sentence": detail.get("sentence", alert.title),
        "segment": alert.segment,
        "model_version": alert.model_version,
        "window_id": alert.window_id,
        "count": alert.count,
        "silenced": bool(detail.get("silenced")),
        "opened_at": moment(alert.opened_at),
        "acknowledged_at": moment(alert.acknowledged_at),
        "acknowledged_by": None if alert.acknowledged_at is None else _who(alert, over),
        "resolved_at": moment(alert.resolved_at),
        "resolved_by": _who(alert, over=False) if over else None,
        "note": alert.note,
    }


def _who(alert: Alert, over: bool) -> str | None:
    # A note begins with the name of whoever wrote it; the resolving one replaces the first.
    return None if over or not alert.note else alert.note.split(":", 1)[0]


def decision_item(decision: DecisionRow) -> Document:
    """A decision with its evidence."""
    return {
        "id": decision.id,
        "state": decision.state,
        "action": decision.action,
        "reason": decision.reason,
        "evidence": decision.evidence,
        "source": decision.source,
        "champion_version": decision.champion_version,
        "challenger_version": decision.challenger_version,
        "promoted": decision.promoted,
        "attempt": decision.attempt,
        "flow_run_id": decision.flow_run_id,
        "flow_run_url": decision.flow_run_url,
        "opened_at": moment(decision.opened_at),
        "updated_at": moment(decision.updated_at),
        "closed_at": moment(decision.closed_at),
        "outcome": decision.outcome,
        "note": decision.note,
    }


def shown(text: str, sample: Any, codes: Iterable[int] = (401, 403, 503)) -> Mapping[str, Any]:
    """How a route that answers 200 describes itself in OpenAPI: by an example, and its problems."""
    content = {"application/json": {"schema": _schema_of(sample), "example": sample}}
    return {"responses": {200: {"description": text, "content": content}, **problems(codes)}}


def problems(codes: Iterable[int]) -> dict[int | str, Any]:
    """The problems that a route may answer with."""
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {"application/problem+json": {"schema": schema}}
    return {code: {"description": _WHY[code], "content": content} for code in codes}


_WHY = {
    400: "the body is not what it should be",
    401: "no valid key, or no valid signature",
    403: "the key's scope does not suffice",
    404: "there is none",
    409: "its state does not allow that",
    413: "too many bytes",
    422: "a parameter is not valid",
    503: "not now; Retry-After says when",
}


def _schema_of(sample: Any) -> Document:
    kind = {dict: "object", list: "array", str: "string", int: "integer"}.get(type(sample))
    if isinstance(sample, dict):
        return {"type": "object", "required": list(sample)}
    return {"type": kind} if kind else {}


_WINDOW = {
    "id": 41,
    "start": "2026-01-31T09:00:00Z",
    "end": "2026-01-31T10:00:00Z",
    "state": "closed",
    "segment": "",
    "model_version": 3,
    "rows": 5012,
    "late_rows": 0,
    "labelled_rows": 1400,
    "verdict": Verdict.CONFIRMED_HARM,
    "sentence": "Roc_auc is 0.712 (0.690 to 0.734) on 1,400 labelled rows, 0.081 below the 0.793 "
    "of the held-out rows; drifted: distance_km (psi 0.31).",
    "harm": Verdict.CONFIRMED_HARM,
    "note": "",
    "performance": {
        "metric": "roc_auc",
        "measured": 0.712,
        "estimated": 0.741,
        "estimate_trusted": True,
        "low": 0.690,
        "high": 0.734,
        "held": 0.793,
        "harm": 0.763,
    },
    "findings_flagged": 2,
}
_FINDING = {
    "kind": "drift",
    "feature": "distance_km",
    "test": "psi",
    "value": 0.31,
    "threshold": 0.12,
    "p_value": None,
    "flagged": True,
    "detail": "distance_km has drifted: its median is 9.1 and was 4.2.",
}
_DECISION = {
    "id": 7,
    "state": "started",
    "action": "fire",
    "reason": "confirmed harm in 2 of the last 3 windows that can tell of champion 3, and 4,200 "
    "labelled rows to learn from",
    "evidence": {
        "windows": ["39", "40", "41"],
        "harmed": ["40", "41"],
        "accused": ["roc_auc", "log_loss"],
        "policy": {"windows": 2},
    },
    "champion_version": 3,
    "challenger_version": None,
    "attempt": 1,
    "flow_run_url": "http://127.0.0.1:4200/runs/flow-run/0b6e...",
    "opened_at": "2026-01-31T10:05:01Z",
    "closed_at": None,
    "outcome": None,
}
_ALERT = {
    "id": 5,
    "rule": "harm",
    "severity": "critical",
    "state": "open",
    "sentence": _WINDOW["sentence"],
    "segment": "",
    "window_id": 41,
    "opened_at": "2026-01-31T10:05:01Z",
    "resolved_at": None,
    "note": "",
}

SAMPLES: dict[str, Any] = {
    "window": _WINDOW,
    "windows": {"items": [_WINDOW], "next": None},
    "findings": {"window": _WINDOW, "items": [_FINDING]},
    "alert": _ALERT,
    "alerts": {"items": [_ALERT], "next": None},
    "decision": _DECISION,
    "decisions": {"items": [_DECISION], "next": None},
}
"""Examples for OpenAPI."""
