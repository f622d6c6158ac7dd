"""A break that persists: is this the new normal? Asked once, answered by a person, kept.

While the last ``quality.ask_after`` windows of the champion are all a broken feed, there is a
question. *Accept*: the columns concerned get a new reference, made from the windows of the break,
for as long as this version serves. *Hold*: it stays a broken feed, and nobody is asked again until
something else breaks.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tidemill.config.monitoring import AlertsConfig, QualityConfig
from tidemill.drift import GROWN
from tidemill.errors import UsageError, first_few
from tidemill.ledger import Ledger, Window
from tidemill.schema import Verdict
from tidemill_monitor.dispatch.channels import Notice
from tidemill_monitor.watching.alerting import notices
from tidemill_monitor.watching.lookback import look_back

__all__ = ["ACCEPT", "HOLD", "NewNormal", "NormalQuestion", "NotAsked", "accepted_of"]

ACCEPT = "tidemill monitor normal accept"
HOLD = "tidemill monitor normal hold"

_VOLUME = "volume"
_LOOK_BACK = 60
_NAMED = 3
_REFERENCE_WINDOWS = 50


class NotAsked(UsageError):
    """There is no such question to answer."""

    http_status = 409


@dataclass(frozen=True, slots=True)
class NormalQuestion:
    """Whether a break is the new normal.

    Parameters
    ----------
    version : int
        The one that serves.
    windows : tuple of Window
        Of the break, oldest first.
    faults : tuple of dict
        ``feature``, ``test`` and ``detail`` of the hard faults of the newest window.
    held : dict or None
        Who answered that it is not, with when and why; nobody is asked meanwhile.
    """

    version: int
    windows: tuple[Window, ...]
    faults: tuple[dict[str, str], ...]
    held: dict[str, Any] | None = None

    @property
    def first(self) -> int:
        """The first window of the break: the question's own number."""
        return self.windows[0].id

    @property
    def acceptable(self) -> tuple[dict[str, str], ...]:
        """Faults that a new reference can make normal: not what is missing or of another type."""
        return tuple(f for f in self.faults if f["test"] in GROWN or f["test"] == _VOLUME)

    def to_json(self) -> dict[str, Any]:
        """As the API and the page show it."""
        return {
            "window": self.first,
            "model_version": self.version,
            "state": "held" if self.held else "asked",
            "windows": len(self.windows),
            "since": self.windows[0].start.isoformat(),
            "faults": list(self.faults),
            "acceptable": bool(self.acceptable),
            "held": self.held,
            "commands": {"accept": ACCEPT, "hold": HOLD},
        }


class NewNormal:
    """Asks, and keeps what was answered, in notes of the ledger.

    Parameters
    ----------
    ledger : Ledger
    config : QualityConfig
    """

    def __init__(self, ledger: Ledger, config: QualityConfig) -> None:
        self._ledger = ledger
        self._config = config

    def question(self, version: int) -> NormalQuestion | None:
        """The question about the windows of a version, if its feed has been broken long enough."""
        found = look_back(self._ledger, version, "", first=_LOOK_BACK, enough=_sees_whole)
        run = []
        for window in (w for w in found if w.verdict is not None):
            if window.verdict != Verdict.BROKEN_FEED:
                break
            run.append(window)
        if len(run) < self._config.ask_after:
            return None
        faults = tuple(
            {"feature": row.feature, "test": row.test, "detail": row.detail}
            for row in self._ledger.findings.of(run[0].id, True)
            if row.kind == "quality"
        )
        windows = tuple(run[::-1])
        return NormalQuestion(version, windows, faults, self._held(version, windows[0].id, faults))

    def accept(
        self, version: int, window: int | None, name: str, note: str, now: dt.datetime
    ) -> dict[str, Any]:
        """Take the windows of the break as a new reference; the same again changes nothing.

        They are not judged by it yet: :meth:`judge_owed` lets them be.

        Returns
        -------
        dict
            What was accepted: ``window``, ``since``, ``features``, ``volume``, ``remains`` (faults
            that no reference makes normal), ``by``, ``note``, ``at``.

        Raises
        ------
        NotAsked
            If nothing is asked, another break than ``window`` is, or none of its faults can be
            accepted.
        """
        known = accepted_of(self._ledger, version)
        for record in known:
            if record["window"] == window:
                return record
        question = self._asked(version, window)
        if not question.acceptable:
            raise NotAsked(
                f"no reference makes this normal: {question.faults[0]['detail']}",
                remedy="mend the feed, or train a model without that column: tidemill run",
            )
        record = _record(question, name, note, now)
        self._ledger.notes.put(_place(version), [*known, record], now)
        return record

    def judge_owed(self, version: int) -> int:
        """Let windows be judged by what was accepted for them and were not yet; how many.

        Broken ones of the whole traffic, and all of segments: their reference was that of before,
        too. Asked after an acceptance, and once at the start: a kill may have come in between.
        """
        times = [
            dt.datetime.fromisoformat(one["since"]) for one in accepted_of(self._ledger, version)
        ]
        if not times:
            return 0

        def enough(seen: Sequence[Window]) -> bool:
            return seen[-1].start < min(times)

        found = look_back(self._ledger, version, None, first=_LOOK_BACK, enough=enough)
        owed = [
            one.id
            for one in found
            if one.judged_at is not None
            and (one.segment or one.verdict == Verdict.BROKEN_FEED)
            and one.summary.get("normals", 0) < sum(since <= one.start for since in times)
        ]
        if owed:
            self._ledger.windows.judge_anew(owed)
        return len(owed)

    def hold(
        self, version: int, window: int | None, name: str, note: str, now: dt.datetime
    ) -> NormalQuestion:
        """Go on calling it broken, and ask nobody until something changes.

        Raises
        ------
        NotAsked
            If nothing is asked, or another break than ``window`` is.
        """
        question = self._asked(version, window)
        if question.held is None:
            kept = {
                "window": question.first,
                "faults": _names(question.faults),
                "by": name,
                "note": note,
                "at": now.isoformat(),
            }
            self._ledger.notes.put(f"{_place(version)}/held", kept, now)
        again = self.question(version)
        return question if again is None else again

    def tell(
        self,
        question: NormalQuestion | None,
        config: AlertsConfig,
        *,
        model: str,
        link: str,
        now: dt.datetime,
    ) -> int:
        """Ask every channel that hears of broken feeds, once; return how many notices are new."""
        if question is None or question.held is not None:
            return 0
        details = (fault["detail"].strip().rstrip(".") for fault in question.faults)
        many = len(question.windows)
        message = Notice(
            type="feed.new_normal",
            title=f"{model}: is this the new normal?",
            text=f"The feed has looked broken for {many} windows in a row: "
            f"{first_few(details, _NAMED, between='; ')}.\n"
            f"If it is: {ACCEPT}\nIf it is not: {HOLD}\n{link}",
            severity="warning",
            at=now,
            data={
                "model": model,
                "model_version": question.version,
                "window_id": question.first,
                "faults": list(question.faults),
                "link": link,
            },
        )
        rules = [rule for rule in config.rules if Verdict.BROKEN_FEED in rule.on]
        every = tuple(channel.name for channel in config.channels)
        names = dict.fromkeys(name for rule in rules for name in (rule.channels or every))
        broken = "+".join(_names(question.faults))
        key = f"normal/{question.version}/{question.first}/{broken}"
        rows = notices(message, names, key=key)
        return sum(self._ledger.outbox.add(row, at=now) is not None for row in rows)

    def _asked(self, version: int, window: int | None) -> NormalQuestion:
        question = self.question(version)
        if question is not None and window in (None, question.first):
            return question
        about = f" about window {window}" if window else ""
        asked = f"; the break began with window {question.first}" if question else ""
        raise NotAsked(
            f"nothing is asked{about}{asked}", remedy="look at: tidemill monitor normal show"
        )

    def _held(
        self, version: int, first: int, faults: Sequence[dict[str, str]]
    ) -> dict[str, Any] | None:
        kept: dict[str, Any] | None = self._ledger.notes.get(f"{_place(version)}/held")
        same = kept is not None and kept["window"] == first
        return kept if same and kept and set(_names(faults)) <= set(kept["faults"]) else None


def accepted_of(ledger: Ledger, version: int) -> list[dict[str, Any]]:
    """What was accepted for a version, oldest first."""
    found: list[dict[str, Any]] = ledger.notes.get(_place(version)) or []
    return found


def _record(question: NormalQuestion, name: str, note: str, now: dt.datetime) -> dict[str, Any]:
    accepted = question.acceptable
    columns = dict.fromkeys(fault["feature"] for fault in accepted if fault["test"] != _VOLUME)
    return {
        "window": question.first,
        "since": question.windows[0].start.isoformat(),
        "windows": [one.id for one in question.windows[-_REFERENCE_WINDOWS:]],
        "features": list(columns),
        "volume": any(fault["test"] == _VOLUME for fault in accepted),
        "remains": [fault for fault in question.faults if fault not in accepted],
        "by": name,
        "note": note,
        "at": now.isoformat(),
    }


def _names(faults: Sequence[dict[str, str]]) -> list[str]:
    return sorted({f"{fault['feature']}:{fault['test']}" for fault in faults})


def _sees_whole(windows: Sequence[Window]) -> bool:
    return any(window.verdict not in (None, Verdict.BROKEN_FEED) for window in windows)


def _place(version: int) -> str:
    return f"normal/{version}"
