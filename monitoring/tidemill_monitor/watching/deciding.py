"""From the ledger's history to a decision: asked after every change, written when it is news."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, cast

from tidemill.config.monitoring import RetrainingConfig
from tidemill.decisions import BUDGET_DAYS, Decision, History, PastDecision, WindowFact, decide
from tidemill.decisions.history import Action
from tidemill.errors import UsageError
from tidemill.ledger import Decision as Recorded
from tidemill.ledger import DecisionOpen, Ledger, NewMessage, Window
from tidemill_monitor.dispatch.retraining import call_message
from tidemill_monitor.watching.lookback import look_back

__all__ = ["Deciding", "RetrainingRefused", "labels_after"]

_LOOK_BACK = 200
_BROKEN = "broken feed"
_EVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


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

    def ask(self, version: int, now: dt.datetime) -> Recorded | None:
        """Decide about the champion of ``version``; return the decision if one was written.

        A fire is written together with the outbox row that starts the flow run (unless a person
        must approve first). A suppressed one, and a hold in spite of harm, are written once for
        the same windows and reasons.
        """
        windows = self._windows(version)
        after = labels_after(self._given())
        through = self._ledger.labels.mark()
        history = History(
            champion_version=version,
            windows=tuple(_fact(window) for window in windows),
            decisions=tuple(_past(decision) for decision in self._past(now)),
            labelled_rows=self._ledger.labels.count(after=after, through=through),
        )
        decision = decide(history, self._policy, now)
        evidence = self._evidence(decision, windows, after, through)
        if decision.action == "fire":
            return self._fire(version, decision, evidence, now)
        return self._note(version, decision, evidence, now)

    def by_request(
        self, version: int, reason: str, evidence: dict[str, Any], now: dt.datetime
    ) -> Recorded:
        """Open a decision because an outside system asks for it, signed.

        Harm, pause and budget are not asked for; what a retraining cannot do without is.

        Raises
        ------
        DecisionOpen
            If one is open for this champion.
        RetrainingRefused
            If retraining is switched off, or there are too few labelled rows to learn from.
        """
        after, through = labels_after(self._given()), self._ledger.labels.mark()
        rows = self._ledger.labels.count(after=after, through=through)
        if self._ledger.decisions.current(self._model, version) is None:
            self._require(rows)
        facts = {
            **evidence,
            "labelled_rows": rows,
            "labels_after": after,
            "labels_through": through,
        }
        return self._ledger.decisions.open(
            model=self._model,
            champion_version=version,
            action="fire",
            reason=reason,
            evidence={**facts, "policy": self._policy.model_dump(mode="json")},
            needs_approval=self._policy.approval,
            source="webhook",
            at=now,
            message=_first_call,
        )

    def _require(self, rows: int) -> None:
        if not self._policy.enabled:
            raise RetrainingRefused(
                "monitoring.retraining.enabled is false: nothing is retrained",
                remedy="switch it on in params.yaml and restart the monitor",
            )
        if rows < self._policy.min_labels:
            raise RetrainingRefused(
                f"there are {rows:,} labelled rows that no retraining was given yet; "
                f"{self._policy.min_labels:,} are needed",
                remedy="wait for labels, or lower monitoring.retraining.min_labels",
                labelled_rows=rows,
            )

    def _fire(
        self, version: int, decision: Decision, evidence: dict[str, Any], now: dt.datetime
    ) -> Recorded | None:
        try:
            return self._ledger.decisions.open(
                model=self._model,
                champion_version=version,
                action="fire",
                reason=decision.reason,
                evidence=evidence,
                needs_approval=decision.needs_approval,
                at=now,
                message=_first_call,
            )
        except DecisionOpen:
            return None  # somebody asked by hand a moment ago

    def _note(
        self, version: int, decision: Decision, evidence: dict[str, Any], now: dt.datetime
    ) -> Recorded | None:
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
        if window.verdict in (None, _BROKEN):
            return False
        return self._policy.on == "suspected harm" or _fact(window).labelled_rows > 0

    def _given(self) -> tuple[Recorded, ...]:
        """All decisions ever: which rows were given away must not be forgotten."""
        return self._ledger.decisions.past(self._model, _EVER)

    def _past(self, now: dt.datetime) -> tuple[Recorded, ...]:
        pause = dt.timedelta(seconds=self._policy.cooldown_seconds)
        since = now - max(dt.timedelta(days=BUDGET_DAYS), pause)
        return self._ledger.decisions.past(self._model, since)

    def _evidence(
        self, decision: Decision, windows: Sequence[Window], after: int, through: int
    ) -> dict[str, Any]:
        """What a person needs to check the decision: windows, verdicts, figures, policy values."""
        looked_at = set(decision.evidence.get("windows", ()))
        shown = [window_facts(w) for w in windows if str(w.id) in looked_at]
        return {
            **decision.evidence,
            "verdicts": shown,
            "labels_after": after,
            "labels_through": through,
            "policy": self._policy.model_dump(mode="json"),
        }


def labels_after(past: Sequence[Recorded]) -> int:
    """The label number up to which earlier retrainings were given rows; each row is given once.

    A decision that was rejected was given none.
    """
    given = [
        d.evidence.get("labels_through", 0)
        for d in past
        if d.action == "fire" and d.state != "rejected"
    ]
    return max(given, default=0)


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
    }


def _fact(window: Window) -> WindowFact:
    return WindowFact(
        window_id=str(window.id),
        closed_at=window.closed_at or window.end,
        verdict=window.verdict,
        # Labels below the least number tell nothing: the window can neither accuse nor acquit.
        labelled_rows=window.labelled_rows if window.summary.get("measured") else 0,
        champion_version=window.model_version,
    )


def _past(decision: Recorded) -> PastDecision:
    return PastDecision(
        id=str(decision.id),
        champion_version=decision.champion_version,
        action=cast(Action, decision.action),
        state=decision.state,
        opened_at=decision.opened_at,
        closed_at=decision.closed_at,
    )


def _first_call(decision: Recorded) -> NewMessage:
    return call_message(decision, decision.attempt)
