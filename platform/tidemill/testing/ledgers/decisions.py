# ruff: noqa: S101 - these are tests
"""Decisions: one at a time, each to its end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tidemill.ledger import (
    DecisionOpen,
    DecisionRow,
    Ledger,
    NewMessage,
    RecordMissing,
    WrongState,
)
from tidemill.testing.ledgers.opening import DAY, HOUR, NOW, Open, Opening

__all__ = ["DecisionsContract", "fire_decision"]


class DecisionsContract(Opening):
    """Decisions: one at a time, each to its end."""

    def test_one_open_decision_for_a_model(self, opened: Open) -> None:
        """However many ask at once, one decision fires, with its message in the same commit."""
        ledger = opened(folding=None)

        def fire(_: int) -> bool:
            try:
                fire_decision(ledger)
            except DecisionOpen as error:
                return error.decision_id != 1
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(fire, range(24))) == 1
        (decision,) = ledger.decisions.list()
        assert (decision.state, decision.attempt, decision.open) == ("approved", 1, True)
        (message,) = ledger.outbox.list()
        assert (message.key, message.payload) == ("1-1", {"decision_id": 1, "attempt": 1})
        with pytest.raises(DecisionOpen, match="about version 3"):
            fire_decision(ledger, champion_version=4)
        assert fire_decision(ledger, model="fares").open
        assert not fire_decision(ledger, action="suppress").open, "these are recorded and closed"

    def test_open_decisions_are_all_listed(self, opened: Open) -> None:
        """Those without an end, oldest first, of every model or of one, however many."""
        ledger = opened(folding=None)
        asked = [fire_decision(ledger, model=f"m{n}", needs_approval=True) for n in range(60)]
        fire_decision(ledger, action="hold")
        ledger.decisions.reject(asked[7].id, at=NOW)
        still = [decision.id for decision in asked if decision is not asked[7]]
        assert [d.id for d in ledger.decisions.open_ones()] == still
        assert [d.id for d in ledger.decisions.open_ones("m8")] == [asked[8].id]
        assert ledger.decisions.open_ones("m7") == []

    def test_decision_and_message_commit_together(self, opened: Open) -> None:
        """Where the message cannot be made there is no decision either."""
        ledger = opened(folding=None)

        def broken(_: DecisionRow) -> NewMessage:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fire_decision(ledger, message=broken)
        assert ledger.decisions.list() == []
        assert fire_decision(ledger).id >= 1

    def test_a_decision_goes_its_way(self, opened: Open) -> None:
        """Approved, launched, started, failed, tried again, finished; each report counts once."""
        ledger = opened(folding=None)
        asked = fire_decision(ledger, needs_approval=True)
        assert asked.state == "awaiting approval"
        assert ledger.outbox.list() == []
        approved = ledger.decisions.approve(asked.id, note="go", at=NOW, message=_to_prefect)
        assert (approved.state, approved.note) == ("approved", "go")
        with pytest.raises(WrongState):
            ledger.decisions.approve(asked.id, at=NOW, message=_to_prefect)
        assert len(ledger.outbox.list()) == 1
        run: dict[str, Any] = {"flow_run_id": "r1", "flow_run_url": "http://prefect/r1"}
        assert ledger.decisions.launched(asked.id, attempt=1, at=NOW, **run).flow_run_id == "r1"
        report = ledger.decisions.report
        assert report(asked.id, attempt=1, state="started", at=NOW).state == "started"
        failed = report(asked.id, attempt=1, state="failed", at=NOW, outcome={"why": "oom"})
        assert (failed.state, failed.outcome, failed.open) == ("failed", {"why": "oom"}, False)
        again = ledger.decisions.retry(asked.id, at=NOW, message=_to_prefect)
        assert (again.state, again.attempt, again.open) == ("approved", 2, True)
        assert {m.key for m in ledger.outbox.list()} == {f"{asked.id}-1", f"{asked.id}-2"}
        with pytest.raises(WrongState, match="superseded"):
            report(asked.id, attempt=1, state="finished", at=NOW)
        done: dict[str, Any] = {
            "attempt": 2,
            "state": "finished",
            "challenger_version": 8,
            "promoted": True,
        }
        finished = report(asked.id, at=NOW + HOUR, **done)
        assert (finished.challenger_version, finished.promoted) == (8, True)
        assert finished.closed_at == NOW + HOUR
        assert report(asked.id, at=NOW + 2 * HOUR, **done) == finished
        with pytest.raises(WrongState):
            report(asked.id, attempt=2, state="started", at=NOW)
        assert ledger.decisions.current("rides") is None

    def test_rejected_and_given_up(self, opened: Open) -> None:
        """Both are ends; what has failed is not tried again beside an open one."""
        ledger = opened(folding=None)
        first = fire_decision(ledger, needs_approval=True)
        assert ledger.decisions.reject(first.id, note="no", at=NOW).state == "rejected"
        second = fire_decision(ledger)
        lost = ledger.decisions.report(second.id, attempt=1, state="failed", at=NOW)
        assert lost.state == "failed"
        third = fire_decision(ledger)
        with pytest.raises(DecisionOpen):
            ledger.decisions.retry(second.id, at=NOW)
        with pytest.raises(WrongState):
            ledger.decisions.retry(first.id, at=NOW)
        assert ledger.decisions.current("rides") == third
        assert ledger.decisions.latest("rides") == third
        with pytest.raises(RecordMissing):
            ledger.decisions.get(99)

    def test_rows_go_to_one_decision_at_a_time(self, opened: Open) -> None:
        """What is open or has finished holds its rows; any other end gives them back."""
        ledger = opened(folding=None)
        decisions, end = ledger.decisions, ledger.decisions.report
        assert decisions.labels_given("rides") == 0
        refused = fire_decision(ledger, needs_approval=True, labels=(0, 100))
        assert (refused.rows, decisions.labels_given("rides")) == ((0, 100), 100)
        decisions.reject(refused.id, at=NOW)
        assert decisions.labels_given("rides") == 0
        with pytest.raises(WrongState, match="is rejected"):
            _ = decisions.get(refused.id).rows
        failed = fire_decision(ledger, labels=(0, 120))
        end(failed.id, attempt=1, state="failed", at=NOW)
        assert decisions.labels_given("rides") == 0
        done = fire_decision(ledger, labels=(0, 150))
        end(done.id, attempt=1, state="finished", at=NOW)
        fire_decision(ledger, action="suppress", labels=(150, 999))
        assert decisions.get(done.id).rows == (0, 150)
        assert (decisions.labels_given("rides"), decisions.labels_given("fares")) == (150, 0)
        with pytest.raises(WrongState, match="1 to 120 is given away up to 150"):
            decisions.retry(failed.id, at=NOW)
        with pytest.raises(WrongState, match="given away"):
            end(failed.id, attempt=1, state="finished", at=NOW)
        with pytest.raises(WrongState, match="101 to 200"):
            fire_decision(ledger, labels=(100, 200))
        assert fire_decision(ledger, labels=(150, 200)).rows == (150, 200)

    def test_an_outcome_counts_however_late(self, opened: Open) -> None:
        """A decision that was thought to have failed takes its rows again when it finished."""
        ledger = opened(folding=None)
        thought = fire_decision(ledger, labels=(0, 80))
        ledger.decisions.report(thought.id, attempt=1, state="failed", at=NOW)
        late = ledger.decisions.report(
            thought.id, attempt=1, state="finished", at=NOW + HOUR, challenger_version=4
        )
        assert (late.state, late.challenger_version, late.rows) == ("finished", 4, (0, 80))
        assert ledger.decisions.labels_given("rides") == 80

    def test_what_a_person_stopped_has_ended(self, opened: Open) -> None:
        """Its rows are free, nothing is tried again, and only an outcome may still count."""
        ledger = opened(folding=None)
        decisions = ledger.decisions
        call_off = NewMessage("cancel", "retrain-on-drift", {})
        waiting = fire_decision(ledger, needs_approval=True, labels=(0, 60))
        with pytest.raises(WrongState, match=r"is awaiting approval; .* approved or started"):
            decisions.stop(waiting.id, at=NOW)
        decisions.approve(waiting.id, note="Ada: go", at=NOW)
        ended = decisions.stop(waiting.id, note="Eve: no", at=NOW, message=lambda _: call_off)
        assert (ended.state, ended.note, ended.closed_at) == ("stopped", "Ada: go; Eve: no", NOW)
        assert [m.kind for m in ledger.outbox.list()] == ["cancel"]
        assert decisions.labels_given("rides") == 0
        with pytest.raises(WrongState, match="stopped"):
            decisions.stop(waiting.id, at=NOW)
        with pytest.raises(WrongState, match="stopped"):
            decisions.retry(waiting.id, at=NOW)
        with pytest.raises(WrongState, match="stopped"):
            decisions.report(waiting.id, attempt=1, state="started", at=NOW)
        assert decisions.report(waiting.id, attempt=1, state="failed", at=NOW) == ended

        running = fire_decision(ledger, labels=(0, 80))
        decisions.report(running.id, attempt=1, state="started", at=NOW)
        decisions.stop(running.id, at=NOW, message=lambda _: None)
        done = decisions.report(running.id, attempt=1, state="finished", at=NOW, promoted=True)
        assert (done.state, done.promoted, done.rows) == ("finished", True, (0, 80))
        with pytest.raises(WrongState, match="given away"):
            decisions.report(waiting.id, attempt=1, state="finished", at=NOW)

    def test_a_decision_about_a_replaced_champion_ends(self, opened: Open) -> None:
        """Unless its retraining has begun; it gives its rows back, and says why it ended."""
        ledger = opened(folding=None)
        decisions = ledger.decisions
        assert decisions.supersede("rides", 4, at=NOW) is None
        for needs_approval in (True, False):
            waiting = fire_decision(ledger, needs_approval=needs_approval, labels=(0, 60))
            assert decisions.supersede("rides", 3, at=NOW) is None, "its own champion serves"
            ended = decisions.supersede("rides", 4, at=NOW + HOUR)
            assert ended is not None
            assert (ended.id, ended.state, ended.closed_at) == (
                waiting.id,
                "superseded",
                NOW + HOUR,
            )
            assert decisions.labels_given("rides") == 0
            said = r"superseded \(version 4 took the place of 3\)"
            with pytest.raises(WrongState, match=said):
                decisions.approve(waiting.id, at=NOW)
            with pytest.raises(WrongState, match=said):
                decisions.report(waiting.id, attempt=1, state="started", at=NOW)
        running = fire_decision(ledger, labels=(0, 60))
        decisions.report(running.id, attempt=1, state="started", at=NOW)
        assert decisions.supersede("rides", 4, at=NOW) is None
        decisions.report(running.id, attempt=1, state="failed", at=NOW)
        decisions.retry(running.id, at=NOW)
        assert decisions.supersede("rides", 4, at=NOW) is None, "it has begun before"
        assert decisions.get(running.id).open

    def test_the_past_that_a_policy_asks_for(self, opened: Open) -> None:
        """Recent fires, the open one, and the last about the champion; nothing else is read."""
        ledger = opened(folding=None)

        def over(days: int, **given: Any) -> int:
            made = fire_decision(ledger, at=NOW - days * DAY, **given)
            if made.open:
                ledger.decisions.reject(made.id, at=made.opened_at)
            return made.id

        over(90, needs_approval=True)
        last = over(80, needs_approval=True)
        over(70, champion_version=2, needs_approval=True)
        recent = over(20, champion_version=2, needs_approval=True)
        over(10, action="suppress")
        over(5, model="fares", needs_approval=True)
        replaced = fire_decision(ledger, at=NOW - 40 * DAY, needs_approval=True)
        assert ledger.decisions.supersede("rides", 4, at=NOW - 39 * DAY) is not None
        assert ledger.decisions.get(replaced.id).state == "superseded"
        asked = [d.id for d in ledger.decisions.past("rides", 3, NOW - 30 * DAY)]
        assert asked == [last, recent], "one that counts for nothing hides none that counts"
        standing = fire_decision(ledger, champion_version=2, at=NOW - 60 * DAY)
        asked = [d.id for d in ledger.decisions.past("rides", 3, NOW - 30 * DAY)]
        assert asked == [last, recent, standing.id]


def _to_prefect(decision: DecisionRow) -> NewMessage:
    return NewMessage(
        "prefect",
        "retrain-on-drift",
        {"decision_id": decision.id, "attempt": decision.attempt},
        key=f"{decision.id}-{decision.attempt}",
    )


def fire_decision(ledger: Ledger, **changes: Any) -> DecisionRow:
    """Open a decision that fires, with a message to the orchestrator."""
    given = {
        "model": "rides",
        "champion_version": 3,
        "reason": "confirmed harm in 2 of 3 windows",
        "evidence": {"windows": [1, 2]},
        "at": NOW,
        "message": _to_prefect,
    }
    return ledger.decisions.open(**{**given, **changes})
