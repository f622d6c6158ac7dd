"""What names a retraining that a monitor asks for: its decision, and the ledger that it is of."""

from __future__ import annotations

import json
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from tidemill.errors import ServiceUnavailable, StorageFailed
from tidemill.orchestration import retrain_flow as flow
from tidemill.retraining import Outcome, outcome_of
from tidemill.storage import Workspace

FACTS = {"version": 2, "promoted": True, "reason": "better on proof"}


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Runs the flow's body without Prefect and monitor; the steps are noted, not done."""
    told, orders = [], []

    def report(decision, document):
        told.append((decision, document["state"]))
        return {"evidence": {}}

    monitor = SimpleNamespace(report=report)

    def retrained(place, rows, order, engine):
        orders.append(order.decision)
        folder = place.hidden / "retrain" / order.decision
        (folder / "rows").mkdir(parents=True)
        (folder / "outcome.json").write_text(json.dumps(FACTS))
        return Outcome(FACTS)

    monkeypatch.setattr("tidemill.orchestration.artifacts.failures_published", nullcontext)
    monkeypatch.setattr(flow, "_monitor", lambda url: nullcontext(monitor))
    monkeypatch.setattr(flow, "mark_the_dead", lambda place: None)
    monkeypatch.setattr(flow, "flow_run_id", lambda: "run")
    monkeypatch.setattr(flow, "_retrained", retrained)

    def run(decision, attempt=1, **more):
        assert flow.retrain_in_flow(str(tmp_path), decision, attempt, "http://m", **more) == FACTS
        return orders, told

    run.parts = orders, told
    return run


def test_decision_1_of_a_new_ledger_is_not_that_of_the_old_one(asked):
    """It is worked on; another attempt of the same decision finds the outcome."""
    asked("1", work="rides:20260101T000000.000000:1")
    asked("1", 2, work="rides:20260101T000000.000000:1")
    orders, told = asked("1", work="rides:20260202T000000.000000:1")

    assert len(orders) == len(set(orders)) == 2
    assert all(order.startswith("1-") for order in orders)
    states = ["started", "finished", "finished", "started", "finished"]
    assert told == [("1", state) for state in states]


def test_without_a_name_the_decision_is_the_name(asked, tmp_path):
    """As before; and what the name holds leads nowhere else."""
    asked("7")
    orders, _ = asked("7", work="../../etc")

    assert orders[0] == "7"
    assert outcome_of(Workspace.at(tmp_path), orders[1]).facts == FACTS
    assert {path.name for path in (tmp_path / ".tidemill" / "retrain").iterdir()} == set(orders)


def test_an_outcome_that_cannot_be_told_is_no_failure(asked, monkeypatch):
    """The flow run ends well: the monitor that was away asks again, and hears it then."""
    told = []

    def away(decision, document):
        told.append(document["state"])
        if document["state"] != "started" and told.count("finished") < 2:
            raise ServiceUnavailable("gone", remedy="start it")
        return {"evidence": {}}

    monkeypatch.setattr(flow, "_monitor", lambda url: nullcontext(SimpleNamespace(report=away)))
    asked("7")
    asked("7", 2)

    assert told == ["started", "finished", "finished"]


def test_what_fails_behind_the_outcome_is_told_as_finished(asked, monkeypatch):
    """Its rows were learnt from: the monitor must not give them to another decision."""
    _, told = asked.parts
    real = flow._retrained

    def fails(*arguments):
        real(*arguments)
        raise StorageFailed("the disk is full", remedy="make room")

    monkeypatch.setattr(flow, "_retrained", fails)
    with pytest.raises(StorageFailed):
        asked("7")

    assert told == [("7", "started"), ("7", "finished")]


def test_what_a_kill_left_is_swept_when_the_outcome_is_found(asked, tmp_path):
    """The flow looks for the outcome itself."""
    asked("7")
    asked("7", 2)

    folder = tmp_path / ".tidemill" / "retrain" / "7"
    assert [path.name for path in folder.iterdir()] == ["outcome.json"]
