from __future__ import annotations

import base64
import datetime as dt
import json
import secrets
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware

from tidemill.errors import ModelUntrusted
from tidemill.testing.worlds import START, World
from tidemill_monitor.dispatch.signing import signed_headers
from tidemill_monitor.problems import add_problems
from tidemill_monitor.routes import operate
from tidemill_monitor.routes.labelled import labelled_schema, labelled_stream
from tidemill_monitor.testing import watched

HOUR = dt.timedelta(hours=1)
KEY = secrets.token_bytes(32)
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@pytest.fixture(scope="module")
def reference():
    return World(seed=5, blocks=8).reference()


@pytest.fixture
def world():
    return World(seed=8)


def begun(folder, reference, **retraining):
    policy = {"approval": True, "windows": 1, "of": 1, "min_labels": 100, **retraining}
    return watched(folder, {1: reference, 2: reference}, {"retraining": policy})


@contextmanager
def standing(folder, reference):
    """A station with a dispatcher, and a secret for webhooks."""
    with begun(folder, reference) as found:
        found.service.settings.webhook_secret = SECRET
        found.service.settings.prefect_api_url = "http://127.0.0.1:9/api"
        found.dispatch()
        yield found


@pytest.fixture
def start(tmp_path, reference):
    """A station; approval is asked for unless told otherwise."""
    return partial(begun, tmp_path, reference)


@pytest.fixture
def station(tmp_path, reference):
    with standing(tmp_path, reference) as found:
        yield found


def client_of(station) -> TestClient:
    app = FastAPI()
    app.state.service = station.service
    add_problems(app)
    app.include_router(operate.router)

    async def identify(request, call_next):
        request.state.identity = SimpleNamespace(id="k1", name="Ada", scope="operate")
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=identify)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def client(station):
    return client_of(station)


def harm(station, world, number: int = 0):
    """An hour of harm and what follows from it: an alert and a decision."""
    station.send(world.traffic(2000, at=START + number * HOUR, wrong=0.7), labels=True)
    station.send(world.traffic(1, at=START + (number + 2) * HOUR))
    station.tick(forward=dt.timedelta(minutes=1))
    return station.ledger.decisions.current("rides")


def post(client, path, document=None, status=200, **more):
    answer = client.post(path, json=document, **more)
    assert answer.status_code == status, answer.text
    return answer.json()


# Alerts


def test_an_alert_is_acknowledged_and_resolved_by_name(station, client, world):
    """Who did it and why stays with the alert; ended is ended."""
    harm(station, world)
    (alert,) = station.ledger.alerts.list()
    seen = post(client, f"/v1/alerts/{alert.id}/acknowledge", {"note": "on it"})
    assert (seen["state"], seen["note"], seen["acknowledged_by"]) == (
        "acknowledged",
        "Ada: on it",
        "Ada",
    )
    done = post(client, f"/v1/alerts/{alert.id}/resolve")
    assert (done["state"], done["resolved_by"]) == ("resolved", "Ada")

    again = post(client, f"/v1/alerts/{alert.id}/resolve", status=409)
    assert again["code"] == "WrongState"
    station.tick(forward=dt.timedelta(minutes=1))
    assert station.ledger.alerts.open_count() == 0


@pytest.mark.parametrize(
    "path",
    ["alerts/77/resolve", "decisions/77/approve", "decisions/77/reject", "decisions/77/stop"],
)
def test_what_is_not_there_is_404(client, path):
    """As a problem."""
    assert post(client, f"/v1/{path}", status=404)["status"] == 404


BAD_BODIES = [
    (b"{", 400),
    (b"[]", 400),
    (b'"note"', 400),
    (b'{"note": NaN}', 400),
    (b'{"note": 1e999}', 400),
    (b'{"note": "\\ud800"}', 400),
    (b"\xff\xfe", 400),
    (b'{"note": 7}', 422),
    (b'{"note": "a\\u0000b"}', 422),
    (b'{"nota": "x"}', 422),
    (b'{"note": "' + b"x" * 3000 + b'"}', 422),
    (b'{"note": "' + b"x" * 70_000 + b'"}', 413),
    (b"[" * 20_000, 400),
]


@pytest.fixture(scope="module")
def harmed(tmp_path_factory, reference):
    """A station with alert 1 and decision 1, and its client, for requests that change nothing."""
    with standing(tmp_path_factory.mktemp("harmed"), reference) as station:
        harm(station, World(seed=8))
        yield station, client_of(station)


@pytest.mark.parametrize(("body", "status"), BAD_BODIES, ids=[repr(b[:24]) for b, _ in BAD_BODIES])
@pytest.mark.parametrize("path", ["alerts/1/resolve", "decisions/1/approve"])
def test_a_body_that_is_not_what_it_should_be_is_refused(harmed, body, status, path):
    """Malformed, not finite, too large, unknown fields: 4xx, and nothing happens."""
    station, client = harmed
    answer = client.post(f"/v1/{path}", content=body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert station.ledger.alerts.get(1).state == "open"
    assert station.ledger.decisions.get(1).state == "awaiting approval"


def test_each_channel_is_tried_when_somebody_asks(tmp_path, reference, monkeypatch):
    """What became of it, channel by channel; a name that is none is 404."""
    monkeypatch.delenv("DESK_URL", raising=False)
    desk = {"name": "desk", "kind": "apprise", "url_env": "DESK_URL"}
    with watched(tmp_path, {1: reference}, {"alerts": {"channels": [desk]}}) as station:
        client = client_of(station)
        (found,) = post(client, "/v1/alerts/test")["items"]
        assert (found["channel"], found["delivered"]) == ("desk", False)
        assert "DESK_URL is not set" in found["error"]
        unknown = post(client, "/v1/alerts/test", {"channels": ["dusk"]}, status=404)
        assert (unknown["code"], "'dusk'" in unknown["detail"]) == ("ChannelUnknown", True)


# Decisions


def test_approval_starts_the_retraining_once(station, client, world):
    """Until somebody approves nothing is called; then one message is in the outbox."""
    decision = harm(station, world)
    assert decision.state == "awaiting approval"
    assert station.ledger.outbox.list() == []

    seen = post(client, f"/v1/decisions/{decision.id}/approve", {"note": "go"})
    assert (seen["state"], seen["note"]) == ("approved", "Ada: go")
    assert post(client, f"/v1/decisions/{decision.id}/approve", status=409)["code"] == "WrongState"
    assert [m.key for m in station.ledger.outbox.list()] == [f"prefect/{decision.id}-1"]


def test_rejection_starts_nothing(station, client, world):
    """The decision is closed; a later approval comes too late."""
    decision = harm(station, world)
    seen = post(client, f"/v1/decisions/{decision.id}/reject", {"note": "a holiday"})

    assert (seen["state"], seen["note"]) == ("rejected", "Ada: a holiday")
    assert seen["closed_at"] is not None
    post(client, f"/v1/decisions/{decision.id}/approve", status=409)
    assert station.ledger.outbox.list() == []


def test_a_retraining_is_stopped_by_name(station, client, world):
    """Who did it and why stays with it; its rows are for the next one, which does not come now."""
    decision = harm(station, world)
    path = f"/v1/decisions/{decision.id}"
    waiting = post(client, f"{path}/stop", status=409)
    assert "is awaiting approval; this is possible only while it is approved" in waiting["detail"]
    post(client, f"{path}/approve")
    seen = post(client, f"{path}/stop", {"note": "the labels are wrong"})

    assert (seen["state"], seen["note"]) == ("stopped", "Ada; Ada: the labels are wrong")
    assert seen["closed_at"] is not None
    assert post(client, f"{path}/stop", status=409)["code"] == "WrongState"
    assert station.ledger.decisions.labels_given("rides") == 0
    assert harm(station, world, number=3) is None
    assert "the pause" in station.ledger.decisions.list()[0].reason


def test_an_approval_after_the_champion_was_replaced_comes_too_late(station, client, world):
    """409 says why; nothing starts, also where the watcher has not looked yet."""
    decision = harm(station, world)
    station.champions.serve(2)
    found = post(client, f"/v1/decisions/{decision.id}/approve", status=409)

    assert found["code"] == "WrongState"
    assert "superseded (version 2 took the place of 1)" in found["detail"]
    assert station.ledger.decisions.get(decision.id).state == "superseded"
    assert station.ledger.outbox.list() == []


def test_people_are_told_that_a_decision_waits(tmp_path, reference, world):
    """Every channel, once, however often the watcher looks."""
    settings = {
        "retraining": {"approval": True, "windows": 1, "of": 1},
        "alerts": {
            "channels": [{"name": "desk", "kind": "apprise", "url": "json://x"}],
            "rules": [],
        },
    }
    with watched(tmp_path, {1: reference}, settings) as station:
        decision = harm(station, world)
        for _ in range(3):
            station.tick(forward=dt.timedelta(seconds=31))
        (message,) = station.ledger.outbox.list()

    assert message.payload["type"] == "decision.awaiting_approval"
    assert message.payload["data"]["decision_id"] == decision.id
    assert "http://monitor.example/decisions" in message.payload["data"]["text"]


def test_a_flow_reports_and_repeats_itself_without_effect(station, client, world):
    """Started, finished, the same again; then the attempt is over."""
    decision = harm(station, world)
    path = f"/v1/decisions/{decision.id}"
    post(client, f"{path}/approve")
    post(client, f"{path}/report", {"attempt": 1, "state": "started", "flow_run_id": "run-1"})
    finished = {
        "attempt": 1,
        "state": "finished",
        "challenger_version": 2,
        "promoted": True,
        "outcome": "better on proof",
    }
    seen = [post(client, f"{path}/report", finished) for _ in range(2)]

    assert seen[0] == seen[1]
    assert seen[0]["state"] == "finished"
    assert seen[0]["outcome"] == {"said": "better on proof"}
    assert seen[0]["flow_run_url"].endswith("/runs/flow-run/run-1")
    assert station.champions.reloads >= 1
    late = {"attempt": 1, "state": "failed"}
    assert post(client, f"{path}/report", late, status=409)["code"] == "WrongState"


def test_a_report_of_failure_asks_for_the_next_attempt(station, client, world):
    """Up to the limit of the policy."""
    decision = harm(station, world)
    path = f"/v1/decisions/{decision.id}"
    post(client, f"{path}/approve")
    for attempt in (1, 2, 3):
        seen = post(client, f"{path}/report", {"attempt": attempt, "state": "failed"})

    assert (seen["state"], seen["attempt"]) == ("failed", 3)
    assert len(station.ledger.outbox.list()) == 3


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"attempt": 0, "state": "started"},
        {"attempt": 1, "state": "lost"},
        {"attempt": "1", "state": "started"},
        {"attempt": 1, "state": "finished", "challenger_version": 2**40},
        {"attempt": 1, "state": "finished", "promoted": "yes"},
        {"attempt": 1, "state": "started", "flow_run_id": "a\0"},
    ],
)
def test_a_report_that_is_not_one_is_422(harmed, document):
    """The field is named."""
    _, client = harmed
    found = post(client, "/v1/decisions/1/report", document, status=422)

    assert found["code"] == "FieldsInvalid"
    assert found["fields"]


# Models


def test_a_champion_that_cannot_be_loaded_leaves_the_old_one_serving(station, client):
    """409 says why and who serves on."""
    assert post(client, "/v1/models/reload") == {"version": 1, "previous": 1, "changed": False}

    station.champions.fault = ModelUntrusted("a file differs", remedy="register it again")
    found = post(client, "/v1/models/reload", status=409)
    assert (found["code"], found["serving"]) == ("ChampionNotLoaded", 1)
    assert found["detail"] == "a file differs"


# The webhook


def ask(client, station, body=b"{}", *, message_id="msg_1", key=KEY, at=None, status=202, **change):
    headers = signed_headers([key], message_id, at or station.now, body) | change
    answer = client.post("/v1/retrain", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_signed_webhook_opens_a_decision(start, world):
    """Without asking the policy; with who asked and why."""
    with start(approval=False) as station:
        station.service.settings.webhook_secret = SECRET
        station.send(world.traffic(1200, at=START), labels=True)
        client = client_of(station)
        found = ask(client, station, b'{"reason": "new prices", "more": 1}')

        decision = station.ledger.decisions.get(found["decision_id"])
        assert (decision.source, decision.reason, decision.state) == (
            "webhook",
            "new prices",
            "approved",
        )
        assert decision.evidence["webhook_id"] == "msg_1"
        assert decision.evidence["labels_through"] == 1200
        assert len(station.ledger.outbox.list()) == 1


def test_a_webhook_that_is_sent_again_has_no_second_effect(station, client, world):
    """The same message gets the same answer, also after a restart; another finds it open."""
    station.send(world.traffic(500, at=START), labels=True)
    first = ask(client, station)
    again = ask(client, station)
    assert again == first | {"replayed": True}
    station.ledger.decisions.reject(first["decision_id"], at=station.now)
    assert ask(client, station)["decision_id"] == first["decision_id"]
    assert len(station.ledger.decisions.list()) == 1

    other = ask(client, station, message_id="msg_2")
    assert other["decision_id"] != first["decision_id"]
    assert ask(client, station, message_id="msg_3", status=409)["code"] == "DecisionOpen"


def test_a_webhook_sent_again_after_hours_has_no_second_effect(station, client, world):
    """Signed anew, long after the first: the id of the message is what counts."""
    station.send(world.traffic(500, at=START), labels=True)
    first = ask(client, station)
    station.ledger.decisions.reject(first["decision_id"], at=station.now)
    station.clock.now += 5 * HOUR

    assert ask(client, station)["decision_id"] == first["decision_id"]
    assert len(station.ledger.decisions.list()) == 1


def test_a_webhook_whose_decision_was_not_noted_gets_the_same_answer(station, client, world):
    """Killed after the decision was opened and before that was noted: sent again, it is found."""
    station.send(world.traffic(500, at=START), labels=True)
    first = ask(client, station)
    station.ledger.notes.delete("retrain/msg_1")

    assert ask(client, station) == first | {"replayed": True}
    assert len(station.ledger.decisions.list()) == 1


def test_a_webhook_is_refused_unless_all_of_it_holds(station, client):
    """Signature, time, body, secret: 401 before anything is read, and nothing happens."""
    early = station.now - dt.timedelta(minutes=6)
    ask(client, station, key=b"0" * 32, status=401)
    ask(client, station, at=early, status=401)
    ask(client, station, **{"webhook-signature": "v1,AAAA"}, status=401)
    ask(client, station, **{"webhook-id": "another"}, status=401)
    assert client.post("/v1/retrain").status_code == 401
    ask(client, station, b"{", status=400)
    ask(client, station, b'{"reason": "\\ud800"}', message_id="m2", status=400)
    ask(client, station, b'{"reason": 7}', message_id="m3", status=422)
    answer = client.post("/v1/retrain", content=b"x" * 100_000)
    assert answer.status_code == 413
    station.service.settings.webhook_secret = None
    ask(client, station, status=401)

    assert station.ledger.decisions.list() == []


def test_a_webhook_cannot_have_what_a_retraining_needs(start, world):
    """Too few labelled rows, or switched off: 409 says so, and nothing is opened."""
    with start() as station:
        station.service.settings.webhook_secret = SECRET
        found = ask(client_of(station), station, status=409)
        assert found["code"] == "RetrainingRefused"
        assert "0 labelled rows" in found["detail"]
        assert station.ledger.decisions.list() == []
    with start(enabled=False) as station:
        station.service.settings.webhook_secret = SECRET
        station.send(world.traffic(500, at=START), labels=True)
        found = ask(client_of(station), station, message_id="msg_9", status=409)
        assert "enabled is false" in found["detail"]


def test_two_secrets_serve_while_they_are_changed(station, client, world):
    """Old and new, divided by a space."""
    station.send(world.traffic(500, at=START), labels=True)
    new = secrets.token_bytes(32)
    text = "whsec_" + base64.b64encode(new).decode()
    station.service.settings.webhook_secret = f"{SECRET} {text}"

    ask(client, station)
    ask(client, station, key=new, status=202)


# Labelled rows


def read(answer) -> pa.Table:
    assert answer.status_code == 200, answer.text
    return pa.ipc.open_stream(answer.content).read_all()


def test_labelled_rows_come_as_an_arrow_stream(station, client, world):
    """Ids, times, features with the model's types, the truth under the target's name."""
    traffic = world.traffic(1000, at=START)
    station.send(traffic, labels=True)
    station.send(world.traffic(50, at=START + HOUR))
    found = read(client.get("/v1/labelled"))

    assert found.column_names == ["event_id", "at", "distance", "wait", "zone", "cancelled"]
    assert found.num_rows == 1000
    both = found.sort_by("event_id")
    sent = traffic.events.append_column("cancelled", traffic.truth["truth"]).sort_by("event_id")
    assert both["cancelled"].to_pylist() == sent["cancelled"].to_pylist()
    assert np.array_equal(both["distance"].to_numpy(), sent["distance"].to_numpy())
    assert both["zone"].to_pylist() == sent["zone"].cast(pa.string()).to_pylist()


def test_a_decision_gets_the_same_rows_at_every_call_and_no_others(station, client, world):
    """What is labelled later belongs to the next decision; a row is given once."""
    first = harm(station, world)
    path = "/v1/labelled?decision_id="
    rows = read(client.get(f"{path}{first.id}"))
    station.send(world.traffic(300, at=START + 9 * HOUR), labels=True)
    assert read(client.get(f"{path}{first.id}")).equals(rows)
    assert rows.num_rows == 2000

    post(client, f"/v1/decisions/{first.id}/approve")
    post(client, f"/v1/decisions/{first.id}/report", {"attempt": 1, "state": "finished"})
    second = ask(client, station)["decision_id"]
    others = read(client.get(f"{path}{second}"))
    assert others.num_rows == 300
    assert not set(others["event_id"].to_pylist()) & set(rows["event_id"].to_pylist())
    assert client.get(f"{path}999").status_code == 404


def test_rows_of_versions_with_other_columns_are_fitted(world):
    """A feature that a version did not have is null; one it had besides is left out."""
    batch = pa.RecordBatch.from_pydict(
        {
            "event_id": ["a"],
            "at": pa.array([0], pa.timestamp("us")),
            "wait": pa.array([1.0], pa.float64()),
            "gone": [1],
            "truth": ["yes"],
        }
    )
    content = b"".join(labelled_stream([batch], world.schema))
    found = pa.ipc.open_stream(content).read_all()

    assert found.schema.equals(labelled_schema(world.schema))
    (row,) = found.to_pylist()
    assert (row["distance"], row["wait"], row["cancelled"]) == (None, 1.0, "yes")


def test_reports_and_notes_are_described_in_openapi(client):
    """The small bodies have a schema and an example, though the routes read them themselves."""
    document = client.app.openapi()

    for path, operations in document["paths"].items():
        operation = operations.get("post")
        if operation is None or path == "/v1/models/reload":
            continue
        body = operation["requestBody"]["content"]["application/json"]
        assert json.dumps(body["example"]), path
        assert body["schema"]["properties"], path
