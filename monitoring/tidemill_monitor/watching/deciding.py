"""From the ledger's history to a decision: asked after every change, written when it is news."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import structlog

from tidemill.config.monitoring import RetrainingConfig
from tidemill.decisions import (
    BUDGET_DAYS,
    Decision,
    History,
    PastDecision,
    WindowFact,
    decide,
    left_out_clause,
)
from tidemill.decisions.history import Action
from tidemill.errors import UsageError
from tidemill.ledger import DecisionOpen, DecisionRow, Ledger, NewMessage, Window, WrongState
from tidemill.schema import Verdict
from tidemill_monitor.dates import Dates, is_ahead
from tidemill_monitor.dispatch.flow_runs import call_message
from tidemill_monitor.watching.lookback import look_back
from tidemill_monitor.watching.stints import Stint, since_return
from tidemill_monitor.watching.teaching import Teaching, teaching_rows

__all__ = ["Deciding", "RetrainingRefused"]

_LOOK_BACK = 200


_log = structlog.get_logger("tidemill_monitor.watching")


class RetrainingRefused(UsageError):
    """A retraining was asked for that cannot be started."""

    http_status = 409


class Deciding:
    """Decides about one model.

    Parameters
    ----------
    ledger : Ledger
    policy : RetrainingConfig
    model : str
    """

    def __init__(self, ledger: Ledger, policy: RetrainingConfig, *, model: str) -> None:
        self._ledger = ledger
        self._policy = policy
        self._model = model
        self._dates = Dates(ledger)

    def ask(
        self, version: int, now: dt.datetime, *, stint: Stint | None = None
    ) -> DecisionRow | None:
        """Decide about the champion of ``version``; return the decision if one was written.

        A fire is written together with the outbox row that starts the flow run (unless a person
        must approve first). A suppressed one, and a hold in spite of harm, are written once for
        the same windows and reasons. Of a version that has returned (``stint``) only the windows
        since then are evidence.
        """
        self.end_replaced(version, now)
        windows = since_return(self._windows(version), stint)
        teaching = teaching_rows(self._ledger, self._model, waiting=True)
        history = History(
            champion_version=version,
            windows=tuple(_fact(window, now) for window in windows),
            decisions=tuple(self._fact_of(one, now) for one in self._past(version, now)),
            labelled_rows=teaching.rows,
            left_out_rows=teaching.left_out_rows,
        )
        decision = decide(history, self._policy, now)
        evidence = self._evidence(decision, windows, teaching)
        if decision.action == "fire":
            return self._fire(version, decision, evidence, teaching.labels, now)
        return self._note(version, decision, evidence, now)

    def end_replaced(self, version: int, now: dt.datetime) -> None:
        """End a decision about another version than ``version``, if its retraining has not begun.

        Its champion was replaced by hand: it would learn from what that one got wrong, and hold
        rows that the one that serves now could learn from.
        """
        ended = self._ledger.decisions.supersede(self._model, version, at=now)
        if ended is not None:
            _log.info("decision_superseded", decision=ended.id, note=ended.note)

    def by_request(
        self, version: int, reason: str, evidence: dict[str, Any], now: dt.datetime
    ) -> DecisionRow:
        """Open a decision because an outside system asks for it, signed.

        Harm, pause and budget are not asked for; what a retraining cannot do without is. Rows of
        windows that are still open are given too: the caller does not wait for their verdict.

        Raises
        ------
        DecisionOpen, WrongState
            If one is open, or was a moment ago.
        RetrainingRefused
            If retraining is switched off, or there are too few labelled rows to learn from.
        """
        self.end_replaced(version, now)
        teaching = teaching_rows(self._ledger, self._model, waiting=False)
        if self._ledger.decisions.current(self._model) is None:
            self._require(teaching)
        facts = {**evidence, **teaching.noted()}
        return self._ledger.decisions.open(
            model=self._model,
            champion_version=version,
            action="fire",
            reason=reason,
            evidence={**facts, "policy": self._policy.model_dump(mode="json")},
            needs_approval=self._policy.approval,
            source="webhook",
            labels=teaching.labels,
            at=now,
            message=_first_call,
        )

    def _require(self, teaching: Teaching) -> None:
        if not self._policy.enabled:
            raise RetrainingRefused(
                "monitoring.retraining.enabled is false: nothing is retrained",
                remedy="switch it on in params.yaml and restart the monitor",
            )
        rows, left_out = teaching.rows, teaching.left_out_rows
        if rows < self._policy.min_labels:
            raise RetrainingRefused(
                f"there are {rows:,} labelled rows that no retraining was given yet"
                f"{left_out_clause(left_out)}; {self._policy.min_labels:,} are needed",
                remedy="wait for labels, or lower monitoring.retraining.min_labels",
                labelled_rows=rows,
                left_out_rows=left_out,
            )

    def _fire(
        self,
        version: int,
        decision: Decision,
        evidence: dict[str, Any],
        labels: tuple[int, int],
        now: dt.datetime,
    ) -> DecisionRow | None:
        try:
            return self._ledger.decisions.open(
                model=self._model,
                champion_version=version,
                action="fire",
                reason=decision.reason,
                evidence=evidence,
                needs_approval=decision.needs_approval,
                labels=labels,
                at=now,
                message=_first_call,
            )
        except (DecisionOpen, WrongState):
            return None  # somebody asked by hand a moment ago

    def _note(
        self, version: int, decision: Decision, evidence: dict[str, Any], now: dt.datetime
    ) -> DecisionRow | None:
        if not decision.evidence.get("harmed"):
            return None
        told = [decision.action, version, evidence["harmed"], evidence["blocked_by"]]
        place = f"decisions/told/{self._model}"
        if self._ledger.notes.get(place) == told:
            return None
        written = self._ledger.decisions.open(
            model=self._model,
            champion_version=version,
            action=decision.action,
            reason=decision.reason,
            evidence=evidence,
            needs_approval=False,
            at=now,
        )
        self._ledger.notes.put(place, told, now)
        return written

    def _windows(self, version: int) -> list[Window]:
        """The newest ones, oldest first, back until as many can tell as the policy asks for."""

        def enough(windows: Sequence[Window]) -> bool:
            return sum(self._tells(window) for window in windows) >= self._policy.of

        return look_back(self._ledger, version, "", first=_LOOK_BACK, enough=enough)[::-1]

    def _tells(self, window: Window) -> bool:
        if window.verdict in (None, Verdict.BROKEN_FEED):
            return False
        return self._policy.on == Verdict.SUSPECTED_HARM or _labelled(window) > 0

    def _past(self, version: int, now: dt.datetime) -> tuple[DecisionRow, ...]:
        pause = dt.timedelta(seconds=self._policy.cooldown_seconds)
        since = now - max(dt.timedelta(days=BUDGET_DAYS), pause)
        return self._ledger.decisions.past(self._model, version, since)

    def _fact_of(self, decision: DecisionRow, now: dt.datetime) -> PastDecision:
        """A decision, with dates that no clock which was ahead has put years off."""
        place = f"decisions/{decision.id}"
        closed = decision.closed_at
        return PastDecision(
            id=str(decision.id),
            champion_version=decision.champion_version,
            action=cast(Action, decision.action),
            state=decision.state,
            opened_at=self._dates.known(f"{place}/opened", decision.opened_at, now),
            closed_at=closed and self._dates.known(f"{place}/closed", closed, now),
        )

    def _evidence(
        self, decision: Decision, windows: Sequence[Window], teaching: Teaching
    ) -> dict[str, Any]:
        """What a person needs to check the decision: windows, verdicts, figures, policy values."""
        looked_at = set(decision.evidence.get("windows", ()))
        harmed = set(decision.evidence.get("harmed", ()))
        shown = [window_facts(w) for w in windows if str(w.id) in looked_at]
        return {
            **decision.evidence,
            "accused": _accused([w for w in windows if str(w.id) in harmed]),
            "verdicts": shown,
            **teaching.noted(),
            "policy": self._policy.model_dump(mode="json"),
        }


def window_facts(window: Window) -> dict[str, Any]:
    """One window as evidence shows it."""
    figures = window.performance[0] if window.performance else None
    return {
        "id": window.id,
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
        "rows": window.rows,
        "labelled_rows": window.labelled_rows,
        "verdict": window.verdict,
        "sentence": window.sentence,
        "metric": figures.metric if figures else None,
        "measured": figures.measured if figures else None,
        "estimated": figures.estimated if figures else None,
        "held": window.summary.get("held"),
        "accused": window.summary.get("accused", []),
    }


def _accused(harmed: Sequence[Window]) -> list[str]:
    """The figures that confirmed harm: those that most windows name come first."""
    names = [name for window in harmed for name in window.summary.get("accused", ())]
    return [name for name, _ in Counter(names).most_common()]


def _fact(window: Window, now: dt.datetime) -> WindowFact:
    closed_at = window.closed_at or window.end
    return WindowFact(
        window_id=str(window.id),
        closed_at=min(window.end, now) if is_ahead(closed_at, now) else closed_at,
        verdict=window.verdict,
        labelled_rows=_labelled(window),
        champion_version=window.model_version,
    )


def _labelled(window: Window) -> int:
    """Labels below the least number tell nothing: the window can neither accuse nor acquit."""
    return window.labelled_rows if window.summary.get("measured") else 0


def _first_call(decision: DecisionRow) -> NewMessage:
    return call_message(decision, decision.attempt)
