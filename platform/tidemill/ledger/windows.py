"""Windows: bounded stretches of live traffic, their parts, and what was said of them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger import tables
from tidemill.ledger.archiving import archive_window
from tidemill.ledger.columns import AnyRow, micros
from tidemill.ledger.faults import RecordMissing
from tidemill.ledger.findings import FindingLike, finding_rows
from tidemill.ledger.parts import FIELDS, read_parts
from tidemill.ledger.store import Store
from tidemill.ledger.values import WindowKey
from tidemill.ledger.withholding import Span, spans_joined
from tidemill.ledger.writer import Commit, Writer

__all__ = ["Parts", "Performance", "Window", "Windows"]

_AT_ONCE = 400

Told = Literal["verdict", "measured"]


@dataclass(frozen=True, slots=True)
class Performance:
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
    performance : tuple of Performance
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
    performance: tuple[Performance, ...]
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


class Windows:
    """The windows of all model versions and segments."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._store, self._writer = store, writer

    def get(self, window_id: int) -> Window:
        """One window.

        Raises
        ------
        RecordMissing
            If there is none of that number.
        """
        with self._store.read() as connection:
            return _window(connection, window_id)

    def find(self, key: WindowKey) -> Window | None:
        """The window of a key, or None."""
        w = tables.windows
        chosen = sa.select(w).where(
            w.c.model_version == key.model_version,
            w.c.sequence == key.sequence,
            w.c.segment == key.segment,
        )
        with self._store.read() as connection:
            found = _with_performance(connection, connection.execute(chosen).all())
        return found[0] if found else None

    def versions_at(self, sequence: int, segment: str = "") -> Sequence[int]:
        """The models that share the rows of one number, each with a window of its own."""
        w = tables.windows
        chosen = sa.select(w.c.model_version).where(
            w.c.sequence == sequence, w.c.segment == segment
        )
        with self._store.read() as connection:
            return connection.execute(chosen.order_by(w.c.model_version)).scalars().all()

    def list(
        self,
        *,
        limit: int = 50,
        before: int | None = None,
        state: str | None = None,
        segment: str | None = "",
        model_version: int | None = None,
        verdict: str | None = None,
        told: Told | None = None,
    ) -> list[Window]:
        """Windows, newest first; ``before`` is the id after which the page begins.

        With ``told`` only those that have a verdict, or a figure measured with labels, however
        many others lie between.
        """
        w = tables.windows
        chosen = sa.select(w).order_by(w.c.start.desc(), w.c.id.desc()).limit(limit)
        wanted = {
            "state": state,
            "segment": segment,
            "model_version": model_version,
            "verdict": verdict,
        }
        for name, value in wanted.items():
            if value is not None:
                chosen = chosen.where(w.c[name] == value)
        if told is not None:
            chosen = chosen.where(_TELLS[told])
        if before is not None:
            start = sa.select(w.c.start).where(w.c.id == before).scalar_subquery()
            chosen = chosen.where(
                sa.or_(w.c.start < start, sa.and_(w.c.start == start, w.c.id < before))
            )
        with self._store.read() as connection:
            return _with_performance(connection, connection.execute(chosen).all())

    def open(self, model_version: int | None = None) -> Sequence[Window]:
        """Windows that take rows, oldest first, of all segments."""
        w = tables.windows
        chosen = sa.select(w).where(w.c.state == "open").order_by(w.c.start, w.c.id)
        if model_version is not None:
            chosen = chosen.where(w.c.model_version == model_version)
        with self._store.read() as connection:
            return _with_performance(connection, connection.execute(chosen).all())

    def unjudged(self, limit: int = 1000) -> Sequence[Window]:
        """Closed windows that were not judged, or that got labels since; oldest first."""
        w = tables.windows
        chosen = (
            sa.select(w)
            .where(
                w.c.state == "closed",
                sa.or_(w.c.judged_at.is_(None), w.c.labelled_rows > w.c.labelled_at_judgement),
            )
            .order_by(w.c.start, w.c.id)
            .limit(limit)
        )
        with self._store.read() as connection:
            return _with_performance(connection, connection.execute(chosen).all())

    def untaught(self, *, waiting: bool) -> tuple[Span, ...]:
        """Rows of the whole traffic that must not teach: those of windows with a broken feed.

        Parameters
        ----------
        waiting : bool
            Also those of windows that were not judged yet: nobody knows.
        """
        w = tables.windows
        columns = (w.c.model_version, w.c.start, w.c.end, w.c.first_position, w.c.last_position)
        bad = w.c.verdict == "broken feed"
        bad = sa.or_(bad, w.c.judged_at.is_(None)) if waiting else bad
        with self._store.read() as connection:
            rows = connection.execute(sa.select(*columns).where(w.c.segment == "", bad)).all()
        return spans_joined(_span(row) for row in rows)

    def parts(self, window_id: int) -> Parts:
        """The partials of a window."""
        with self._store.read() as connection:
            _window(connection, window_id)
            return Parts(*(read_parts(connection, window_id, field) for field in FIELDS))

    def close(self, window_id: int, at: dt.datetime) -> Window:
        """Take no more rows; closing again changes nothing."""
        w = tables.windows

        def write(commit: Commit) -> Window:
            commit.connection.execute(
                sa.update(w)
                .where(w.c.id == window_id, w.c.state == "open")
                .values(state="closed", closed_at=at)
            )
            commit.topic("windows")
            return _window(commit.connection, window_id)

        return self._writer.call(write)

    def judge(
        self,
        window_id: int,
        *,
        verdict: str | None,
        sentence: str,
        findings: Sequence[FindingLike],
        performance: Sequence[Performance] = (),
        summary: Mapping[str, Any] | None = None,
        at: dt.datetime,
        labelled_rows: int | None = None,
    ) -> Window:
        """Replace what was said of a window.

        Parameters
        ----------
        labelled_rows : int, optional
            Labelled rows that the judgement saw; more of them make the window unjudged again.
            Without it: those it has by now.
        """

        def write(commit: Commit) -> Window:
            now = _window(commit.connection, window_id)
            _replace_findings(commit.connection, window_id, findings, performance)
            w = tables.windows
            commit.connection.execute(
                sa.update(w)
                .where(w.c.id == window_id)
                .values(
                    verdict=verdict,
                    sentence=sentence,
                    summary=dict(summary or {}),
                    findings_flagged=sum(finding.flagged for finding in findings),
                    judged_at=at,
                    labelled_at_judgement=(
                        now.labelled_rows if labelled_rows is None else labelled_rows
                    ),
                )
            )
            commit.topic("windows")
            return _window(commit.connection, window_id)

        return self._writer.call(write)

    def judge_anew(self, window_ids: Sequence[int]) -> None:
        """Let closed windows be judged again, whether labels came or not."""
        w = tables.windows

        def write(commit: Commit) -> None:
            for at in range(0, len(window_ids), _AT_ONCE):
                some = w.c.id.in_(window_ids[at : at + _AT_ONCE])
                commit.connection.execute(
                    sa.update(w).where(some, w.c.state == "closed").values(labelled_at_judgement=-1)
                )
            commit.topic("windows")

        self._writer.call(write)

    def archive(self, window_id: int, url: str) -> str:
        """Write the rows of a window, with the truths that are known, as one Parquet file.

        Parameters
        ----------
        url : str
            A folder, or a prefix at any address that fsspec reads.

        Returns
        -------
        str
            The address of the file; the window remembers it.

        Raises
        ------
        StorageFailed
            If the file cannot be written.

        Notes
        -----
        Memory is one stored batch and one row group. Written again, the file is replaced.
        """
        window = self.get(window_id)
        address = archive_window(self._store, window, url)
        w = tables.windows

        def write(commit: Commit) -> None:
            commit.connection.execute(
                sa.update(w).where(w.c.id == window_id).values(archived_url=address)
            )
            commit.topic("windows")

        self._writer.call(write)
        return address


def _window(connection: Connection, window_id: int) -> Window:
    w = tables.windows
    rows = connection.execute(sa.select(w).where(w.c.id == window_id)).all()
    if not rows:
        raise RecordMissing.of("window", window_id)
    return _with_performance(connection, rows)[0]


def _span(row: AnyRow) -> Span:
    """The rows of a window: by their places where it counts them, else by their time."""
    if row.first_position is not None:
        return Span(row.model_version, "count", row.first_position, row.last_position)
    return Span(row.model_version, "time", micros(row.start), micros(row.end))


def _with_performance(connection: Connection, rows: Sequence[AnyRow]) -> list[Window]:
    p = tables.performance
    by_window: dict[int, list[Performance]] = {row.id: [] for row in rows}
    if by_window:
        chosen = sa.select(p).where(p.c.window_id.in_(by_window)).order_by(p.c.metric)
        for row in connection.execute(chosen):
            by_window[row.window_id].append(Performance(*row[1:]))
    return [_of_row(row, tuple(by_window[row.id])) for row in rows]


def _of_row(row: AnyRow, performance: tuple[Performance, ...]) -> Window:
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


def _replace_findings(
    connection: Connection,
    window_id: int,
    findings: Sequence[FindingLike],
    performance: Sequence[Performance],
) -> None:
    f, p = tables.findings, tables.performance
    connection.execute(sa.delete(f).where(f.c.window_id == window_id))
    connection.execute(sa.delete(p).where(p.c.window_id == window_id))
    if findings:
        connection.execute(sa.insert(f), finding_rows(window_id, findings))
    if performance:
        connection.execute(sa.insert(p), [_figures(window_id, figure) for figure in performance])


def _figures(window_id: int, figure: Performance) -> dict[str, Any]:
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


_TELLS: Mapping[Told, sa.ColumnElement[bool]] = {
    "verdict": tables.windows.c.verdict.is_not(None),
    "measured": sa.exists().where(
        tables.performance.c.window_id == tables.windows.c.id,
        tables.performance.c.measured.is_not(None),
    ),
}
