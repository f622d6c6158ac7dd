"""Findings: statistical statements about windows, by window, by feature and by test."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa

from tidemill.ledger.database import AnyRow, Database, tables

__all__ = ["FindingLike", "FindingPoint", "FindingRow", "Findings", "finding_rows"]


class FindingLike(Protocol):
    """What a finding must have to be stored."""

    @property
    def kind(self) -> str:
        """The family: quality, territory, drift, output drift, ..."""

    @property
    def feature(self) -> str:
        """Empty for the whole window."""

    @property
    def test(self) -> str:
        """The statistic: psi, jensen_shannon, nulls, range, ..."""

    @property
    def value(self) -> float:
        """How large the effect is, in the unit of ``threshold``."""

    @property
    def threshold(self) -> float:
        """Beyond it the finding is flagged."""

    @property
    def p_value(self) -> float | None:
        """Where the test has one."""

    @property
    def flagged(self) -> bool:
        """Whether it counts towards the verdict."""

    @property
    def detail(self) -> str:
        """One sentence for people, with the figures."""


@dataclass(frozen=True, slots=True)
class FindingRow:
    """A finding with the window that it is about, as stored."""

    window_id: int
    kind: str
    feature: str
    test: str
    value: float
    threshold: float
    p_value: float | None
    flagged: bool
    detail: str


@dataclass(frozen=True, slots=True)
class FindingPoint:
    """One value of a heat map or of a feature's history."""

    window_id: int
    start: dt.datetime
    feature: str
    test: str
    value: float
    threshold: float
    flagged: bool


class Findings:
    """The findings of all windows; written by :meth:`tidemill.ledger.Windows.judge`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, window_id: int, flagged: bool | None = None) -> list[FindingRow]:
        """The findings of one window, in the order in which they were given."""
        f = tables.findings
        chosen = sa.select(f).where(f.c.window_id == window_id).order_by(f.c.ordinal)
        if flagged is not None:
            chosen = chosen.where(f.c.flagged == flagged)
        with self._database.read() as connection:
            return [_row(row) for row in connection.execute(chosen)]

    def history(
        self,
        feature: str,
        *,
        limit: int = 100,
        segment: str = "",
        model_version: int | None = None,
    ) -> list[FindingPoint]:
        """The findings about a feature in the newest windows, oldest first."""
        return self._points(tables.findings.c.feature == feature, limit, segment, model_version)

    def matrix(
        self,
        test: str,
        *,
        limit: int = 50,
        segment: str = "",
        model_version: int | None = None,
    ) -> list[FindingPoint]:
        """The findings of one test in the newest windows, oldest first."""
        return self._points(tables.findings.c.test == test, limit, segment, model_version)

    def _points(
        self, condition: Any, limit: int, segment: str, model_version: int | None
    ) -> list[FindingPoint]:
        f, w = tables.findings, tables.windows
        newest = sa.select(w.c.id).where(w.c.segment == segment, w.c.judged_at.is_not(None))
        if model_version is not None:
            newest = newest.where(w.c.model_version == model_version)
        newest = newest.order_by(w.c.start.desc(), w.c.id.desc()).limit(limit)
        chosen = (
            sa.select(f, w.c.start)
            .join(w, w.c.id == f.c.window_id)
            .where(condition, f.c.window_id.in_(newest))
            .order_by(w.c.start, w.c.id, f.c.ordinal)
        )
        with self._database.read() as connection:
            return [_point(row) for row in connection.execute(chosen)]


def finding_rows(window_id: int, findings: Sequence[FindingLike]) -> list[dict[str, Any]]:
    """Rows of the table for what :class:`FindingLike` says."""
    return [
        {
            "window_id": window_id,
            "ordinal": ordinal,
            "kind": finding.kind,
            "feature": finding.feature,
            "test": finding.test,
            "value": _number(finding.value),
            "threshold": _number(finding.threshold),
            "p_value": None if finding.p_value is None else _number(finding.p_value),
            "flagged": bool(finding.flagged),
            "detail": finding.detail,
        }
        for ordinal, finding in enumerate(findings)
    ]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)  # SQLite has no NaN


def _float(value: float | None) -> float:
    return math.nan if value is None else value


def _row(row: AnyRow) -> FindingRow:
    return FindingRow(
        row.window_id,
        row.kind,
        row.feature,
        row.test,
        _float(row.value),
        _float(row.threshold),
        row.p_value,
        row.flagged,
        row.detail,
    )


def _point(row: AnyRow) -> FindingPoint:
    return FindingPoint(
        row.window_id,
        row.start,
        row.feature,
        row.test,
        _float(row.value),
        _float(row.threshold),
        row.flagged,
    )
