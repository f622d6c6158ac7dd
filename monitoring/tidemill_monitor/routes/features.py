"""One column in the reference and in a window; all columns over windows."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.drift import output_schema
from tidemill.ledger import Ledger, Window
from tidemill.profiling import CategoryProfile, NumericProfile, Profile
from tidemill.schema import Column, ColumnType, TableSchema
from tidemill_monitor.monitor_service import Service
from tidemill_monitor.problems import Problem
from tidemill_monitor.routes.asking import require_champion
from tidemill_monitor.routes.shown import moment, number, point_item, window_item
from tidemill_monitor.watching.folds import unpacked

__all__ = ["bins_of", "feature_document", "feature_list", "heatmap_document"]

MAX_CATEGORIES = 30
_TESTS = ("jensen_shannon", "psi", "ks", "wasserstein", "chi_squared")

Document = dict[str, Any]
ColumnProfile = NumericProfile | CategoryProfile


def feature_list(service: Service) -> Document:
    """Names and types: the model's features, then what it says and what turns out."""
    return {"items": [_described(column, place) for column, place in _columns(service)]}


def feature_document(service: Service, name: str, window_id: int | None, limit: int) -> Document:
    """A column's shares in the reference and in a window, and its findings over time.

    Raises
    ------
    Problem
        404 if the model has no such column.
    """
    found = next(((c, place) for c, place in _columns(service) if c.name == name), None)
    if found is None:
        raise Problem.not_found("feature", name)
    column, place = found
    window = _window(service, window_id)
    known = _of_reference(service, window, name, place)
    now = _of_window(service.ledger, window, name, place)
    return {
        **_described(column, place),
        **_compared(column, known, now),
        "window": window_item(window) if window is not None else None,
        "history": _history(service.ledger, name, limit),
    }


def heatmap_document(service: Service, test: str, limit: int) -> Document:
    """Value over threshold: features (rows) by the newest windows (columns), oldest first."""
    names = [column.name for column, _ in _columns(service)]
    windows = [
        window
        for window in service.ledger.windows.list(limit=limit, state="closed", segment="")[::-1]
        if window.judged_at is not None
    ]
    column = {window.id: i for i, window in enumerate(windows)}
    row = {name: i for i, name in enumerate(names)}
    values: list[list[float | None]] = [[None] * len(windows) for _ in names]
    flagged = [[False] * len(windows) for _ in names]
    for name in _TESTS if test == "furthest" else (test,):
        for point in service.ledger.findings.matrix(name, limit=limit, segment=""):
            i, j = row.get(point.feature), column.get(point.window_id)
            if i is not None and j is not None and point.threshold:
                values[i][j] = _larger(values[i][j], number(point.value / point.threshold))
                flagged[i][j] = flagged[i][j] or point.flagged
    items = [
        {
            "id": window.id,
            "start": moment(window.start),
            "end": moment(window.end),
            "verdict": window.verdict,
            "model_version": window.model_version,
        }
        for window in windows
    ]
    return {
        "windows": items,
        "features": names,
        "test": test,
        "values": values,
        "flagged": flagged,
    }


def _larger(one: float | None, other: float | None) -> float | None:
    known = [value for value in (one, other) if value is not None]
    return max(known, default=None)


def bins_of(
    column: Column, known: ColumnProfile | None, now: ColumnProfile | None
) -> tuple[list[str], list[float], list[npt.NDArray[np.int64]]]:
    """Labels, edges and the counts of both sides, on the same bins.

    Of categories the 30 with the largest share on either side are shown, the others together.
    """
    sides = [known, now]
    first = next((side for side in sides if side is not None), None)
    if isinstance(first, NumericProfile):
        counts = [_numeric_counts(side, first) for side in sides]
        return _bin_labels(column, first.edges.tolist()), first.edges.tolist(), counts
    tables = [side.counts if isinstance(side, CategoryProfile) else {} for side in sides]
    totals = [max(sum(table.values()), 1) for table in tables]
    share = {
        name: max(t.get(name, 0) / n for t, n in zip(tables, totals, strict=True))
        for name in {name for table in tables for name in table}
    }
    ranked = sorted(share, key=lambda name: (-share[name], name))
    names, others = ranked[:MAX_CATEGORIES], ranked[MAX_CATEGORIES:]
    rows = [[t.get(n, 0) for n in names] for t in tables]
    if others:
        for row, table in zip(rows, tables, strict=True):
            row.append(sum(table.get(name, 0) for name in others))
    labels = [*names, f"{len(others):,} others"] if others else names
    return labels, [], [np.array(row, np.int64) for row in rows]


def _numeric_counts(side: ColumnProfile | None, like: NumericProfile) -> npt.NDArray[np.int64]:
    if isinstance(side, NumericProfile) and np.array_equal(side.edges, like.edges):
        return side.counts
    return np.zeros(len(like.counts), np.int64)


def _bin_labels(column: Column, edges: list[float]) -> list[str]:
    if not edges:
        return ["all"]
    texts = [_edge(column, edge) for edge in edges]
    inner = [f"{low} to {high}" for low, high in pairwise(texts)]
    return [f"below {texts[0]}", *inner, f"{texts[-1]} and above"]


def _edge(column: Column, edge: float) -> str:
    if column.type is not ColumnType.DATETIME:
        return f"{edge:.6g}"
    at = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=edge)
    return f"{at:%Y-%m-%d %H:%M}"


def _compared(column: Column, known: ColumnProfile | None, now: ColumnProfile | None) -> Document:
    labels, edges, (reference, current) = bins_of(column, known, now)
    return {
        "bins": labels,
        "edges": edges,
        "reference": None if known is None else _shares(reference),
        "current": None if now is None else _shares(current),
        "nulls": {"reference": _nulls(known), "current": _nulls(now)},
    }


def _shares(counts: npt.NDArray[np.int64]) -> list[float]:
    total = max(int(counts.sum()), 1)
    return [round(count / total, 6) for count in counts.tolist()]


def _nulls(side: ColumnProfile | None) -> float | None:
    return None if side is None else round(side.nulls / max(side.rows, 1), 6)


def _columns(service: Service) -> list[tuple[Column, str]]:
    champion = require_champion(service)
    reference = champion.reference
    schema: TableSchema = reference.schema if reference is not None else champion.schema
    outputs = output_schema(schema).columns
    features = schema.features
    names = {column.name for column in features}
    return [
        *((column, "feature") for column in features),
        *((column, "output") for column in outputs if column.name not in names),
    ]


def _described(column: Column, place: str) -> Document:
    return {"name": column.name, "type": str(column.type), "place": place}


def _window(service: Service, window_id: int | None) -> Window | None:
    """The window that is asked for; else the newest closed one, else the one that fills."""
    windows = service.ledger.windows
    if window_id is not None:
        return windows.get(window_id)
    champion = require_champion(service)
    for state in ("closed", "open"):
        found = windows.list(limit=1, state=state, segment="", model_version=champion.version)
        if found:
            return found[0]
    return None


def _of_reference(
    service: Service, window: Window | None, name: str, place: str
) -> ColumnProfile | None:
    version = window.model_version if window is not None else require_champion(service).version
    merged = service.watcher.merged(version)
    if merged is None:
        return None
    profile = merged[0] if place == "feature" else merged[1]
    return profile.columns.get(name) if profile is not None else None


def _of_window(
    ledger: Ledger, window: Window | None, name: str, place: str
) -> ColumnProfile | None:
    if window is None:
        return None
    parts = ledger.windows.parts(window.id)
    if place == "feature" or name != "truth":
        field = "profile" if place == "feature" else "outputs"
        kept = getattr(parts, field)
        profile: Profile | None = unpacked(field, kept) if kept else None
    else:
        profile = unpacked("figures", parts.figures).truth if parts.figures else None
    return profile.columns.get(name) if profile is not None else None


def _history(ledger: Ledger, name: str, limit: int) -> list[Document]:
    points = ledger.findings.history(name, limit=limit)
    return [point_item(point) for point in points]
