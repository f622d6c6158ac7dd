"""Windows: found, closed, judged and archived."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa

from tidemill.ledger.archiving import archive_window
from tidemill.ledger.database import AnyRow, Commit, Database, micros, tables
from tidemill.ledger.entries import WindowKey
from tidemill.ledger.finding_rows import FindingLike
from tidemill.ledger.window import (
    Parts,
    PerformanceRow,
    Window,
    get_window,
    replace_said,
    windows_of,
)
from tidemill.ledger.window_parts import FIELDS, read_parts
from tidemill.ledger.withholding import Span, spans_joined
from tidemill.ledger.writer import Writer
from tidemill.schema import Verdict

__all__ = ["Windows"]

_AT_ONCE = 400

Telling = Literal["verdict", "measured"]


class Windows:
    """The windows of all model versions and segments."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database, self._writer = database, writer

    def get(self, window_id: int) -> Window:
        """One window.

        Raises
        ------
        RecordMissing
            If there is none of that number.
        """
        with self._database.read() as connection:
            return get_window(connection, window_id)

    def find(self, key: WindowKey) -> Window | None:
        """The window of a key, or None."""
        w = tables.windows
        chosen = sa.select(w).where(
            w.c.model_version == key.model_version,
            w.c.sequence == key.sequence,
            w.c.segment == key.segment,
        )
        with self._database.read() as connection:
            found = windows_of(connection, connection.execute(chosen).all())
        return found[0] if found else None

    def versions_at(self, sequence: int, segment: str = "") -> Sequence[int]:
        """The models that share the rows of one number, each with a window of its own."""
        w = tables.windows
        chosen = sa.select(w.c.model_version).where(
            w.c.sequence == sequence, w.c.segment == segment
        )
        with self._database.read() as connection:
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
        told: Telling | None = None,
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
        with self._database.read() as connection:
            return windows_of(connection, connection.execute(chosen).all())

    def open(self, model_version: int | None = None) -> Sequence[Window]:
        """Windows that take rows, oldest first, of all segments."""
        w = tables.windows
        chosen = sa.select(w).where(w.c.state == "open").order_by(w.c.start, w.c.id)
        if model_version is not None:
            chosen = chosen.where(w.c.model_version == model_version)
        with self._database.read() as connection:
            return windows_of(connection, connection.execute(chosen).all())

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
        with self._database.read() as connection:
            return windows_of(connection, connection.execute(chosen).all())

    def untaught(self, *, waiting: bool) -> tuple[Span, ...]:
        """Rows of the whole traffic that must not teach: those of windows with a broken feed.

        Parameters
        ----------
        waiting : bool
            Also those of windows that were not judged yet: nobody knows.
        """
        w = tables.windows
        columns = (w.c.model_version, w.c.start, w.c.end, w.c.first_position, w.c.last_position)
        bad = w.c.verdict == Verdict.BROKEN_FEED
        bad = sa.or_(bad, w.c.judged_at.is_(None)) if waiting else bad
        with self._database.read() as connection:
            rows = connection.execute(sa.select(*columns).where(w.c.segment == "", bad)).all()
        return spans_joined(_span(row) for row in rows)

    def parts(self, window_id: int) -> Parts:
        """The partials of a window."""
        with self._database.read() as connection:
            get_window(connection, window_id)
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
            return get_window(commit.connection, window_id)

        return self._writer.call(write)

    def judge(
        self,
        window_id: int,
        *,
        verdict: str | None,
        sentence: str,
        findings: Sequence[FindingLike],
        performance: Sequence[PerformanceRow] = (),
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
            now = get_window(commit.connection, window_id)
            replace_said(commit.connection, window_id, findings, performance)
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
            return get_window(commit.connection, window_id)

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
        address = archive_window(self._database, window, url)
        w = tables.windows

        def write(commit: Commit) -> None:
            commit.connection.execute(
                sa.update(w).where(w.c.id == window_id).values(archived_url=address)
            )
            commit.topic("windows")

        self._writer.call(write)
        return address


def _span(row: AnyRow) -> Span:
    """The rows of a window: by their places where it counts them, else by their time."""
    if row.first_position is not None:
        return Span(row.model_version, "count", row.first_position, row.last_position)
    return Span(row.model_version, "time", micros(row.start), micros(row.end))


_TELLS: Mapping[Telling, sa.ColumnElement[bool]] = {
    "verdict": tables.windows.c.verdict.is_not(None),
    "measured": sa.exists().where(
        tables.performance.c.window_id == tables.windows.c.id,
        tables.performance.c.measured.is_not(None),
    ),
}
