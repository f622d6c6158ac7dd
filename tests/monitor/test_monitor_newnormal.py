"""A break that persists is asked about once, and a person's answer is kept."""

from __future__ import annotations

import datetime as dt
import json
import socket
import threading
from dataclasses import replace
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware
from structlog.testing import capture_logs

from tidemill.config.monitoring import MonitoringConfig
from tidemill.errors import StorageFailed
from tidemill.ledger.database import tables
from tidemill.monitor_client import CREDENTIALS
from tidemill.testing.commands import run_command
from tidemill.testing.worlds import START, World
from tidemill_monitor.problems import add_problems
from tidemill_monitor.routes import normality, operate
from tidemill_monitor.routes.overview import status_document
from tidemill_monitor.security.scopes import required_scope
from tidemill_monitor.testing import watched
from tidemill_monitor.watching.newnormal import ACCEPT, HOLD, NotAsked

ROWS = 600
CHANNEL = {"name": "ops", "kind": "apprise", "url": "json://127.0.0.1"}
SETTINGS = {"alerts": {"channels": [CHANNEL]}}


@pytest.fixture
def station(tmp_path, reference):
    with watched(tmp_path, {1: reference, 2: reference}, SETTINGS) as watching:
        yield watching


def client_of(station):
    return TestClient(app_of(station), raise_server_exceptions=False)


def app_of(station):
    app = FastAPI()
    app.state.service = station.service
    add_problems(app)
    app.include_router(normality.router)
    app.include_router(operate.router)

    async def identify(request, call_next):
        request.state.identity = SimpleNamespace(id="k1", name="Ada", scope="operate")
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=identify)
    return app


@pytest.fixture
def cli(station, tmp_path, monkeypatch, capfd):
    """Commands of a person in a workspace whose monitor listens, and left its address there."""
    server = uvicorn.Server(uvicorn.Config(app_of(station), port=0, log_level="error"))
    # The monitor's log is not the command's stdout.
    with capture_logs(), socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        place = tmp_path / CREDENTIALS
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps({"url": address, "key": "tm_any"}))
        yield lambda *words, as_json=True: run_command(
            ("monitor", *words, "-w", tmp_path, *(["--json"] if as_json else [])),
            monkeypatch,
            capfd,
        )
        server.should_exit = True
        thread.join(20)


@pytest.mark.slow
def test_a_break_is_answered_by_commands(station, cli):
    """Shown, held, accepted; an answer to nothing, or to another break, is exit 2 with a remedy."""
    assert cli("normal", "show").document == {"question": None, "accepted": []}
    for word in ("accept", "hold"):
        none = cli("normal", word)
        assert (none.code, "nothing is asked" in none.document["message"]) == (2, True), none.err
        assert "tidemill monitor normal show" in none.document["remedy"]
    send(station, World(seed=6), [1000.0] * 3)
    question = cli("normal", "show").document["question"]
    assert (question["state"], question["windows"]) == ("asked", 3)
    first = question["window"]
    assert question["commands"]["accept"] in cli("normal", "show", as_json=False).out
    held = cli("normal", "hold", "--note", "the logger is mended")
    assert (held.code, held.document["state"]) == (0, "held")
    assert held.document["held"]["note"] == "the logger is mended"
    other = cli("normal", "accept", "--window", "99")
    assert (other.code, f"began with window {first}" in other.document["message"]) == (2, True)
    done = cli("normal", "accept", "--window", first)
    assert (done.code, done.document["features"]) == (0, ["distance"])
    assert cli("normal", "accept", "--window", first).document == done.document
    assert cli("normal", "show").document["accepted"] == [done.document]


def test_a_retraining_is_stopped_by_a_command(station, cli):
    """With a note; what has ended, or is none, is exit 2 and says why."""
    station.service.settings.prefect_api_url = "http://127.0.0.1:9/api"
    station.dispatch()
    told = {"model": "rides", "champion_version": 1, "reason": "harm"}
    number = station.ledger.decisions.open(**told, at=station.now).id
    stopped = cli("decisions", "stop", number, "--note", "the wrong week")
    assert (stopped.code, stopped.document["state"]) == (0, "stopped"), stopped.err
    assert stopped.document["note"] == "Ada: the wrong week"
    again, none = cli("decisions", "stop", number), cli("decisions", "stop", "99")
    assert (again.code, "stopped" in again.document["message"]) == (2, True)
    assert (none.code, "99" in none.document["message"]) == (2, True)


def send(station, world, factors, first=0, missing=0.0, version=1):
    """One hour a factor of ``distance``; then the hours before it are closed and judged."""
    for number, factor in enumerate(factors, first):
        at = START + number * dt.timedelta(hours=1)
        traffic = world.traffic(ROWS, at=at, missing=missing, version=version)
        events = traffic.events
        column = events.schema.get_field_index("distance")
        metres = pc.cast(pc.multiply(events["distance"], factor), pa.float32())
        station.send(replace(traffic, events=events.set_column(column, "distance", metres)),
                     version=version)  # fmt: skip
    end = START + dt.timedelta(hours=first + len(factors), minutes=6)
    station.send(world.traffic(1, at=end, version=version), version=version)
    station.tick(forward=dt.timedelta(minutes=1))
    station.tick(forward=dt.timedelta(minutes=1))


def verdicts(station):
    return [w.verdict for w in station.windows(segment="") if w.state == "closed"]


def asked(station):
    return [m for m in station.ledger.outbox.list(limit=200)
            if "new normal" in str(m.payload)]  # fmt: skip


def test_a_break_that_persists_is_asked_about_once(station):
    """After three windows: a notice with both commands, the page's document; then no more."""
    world = World(seed=6)
    send(station, world, [1.0, 1000.0, 1000.0])
    assert asked(station) == []
    send(station, world, [1000.0], first=3)
    (message,) = asked(station)
    assert ACCEPT in str(message.payload)
    assert HOLD in str(message.payload)
    document = status_document(station.service, {})["new_normal"]
    assert (document["state"], document["windows"]) == ("asked", 3)
    assert document["commands"] == {"accept": ACCEPT, "hold": HOLD}
    assert {fault["feature"] for fault in document["faults"]} == {"distance"}
    tell_more(station)
    send(station, world, [1000.0, 1000.0], first=4)
    assert len(asked(station)) == 2
    assert status_document(station.service, {})["new_normal"]["windows"] == 5


def tell_more(station):
    """Of a break with many faults the notice names three, and says how many there are beside."""
    question = station.watcher.newnormal.question(1)
    faults = tuple(
        {"feature": f"x{n}", "test": "scale", "detail": f"x{n} is off."} for n in range(5)
    )
    config = MonitoringConfig.model_validate(SETTINGS).alerts
    station.watcher.newnormal.tell(
        replace(question, faults=faults), config, model="rides", link="", now=station.now
    )
    assert "x0 is off; x1 is off; x2 is off and 2 more." in str(asked(station)[0].payload)


def test_what_is_accepted_is_the_new_reference(station, tmp_path, reference):
    """The same range is healthy, then another jump is found again; a restart forgets nothing."""
    world = World(seed=6)
    send(station, world, [1.0, 1000.0, 1000.0, 1000.0])
    first = station.watcher.question().first
    record = station.watcher.accept_normal(first, "ops", "metres since the release")
    assert (record["features"], record["by"]) == (["distance"], "ops")
    assert station.watcher.accept_normal(first, "ops", "again") == record
    send(station, world, [1000.0, 1000.0], first=4)
    assert verdicts(station) == ["healthy"] * 6, "the windows of the break are judged anew"
    assert station.windows(segment="")[1].summary["changes"][0]["from"] == "broken feed"
    assert station.ledger.windows.untaught(waiting=False) == (), "its rows teach"
    assert [a.state for a in station.ledger.alerts.list()] == ["resolved"]
    with pytest.raises(NotAsked):
        station.watcher.accept_normal(None, "ops", "")
    send(station, world, [1.0, 1_000_000.0], first=6)
    assert verdicts(station)[-2:] == ["broken feed"] * 2, "a further jump, back or on"
    station.ledger.close()
    with watched(tmp_path, {1: reference, 2: reference}, SETTINGS) as again:
        send(again, world, [1000.0, 1.0], first=8)
        again.watcher.tick()
        assert verdicts(again)[-2:] == ["healthy", "broken feed"]
        again.champions.serve(2)
        send(again, world, [1000.0], first=10, version=2)
        assert verdicts(again)[-1] == "broken feed", "it ends with a new champion"


@pytest.mark.parametrize("mended_by", ["a restart", "the same answer again"])
def test_an_acceptance_that_was_cut_short_is_carried_out(station, tmp_path, reference, mended_by):
    """Killed, or on a full disk, after it was noted: its windows are judged anew all the same."""
    send(station, World(seed=6), [1.0, 1000.0, 1000.0, 1000.0])
    first = station.watcher.question().first
    windows = station.ledger.windows
    kept = windows.judge_anew
    windows.judge_anew = _full
    with pytest.raises(StorageFailed):
        station.watcher.accept_normal(first, "ops", "metres")
    windows.judge_anew = kept
    station.tick()
    assert verdicts(station) == ["healthy"] + ["broken feed"] * 3
    if mended_by == "a restart":
        station.ledger.close()
        with watched(tmp_path, {1: reference}, SETTINGS) as again:
            again.tick()
            assert verdicts(again) == ["healthy"] * 4
    else:
        assert station.watcher.accept_normal(first, "ops", "again")["note"] == "metres"
        station.tick()
        assert verdicts(station) == ["healthy"] * 4


def _full(_):
    raise StorageFailed("the disk is full", remedy="make room")


def test_a_tick_in_the_middle_of_an_acceptance_judges_by_it(station):
    """It holds no window to what was before."""
    send(station, World(seed=6), [1.0, 1000.0, 1000.0, 1000.0])
    anew = station.ledger.windows.judge_anew
    tick = threading.Thread(target=station.watcher.tick)

    def ticked(numbers):
        anew(numbers)
        tick.start()
        tick.join(1.0)

    station.ledger.windows.judge_anew = ticked
    station.watcher.accept_normal(None, "ops", "metres")
    tick.join()
    station.tick()
    assert verdicts(station) == ["healthy"] * 4


def test_a_break_that_is_held_stays_one_and_is_not_asked_again(station):
    """Until something changes: another fault beside it is asked about."""
    world = World(seed=6)
    send(station, world, [1000.0, 1000.0, 1000.0])
    held = station.watcher.hold_normal(None, "ops", "the logger is being mended")
    assert held.held["by"] == "ops"
    assert station.watcher.hold_normal(held.first, "eve", "again").held == held.held
    send(station, world, [1000.0, 1000.0], first=3)
    assert verdicts(station) == ["broken feed"] * 5
    assert len(asked(station)) == 1
    assert status_document(station.service, {})["new_normal"]["state"] == "held"
    send(station, world, [1000.0], first=5, missing=0.5)
    assert status_document(station.service, {})["new_normal"]["state"] == "asked"
    assert len(asked(station)) == 2


def test_missing_values_are_accepted_and_more_of_them_are_not(station):
    """A field that is filled less often from now on; when it is hardly filled, that is a fault."""
    world = World(seed=6)
    send(station, world, [1.0, 1.0, 1.0], missing=0.4)
    station.watcher.accept_normal(None, "ops", "")
    send(station, world, [1.0], first=3, missing=0.4)
    assert "broken feed" not in verdicts(station)
    send(station, world, [1.0], first=4, missing=0.9)
    assert verdicts(station)[-1] == "broken feed"


def rows_of(station, world, rows, first=0):
    """So many rows an hour; then the hours are closed and judged."""
    for number, many in enumerate(rows, first):
        station.send(world.traffic(many, at=START + number * dt.timedelta(hours=1)))
    end = START + dt.timedelta(hours=first + len(rows), minutes=6)
    station.send(world.traffic(1, at=end))
    station.tick(forward=dt.timedelta(minutes=1))
    station.tick(forward=dt.timedelta(minutes=1))


def test_a_volume_that_is_accepted_is_usual_from_then_on(station):
    """So few rows are usual; so many as before are a broken feed then, and other faults stay."""
    world = World(seed=6)
    rows_of(station, world, [7000, 7000, 7000, 600, 600, 600])
    assert verdicts(station) == ["healthy"] * 3 + ["broken feed"] * 3
    record = station.watcher.accept_normal(None, "ops", "half the city left")
    assert (record["volume"], record["features"], record["remains"]) == (True, [], [])
    rows_of(station, world, [600, 600], first=6)
    assert "broken feed" not in verdicts(station)
    rows_of(station, world, [7000], first=8)
    assert verdicts(station)[-1] == "broken feed"
    assert station.windows(segment="")[8].sentence.count("600 are usual") == 1
    send(station, world, [1000.0], first=9)
    assert "distance" in station.windows(segment="")[9].sentence


@pytest.mark.slow
def test_segments_learn_anew_from_what_is_accepted(tmp_path, reference):
    """Their windows of the break are judged anew too: none stays broken, eight are learnt from."""
    window = {"segments": ["zone"], "max_segments": 1, "min_rows": 50}
    world = World(seed=6)
    with watched(tmp_path, {1: reference}, {"window": window}) as station:
        rows = {"segment": "zone=centre", "state": "closed"}
        send(station, world, [1.0] * 8 + [1000.0] * 3)
        centre = [w.verdict for w in station.windows(**rows)]
        assert centre == [None] * 8 + ["broken feed"] * 3
        station.watcher.accept_normal(None, "ops", "metres")
        send(station, world, [1000.0] * 6, first=11)
        station.tick()
        centre = station.windows(**rows)
        assert [w.verdict for w in centre[:16]] == [None] * 16
        assert {w.summary["note"] for w in centre} >= {"learning"}
        assert centre[16].verdict == "healthy"
        assert {w.verdict for w in station.windows(segment="")[8:17]} == {"healthy"}
        send(station, world, [1.0], first=17)
        assert [w.verdict for w in station.windows(**rows)][-1] == "broken feed"
        # Thresholds of what was learnt anew are not those of the first reference.
        kept = {key.split("/")[2:4][-1] for key in thresholds(station) if "zone" in key}
        assert "1" in kept


def thresholds(station):
    """Keys of the thresholds that the ledger keeps."""
    return note_keys(station, "thresholds/")


def note_keys(station, start):
    """Keys of notes that begin so."""
    t = tables.notes
    with station.ledger.notes._database.read() as connection:
        return list(connection.scalars(sa.select(t.c.key).where(t.c.key.startswith(start))))


def test_answers_over_http(station):
    """Read by all, answered by name; the same again changes nothing, and nothing asked is a 409."""
    client = client_of(station)
    assert client.get("/v1/normal").json() == {"question": None, "accepted": []}
    refused = client.post("/v1/normal/accept", json={"note": "?"})
    assert (refused.status_code, refused.json()["code"]) == (409, "NotAsked")
    send(station, World(seed=6), [1000.0] * 3)
    question = client.get("/v1/normal").json()["question"]
    held = client.post("/v1/normal/hold", json={"window": question["window"]}).json()
    assert (held["state"], held["held"]["by"]) == ("held", "Ada")
    answers = [
        client.post("/v1/normal/accept", json={"window": question["window"], "note": note})
        for note in ("metres", "again")
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert (answers[0].json()["by"], answers[0].json()["note"]) == ("Ada", "metres")
    assert len(client.get("/v1/normal").json()["accepted"]) == 1
    assert client.post("/v1/normal/accept", json={"window": 99}).status_code == 409
    assert required_scope("POST", "/v1/normal/accept") == "operate"
    assert required_scope("GET", "/v1/normal") == "read"


def test_what_is_missing_cannot_be_accepted(station):
    """Rows without a column have no values to make a reference of: the answer says what to do."""
    question = replace(
        _asked_about(station),
        faults=({"feature": "km", "test": "schema", "detail": "km is missing."},),
    )
    station.watcher.newnormal.question = lambda _: question
    with pytest.raises(NotAsked, match=r"no reference makes this normal: km is missing") as found:
        station.watcher.accept_normal(None, "ops", "")
    assert "tidemill run" in found.value.remedy


def _asked_about(station):
    send(station, World(seed=6), [1000.0] * 3)
    return station.watcher.question()


def test_a_version_that_returns_begins_anew(station):
    """After a rollback verdict, alerts and evidence are of the version that serves, since then."""
    world = World(seed=6)
    for number in range(2):
        traffic = world.traffic(ROWS, at=START + number * dt.timedelta(hours=1), wrong=0.9)
        station.send(traffic, labels=True)
    send(station, world, [1.0], first=2)
    assert {"confirmed harm"} <= set(verdicts(station))
    assert status_document(station.service, {})["serving"]["returned"] is False
    station.champions.serve(2)
    send(station, world, [1.0, 1.0], first=3, version=2)
    document = status_document(station.service, {})
    assert document["verdict"]["model_version"] == 2
    before = len(station.ledger.decisions.list())
    station.champions.serve(1)
    station.tick(forward=dt.timedelta(minutes=10))
    document = status_document(station.service, {})
    assert document["serving"] == {
        "version": 1, "before": 2, "returned": True, "since": document["serving"]["since"],
    }  # fmt: skip
    assert document["verdict"] is None, "none of its windows was closed since"
    assert station.ledger.alerts.list(state="open") == []
    assert len(station.ledger.decisions.list()) == before, "old harm fires nothing"
    send(station, world, [1.0], first=6)
    document = status_document(station.service, {})
    assert document["verdict"]["model_version"] == 1
    assert document["verdict"]["start"].endswith("06:00:00Z")
