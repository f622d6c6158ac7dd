"""A window as it stands in the store, and what was said of it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger.database import AnyRow, RecordMissing, tables
from tidemill.ledger.entries import WindowKey
from tidemill.ledger.finding_rows import FindingLike, finding_rows

__all__ = ["Parts", "PerformanceRow", "Window", "get_window", "replace_said", "windows_of"]


@dataclass(frozen=True, slots=True)
class PerformanceRow:
    """One figure of a window: measured from labels, or estimated before they came.

    Parameters
    ----------
    metric : str
    measured, estimated : float or None
    low, high : float or None
        Band of the estimate.
    labelled_rows : int
    """

    metric: str
    measured: float | None = None
    estimated: float | None = None
    low: float | None = None
    high: float | None = None
    labelled_rows: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """One window as it stands.

    Parameters
    ----------
    id : int
    key : WindowKey
    start, end : datetime
    state : str
        ``open`` or ``closed``.
    rows, late_rows, labelled_rows : int
        Late rows came after it was closed and are in none of its parts.
    verdict : str or None
    sentence : str
    performance : tuple of PerformanceRow
    findings_flagged : int
    summary : dict
    """

    id: int
    key: WindowKey
    start: dt.datetime
    end: dt.datetime
    state: str
    rows: int
    late_rows: int
    labelled_rows: int
    verdict: str | None
    sentence: str
    performance: tuple[PerformanceRow, ...]
    findings_flagged: int
    summary: Mapping[str, Any]
    first_received_at: dt.datetime
    last_received_at: dt.datetime
    closed_at: dt.datetime | None
    judged_at: dt.datetime | None
    archived_url: str | None
    positions: tuple[int, int] | None

    @property
    def model_version(self) -> int:
        """The model that predicted its rows."""
        return self.key.model_version

    @property
    def sequence(self) -> int:
        """Its number in time or in order of arrival."""
        return self.key.sequence

    @property
    def segment(self) -> str:
        """Empty for all rows."""
        return self.key.segment


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The partials of a window, at most 64 of each, oldest first."""

    profile: tuple[bytes, ...]
    outputs: tuple[bytes, ...]
    intake: tuple[bytes, ...]
    figures: tuple[bytes, ...]


def get_window(connection: Connection, window_id: int) -> Window:
    """The window of this number.

    Raises
    ------
    RecordMissing
        If there is none.
    """
    w = tables.windows
    rows = connection.execute(sa.select(w).where(w.c.id == window_id)).all()
    if not rows:
        raise RecordMissing.of("window", window_id)
    return windows_of(connection, rows)[0]


def windows_of(connection: Connection, rows: Sequence[AnyRow]) -> list[Window]:
    """Rows of ``windows``, each with its figures."""
    p = tables.performance
    by_window: dict[int, list[PerformanceRow]] = {row.id: [] for row in rows}
    if by_window:
        chosen = sa.select(p).where(p.c.window_id.in_(by_window)).order_by(p.c.metric)
        for row in connection.execute(chosen):
            by_window[row.window_id].append(PerformanceRow(*row[1:]))
    return [_of_row(row, tuple(by_window[row.id])) for row in rows]


def _of_row(row: AnyRow, performance: tuple[PerformanceRow, ...]) -> Window:
    positions = None
    if row.first_position is not None:
        positions = (row.first_position, row.last_position)
    return Window(
        row.id,
        WindowKey(row.model_version, row.sequence, row.segment),
        row.start,
        row.end,
        row.state,
        row.rows,
        row.late_rows,
        row.labelled_rows,
        row.verdict,
        row.sentence,
        performance,
        row.findings_flagged,
        row.summary,
        row.first_received_at,
        row.last_received_at,
        row.closed_at,
        row.judged_at,
        row.archived_url,
        positions,
    )


def replace_said(
    connection: Connection,
    window_id: int,
    findings: Sequence[FindingLike],
    performance: Sequence[PerformanceRow],
) -> None:
    """Put what is said of a window now in the place of what was said."""
    f, p = tables.findings, tables.performance
    connection.execute(sa.delete(f).where(f.c.window_id == window_id))
    connection.execute(sa.delete(p).where(p.c.window_id == window_id))
    if findings:
        connection.execute(sa.insert(f), finding_rows(window_id, findings))
    if performance:
        connection.execute(sa.insert(p), [_figures(window_id, figure) for figure in performance])


def _figures(window_id: int, figure: PerformanceRow) -> dict[str, Any]:
    values = {
        name: value if value is None or math.isfinite(value) else None
        for name in ("measured", "estimated", "low", "high")
        for value in (getattr(figure, name),)
    }
    return {
        "window_id": window_id,
        "metric": figure.metric,
        "labelled_rows": figure.labelled_rows,
        **values,
    }
