"""POST /v1/events: durable before it is acknowledged, by row, in three formats."""

from __future__ import annotations

import datetime as dt
import gzip
import json

import pyarrow as pa
import pytest

from tidemill.errors import StorageFailed
from tidemill.ledger import QueueFull
from tidemill_monitor.intake import ARROW, NDJSON

PATH = "/v1/events"


def test_events_are_stored_in_every_format(monitor, rides, as_stream):
    """JSON, lines, Arrow and gzip: the same rows end in the store."""
    at = monitor.clock()
    documents = {p: {"events": rides.events(20, prefix=p, at=at)} for p in "jg"}
    lines = "\n".join(json.dumps(row) for row in rides.events(20, prefix="l", at=at))
    table = as_stream(rides.event_table(20, prefix="a", at=at))
    packed = gzip.compress(json.dumps(documents["g"]).encode())
    zipped = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    for answer in (
        monitor.post(PATH, json=documents["j"]),
        monitor.post(PATH, content=lines, headers={"Content-Type": NDJSON}),
        monitor.post(PATH, content=table, headers={"Content-Type": ARROW}),
        monitor.post(PATH, content=packed, headers=zipped),
    ):
        assert answer.status_code == 202, answer.text
        assert answer.json()["accepted"] == 20
    assert monitor.stored() == 80
    kept = monitor.service.ledger.events.recent(80).drop(["position"])
    rows = {row.pop("event_id"): row for row in kept.to_pylist()}
    assert rows["j3"] == rows["l3"] == rows["a3"] == rows["g3"]
    assert rows["j3"]["model_version"] == 1
    time_column = rides.schema.time.name
    assert rows["j3"][time_column] == rows["j3"]["at"]


def test_acknowledged_events_are_there_after_a_restart(workspace, start_monitor, rides, clock):
    """What was answered 202 is found by another process's ledger."""
    with start_monitor(workspace) as monitor:
        rows = rides.events(7, at=clock())
        assert monitor.post(PATH, json={"events": rows}).status_code == 202
    with start_monitor(workspace) as monitor:
        assert monitor.stored() == 7
        again = monitor.post(PATH, json={"events": rides.events(9, at=clock())}).json()
        assert (again["accepted"], again["duplicates"]) == (2, 7)
        assert again["duplicate_rows"] == list(range(7))


def test_good_rows_are_kept_and_bad_ones_named(shared, rides):
    """One answer tells what was taken and what was not."""
    rows = rides.events(5, prefix="mixed", at=shared.clock())
    rows[1]["features"]["distance_km"] = "far"
    del rows[3]["features"]["surge"]
    before = shared.stored()
    answer = shared.post(PATH, json={"events": rows})
    assert answer.status_code == 202
    document = answer.json()
    assert (document["accepted"], document["refused"], document["errors_total"]) == (3, 2, 2)
    assert [(e["row"], e["field"], e["code"]) for e in document["errors"]] == [
        (1, "distance_km", "type"),
        (3, "surge", "missing"),
    ]
    assert shared.stored() == before + 3


@pytest.mark.parametrize("score", [85, 1.5, -2.25, 1e300])
def test_a_score_that_is_no_probability_costs_its_row(shared, rides, as_stream, score):
    """Percentages and log-odds are refused where they come in, in every format."""
    rows = rides.events(3, prefix=f"s{score}", at=shared.clock())
    rows[1]["score"] = score
    lines = "\n".join(json.dumps(row | {"event_id": f"l{row['event_id']}"}) for row in rows)
    table = rides.event_table(3, prefix=f"a{score}", at=shared.clock())
    place = table.schema.get_field_index("score")
    table = table.set_column(place, "score", pa.array([0.5, float(score), float("nan")]))
    for answer in (
        shared.post(PATH, json={"events": rows}),
        shared.post(PATH, content=lines, headers={"Content-Type": NDJSON}),
        shared.post(PATH, content=as_stream(table), headers={"Content-Type": ARROW}),
    ):
        assert answer.status_code == 202
        found = answer.json()
        assert (found["accepted"], found["refused"]) == (2, 1)
        (error,) = found["errors"]
        assert (error["row"], error["field"], error["code"]) == (1, "score", "out_of_range")
        assert "probability" in error["detail"]


def test_what_could_not_be_folded_is_a_figure(monitor):
    """In the status and for Prometheus; the service goes on being ready."""
    ledger = monitor.service.ledger
    ledger._writer.call(lambda commit: commit.set_mark("set_aside", 2))
    ledger._writer.call(lambda commit: commit.set_mark("unplaced_labels", 1199))
    status = monitor.get("/v1/status").json()["unfolded"]
    assert (status["rows"], status["labels"]) == (2, 1199)
    assert status["sentence"].startswith("2 rows and 1,199 labels are stored")
    text = monitor.get("/metrics").text
    assert "tidemill_monitor_set_aside_rows 2.0" in text
    assert "tidemill_monitor_unplaced_labels 1199.0" in text
    assert monitor.client.get("/readyz").status_code == 200


def test_a_request_without_a_good_row_is_422_and_is_noted(monitor, rides):
    """The client hears which rows; the windows hear that a feed is broken."""
    rows = rides.events(3, at=monitor.clock())
    for row in rows:
        del row["features"]["surge"]
    answer = monitor.post(PATH, json={"events": rows})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "RowsRefused"
    assert problem["type"] == "urn:tidemill:problem:RowsRefused"
    assert {(e["row"], e["field"], e["code"]) for e in problem["errors"]} == {
        (n, "surge", "missing") for n in range(3)
    }
    assert monitor.stored() == 0
    good = rides.events(1, prefix="good", at=monitor.clock())
    assert monitor.post(PATH, json={"events": good}).status_code == 202
    ledger = monitor.service.ledger
    ledger.settle()
    intake = b"".join(
        part for window in ledger.windows.open() for part in ledger.windows.parts(window.id).intake
    )
    assert b"surge" in intake


def test_an_idempotency_key_gives_the_first_answer_again(shared, rides):
    """The same key and body: nothing is stored twice; another body: 409; another key owner: no."""
    rows = rides.events(4, prefix="key", at=shared.clock())
    rows[2]["features"]["distance_km"] = "far"
    headers = {"Idempotency-Key": "one"}
    before = shared.stored()
    first = shared.post(PATH, json={"events": rows}, headers=headers)
    again = shared.post(PATH, json={"events": rows}, headers=headers)
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert first.json()["accepted"] == 3
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    other = shared.post(PATH, json={"events": rows[:1]}, headers=headers)
    assert other.status_code == 409
    assert other.json()["code"] == "IdempotencyConflict"
    stranger = shared.post(PATH, "operate", json={"events": rows}, headers=headers)
    assert stranger.json()["duplicates"] == 3
    assert shared.stored() == before + 3
    for key in ("", "x" * 201, "a\tb"):
        refused = shared.post(PATH, json={"events": rows}, headers={"Idempotency-Key": key})
        assert refused.status_code == 400


def test_duplicates_are_told_by_the_rows_of_the_request(shared, rides):
    """Within a request and across requests, also where refused rows lie between."""
    rows = rides.events(6, prefix="dup", at=shared.clock())
    assert shared.post(PATH, json={"events": rows[:2]}).json()["accepted"] == 2
    rows[3]["features"]["distance_km"] = "far"
    rows.append(rows[5])
    document = shared.post(PATH, json={"events": rows}).json()
    assert document["duplicate_rows"] == [0, 1, 6]
    assert (document["accepted"], document["refused"]) == (3, 1)


def test_versions_must_be_registered(shared, rides):
    """An unknown version is a fault of its row; none means the champion's."""
    rows = rides.events(4, prefix="ver", at=shared.clock())
    rows[1]["model_version"] = 1
    rows[2]["model_version"] = 99
    rows[3]["model_version"] = -1
    document = shared.post(PATH, json={"events": rows}).json()
    assert document["accepted"] == 2
    assert {(e["row"], e["field"], e["code"]) for e in document["errors"]} == {
        (2, "model_version", "unknown_version"),
        (3, "model_version", "unknown_version"),
    }


@pytest.mark.parametrize(
    ("at", "taken"),
    [
        ("1970-01-01T00:00:00Z", True),
        ("1969-12-31T23:59:59.999999Z", False),
        ("now+3599", True),
        ("now+3601", False),
    ],
)
def test_event_times_are_bounded(shared, rides, at, taken):
    """Neither ancient nor future: the bounds are those of the settings."""
    if at.startswith("now"):
        time = shared.clock() + dt.timedelta(seconds=int(at.removeprefix("now+")))
        at = time.isoformat()
    rows = rides.events(1, prefix=at, at=shared.clock())
    rows[0]["at"] = at
    answer = shared.post(PATH, json={"events": rows})
    assert answer.status_code == (202 if taken else 422)
    if not taken:
        assert answer.json()["errors"][0]["code"] == "out_of_range"


def test_bodies_are_limited_while_they_stream(workspace, start_monitor, rides, clock):
    """By declared length, by what really comes, and by rows; each 413."""
    with start_monitor(workspace, max_body_bytes=50_000, max_rows=10) as monitor:
        answer = monitor.post(PATH, json={"events": rides.events(11, at=clock())})
        assert (answer.status_code, answer.json()["code"]) == (413, "TooManyRows")
        answer = monitor.post(
            PATH, content=b"x" * 60_000, headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (413, "BodyTooLarge")
        sent = 0

        def chunks():
            nonlocal sent
            for _ in range(100):
                sent += 1
                yield b" " * 10_000

        answer = monitor.post(PATH, content=chunks(), headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "BodyTooLarge")
        bomb = gzip.compress(b" " * (20 << 20))
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        answer = monitor.post(PATH, content=bomb, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "BodyTooLarge")
        assert monitor.service.bodies.held == 0


def test_too_much_at_once_is_503(workspace, start_monitor, rides, clock):
    """Bodies that are being read are bounded together; the client is told to come back."""
    with start_monitor(workspace, inflight_bytes=2000) as monitor:
        answer = monitor.post(PATH, json={"events": rides.events(5, at=clock())})
        assert (answer.status_code, answer.json()["code"]) == (503, "Overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        assert monitor.service.bodies.held == 0


@pytest.mark.parametrize(
    "error",
    [
        StorageFailed("the disk is full", remedy="make room"),
        QueueFull("too much waits", remedy="come back", retry_after=7),
    ],
)
def test_what_cannot_be_stored_is_not_acknowledged(shared, rides, monkeypatch, error):
    """A store that fails, or a queue that is full: 503, and when to come back."""

    def fail(batch):
        raise error

    monkeypatch.setattr(shared.service.ledger.events, "submit", fail)
    answer = shared.post(PATH, json={"events": rides.events(1, prefix="f", at=shared.clock())})
    assert answer.status_code == 503
    assert answer.json()["code"] == error.code
    assert answer.json()["remedy"] == error.remedy
    assert int(answer.headers["retry-after"]) == error.fields.get("retry_after", 1)


def test_content_types_and_encodings_that_are_not_read_are_415(shared):
    """Said before the body is looked at."""
    for headers in (
        {"Content-Type": "text/csv"},
        {"Content-Type": "application/json", "Content-Encoding": "br"},
        {"Content-Type": ""},
    ):
        answer = shared.post(PATH, content=b"{}", headers=headers)
        assert answer.status_code == 415, headers
    assert (
        shared.post("/v1/predict", content=b"{}", headers={"Content-Type": NDJSON}).status_code
        == 415
    )


def test_rows_are_rationed_by_key(workspace, start_monitor, rides, clock):
    """A key that sends too many rows a second is told when to come back; others go on."""
    with start_monitor(workspace, rate_rows=1, max_rows=10) as monitor:
        answers = [
            monitor.post(PATH, json={"events": rides.events(10, start=10 * n, at=clock())})
            for n in range(2)
        ]
        assert [answer.status_code for answer in answers] == [202, 429]
        assert int(answers[1].headers["retry-after"]) >= 5
        other = monitor.post(PATH, "operate", json={"events": rides.events(1, 90, at=clock())})
        assert other.status_code == 202
        assert monitor.stored() == 11
