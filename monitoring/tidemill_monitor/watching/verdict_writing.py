"""Closed windows to verdicts: reads the ledger, judges, writes the judgement."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import structlog

from tidemill.config.monitoring import MonitoringConfig
from tidemill.drift import Estimate, Finding, Reconciled, Trust, family_of, reconcile
from tidemill.drift.findings import Kind
from tidemill.drift.performance.estimate import BAND
from tidemill.errors import TidemillError
from tidemill.ledger import FindingRow, Ledger, Window, WindowKey
from tidemill.profiling import Profile
from tidemill.schema import Verdict
from tidemill_monitor.watching.bench import Bench
from tidemill_monitor.watching.benches import Benches
from tidemill_monitor.watching.errorstream import Fed
from tidemill_monitor.watching.judged_window import (
    LEARNING,
    Context,
    JudgedWindow,
    Opened,
    judge_again,
    judge_window,
)
from tidemill_monitor.watching.lookback import BOUND, look_back

__all__ = ["VerdictWriter"]

_AT_ONCE = 40
_LOOK_BACK = 100
_RECONCILED = 50
_USUAL = 20
_RECENT = 3
_SAME_TIME = (dt.timedelta(days=1), dt.timedelta(days=7))
_CHANGES = 20
_REST = dt.timedelta(seconds=10)

_log = structlog.get_logger("tidemill_monitor.watching")


class VerdictWriter:
    """Judges windows that were closed, and again those whose labels came.

    Parameters
    ----------
    ledger : Ledger
    config : MonitoringConfig
    benches : Benches
    """

    def __init__(self, ledger: Ledger, config: MonitoringConfig, benches: Benches) -> None:
        self._ledger = ledger
        self._config = config
        self._benches = benches
        self._older: dict[tuple[int, str], list[Window]] = {}

    def judge_all(self, now: dt.datetime) -> list[Window]:
        """Judge what waits, oldest first, at most 40 windows; return them as judged.

        The whole traffic of a time comes before its segments: they ask what it was.
        """
        self._older.clear()
        waiting = [w for w in self._ledger.windows.unjudged() if not _rests(w, now)]
        waiting.sort(key=lambda window: (window.start, window.segment, window.id))
        return [self._judge(window, now) for window in waiting[:_AT_ONCE]]

    def judge_old_breaks(self, version: int, now: dt.datetime) -> int:
        """Let windows that an earlier release called broken be judged anew, once a version.

        It called new values and ranges, and events sent again, a broken feed, and said no harm
        beside it: such windows know of none, and their rows could never teach.
        """
        place = f"verdicts/families/{version}"
        if self._ledger.notes.get(place) is not None:
            return 0
        broken = self._ledger.windows.list(
            limit=BOUND,
            state="closed",
            segment=None,
            model_version=version,
            verdict=Verdict.BROKEN_FEED,
        )
        old = [window.id for window in broken if "found_harm" not in window.summary]
        if old:
            self._ledger.windows.judge_anew(old)
        self._ledger.notes.put(place, len(old), now)
        return len(old)

    def _judge(self, window: Window, now: dt.datetime) -> Window:
        judgement = self._concluded(window, now)
        verdict = judgement.verdict
        summary = {
            **judgement.summary(),
            "labelled_rows": window.labelled_rows,
            "normals": self._held_to(window),
            "changes": _changes(window, judgement, now),
        }
        judged = self._ledger.windows.judge(
            window.id,
            verdict=verdict.name if verdict else None,
            sentence=verdict.sentence if verdict else "",
            findings=judgement.findings,
            performance=judgement.rows,
            summary=summary,
            at=now,
            labelled_rows=window.labelled_rows,
        )
        _log.info(
            "window_judged",
            window=window.id,
            segment=window.segment,
            verdict=judged.verdict,
            before=window.verdict,
            note=judgement.note,
        )
        return judged

    def _concluded(self, window: Window, now: dt.datetime) -> JudgedWindow:
        """The judgement; a window that cannot be judged must not keep the others waiting."""
        try:
            opened = Opened.of(self._ledger.windows.parts(window.id))
            judgement = self._judgement(window, opened, now)
            return self._with_change(window, opened, judgement, now)
        except TidemillError as exc:
            if exc.retryable:
                raise
            _log.warning("window_not_judged", window=window.id, error=exc.message)
            return JudgedWindow(None, note=f"cannot be judged: {exc.message}")
        except Exception as exc:
            _log.exception("window_not_judged", window=window.id)
            return JudgedWindow(None, note=f"cannot be judged: a defect ({type(exc).__name__})")

    def _judgement(self, window: Window, opened: Opened, now: dt.datetime) -> JudgedWindow:
        bench = self._bench(window, now)
        if bench is None and window.segment:
            return JudgedWindow(None, note=LEARNING)
        context = self._context(window, bench)
        before = _normals(window) if window.verdict is not None else None
        if bench is not None and before == bench.many_normals:
            earlier = [_finding(row) for row in self._ledger.findings.of(window.id)]
            return judge_again(earlier, opened, bench, self._config, context)
        return judge_window(opened, bench, self._config, context)

    def _with_change(
        self, window: Window, opened: Opened, judgement: JudgedWindow, now: dt.datetime
    ) -> JudgedWindow:
        """Feed the error stream with the window's labels; add the change that then stands."""
        stream = self._benches.stream(window.model_version)
        verdict, bench = judgement.verdict, self._benches.whole(window.model_version)
        told = verdict is not None and not window.segment
        if stream is None or bench is None or opened.labelled is None or not told:
            return judgement
        # Rows that a hard fault touched accuse nobody later; the change that stands is told.
        if verdict is not None and verdict.name != Verdict.BROKEN_FEED:
            stream.feed([Fed(window.id, window.start, opened.labelled.figures)], now)
        change = stream.finding(window.start)
        if change is None:
            return judgement
        context = replace(self._context(window, bench), change=change)
        return judge_again(judgement.findings, opened, bench, self._config, context)

    def _bench(self, window: Window, now: dt.datetime) -> Bench | None:
        if not window.segment:
            bench = self._benches.whole(window.model_version)
            return None if bench is None else bench.at(window.start)
        whole = self._ledger.windows.find(WindowKey(window.model_version, window.sequence))
        usable = whole is not None and whole.verdict not in (None, Verdict.BROKEN_FEED)
        return self._benches.segment(window, usable, now)

    def _held_to(self, window: Window) -> int:
        """How many new normals of the whole traffic were in force for a window."""
        bench = self._benches.whole(window.model_version)
        return 0 if bench is None else bench.at(window.start).many_normals

    def _context(self, window: Window, bench: Bench | None) -> Context:
        past = self._ledger.windows.list(
            limit=_LOOK_BACK,
            state="closed",
            segment=window.segment,
            model_version=window.model_version,
        )
        earlier = [one for one in past if one.start < window.start and _is_whole(one)]
        usual = earlier
        for normal in bench.normals if bench is not None else ():
            # What the feed was before is not what it grew out of since.
            earlier = [one for one in earlier if one.start >= normal.since]
            usual = earlier if normal.volume else usual
        # Where another version served for a part of the time, few rows are no news.
        by_time = self._config.window.by == "time" and not self._shared(window)
        cycles = self._cycles() if by_time else []
        then = self._rows_then(window, cycles)
        return Context(
            usual_rows=[one.rows for one in usual[:_USUAL]] if by_time else (),
            rows_then=then,
            week_known=by_time and len(then) == len(cycles),
            recent=lambda: self._profiles(earlier[:_RECENT]),
            trust=_trust([*past, *self._beyond(window, past)][::-1]),
            comparisons=1 + self._segments_beside(),
        )

    def _shared(self, window: Window) -> bool:
        return len(self._ledger.windows.versions_at(window.sequence, window.segment)) > 1

    def _cycles(self) -> list[int]:
        """How many windows ago it was the same time; a window of weeks holds all days alike."""
        seconds = dt.timedelta(seconds=self._config.window.seconds)
        return [round(ago / seconds) for ago in _SAME_TIME if ago >= seconds]

    def _rows_then(self, window: Window, cycles: Sequence[int]) -> list[int]:
        """Rows of the windows at the same time of earlier days, broken ones too."""
        keys = [
            WindowKey(window.model_version, window.sequence - ago, window.segment) for ago in cycles
        ]
        found = map(self._ledger.windows.find, keys)
        return [then.rows for then in found if then is not None]

    def _profiles(self, windows: Sequence[Window]) -> list[Profile]:
        opened = [Opened.of(self._ledger.windows.parts(window.id)) for window in windows]
        return [one.profile for one in opened if one.profile is not None]

    def _beyond(self, window: Window, past: Sequence[Window]) -> Sequence[Window]:
        """Windows before ``past`` whose estimates labels answered; read once a tick at most."""
        if len(past) < _LOOK_BACK or _answered(past):
            return ()
        known = (window.model_version, window.segment)
        if known not in self._older:
            found = look_back(self._ledger, *known, first=_LOOK_BACK, enough=_answered)
            self._older[known] = [one for one in found[len(past) :] if _is_answered(one)]
        return self._older[known]

    def _segments_beside(self) -> int:
        window = self._config.window
        return len(window.segments) * window.max_segments


def _normals(window: Window) -> int:
    """How many new normals a window was judged by."""
    return int(window.summary.get("normals", 0))


def _is_whole(window: Window) -> bool:
    """Whether something was concluded of a window, and its feed was not broken."""
    return window.verdict is not None and window.verdict != Verdict.BROKEN_FEED


def _rests(window: Window, now: dt.datetime) -> bool:
    """Whether too little is new for judging again: labels may come one by one."""
    if window.judged_at is None:
        return False
    before = window.summary.get("labelled_rows", 0)
    return window.labelled_rows < 1.1 * before and abs(now - window.judged_at) < _REST


def _trust(windows: Sequence[Window]) -> Trust:
    """What became of the estimates of earlier windows, oldest first."""
    past = []
    for window in windows:
        row = window.performance[0] if _is_answered(window) else None
        if row is None or row.measured is None:
            continue
        ends = [abs(row.measured - end) for end in (row.low, row.high) if end is not None]
        estimate = Estimate(**window.summary["estimate"])
        past.append(Reconciled(estimate, row.measured, max(ends, default=0.0) / BAND))
    return reconcile(past)


def _is_answered(window: Window) -> bool:
    """Whether a window's figure was estimated, with a voice, and measured later."""
    if not _is_whole(window) or window.summary.get("left_territory"):
        return False
    told, figures = window.summary.get("estimate"), window.performance
    known = bool(figures) and figures[0].measured is not None
    return bool(told) and known and bool(window.summary.get("measured"))


def _answered(windows: Sequence[Window]) -> bool:
    """Whether there are as many answered estimates as trust remembers."""
    return sum(_is_answered(window) for window in windows) >= _RECONCILED


def _changes(window: Window, judgement: JudgedWindow, now: dt.datetime) -> list[Any]:
    """The history of a window's verdicts: it never changes silently."""
    known: list[Any] = list(window.summary.get("changes", ()))
    after = judgement.verdict.name if judgement.verdict else None
    if window.judged_at is None or after == window.verdict:
        return known
    change = {
        "at": now.isoformat(),
        "from": window.verdict,
        "to": after,
        "labelled_rows": window.labelled_rows,
    }
    return [*known, change][-_CHANGES:]


def _finding(row: FindingRow) -> Finding:
    # Ledgers of earlier releases call all that is told about a feed a fault.
    kind = family_of(row.test) if row.kind == "quality" else row.kind
    return Finding(
        cast(Kind, kind),
        row.feature,
        row.test,
        math.nan if row.value is None else row.value,
        math.nan if row.threshold is None else row.threshold,
        row.p_value,
        row.flagged,
        row.detail,
    )
