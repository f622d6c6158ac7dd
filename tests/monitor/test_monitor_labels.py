"""POST /v1/labels: late, out of order, repeated, contradicted."""

from __future__ import annotations

import json

import pyarrow as pa

from tidemill_monitor.intake import ARROW, NDJSON

PATH = "/v1/labels"


def test_labels_find_their_events_in_any_order(monitor, rides, as_stream):
    """Before the event, after it, twice: each truth counts once."""
    labels = rides.labels(20)
    assert len(labels) == 20
    early = monitor.post(PATH, json={"labels": labels[:5]}).json()
    assert (early["matched"], early["pending"]) == (0, 5)
    events = rides.events(20, at=monitor.clock())
    assert monitor.post("/v1/events", json={"events": events}).status_code == 202
    late = monitor.post(PATH, json={"labels": labels})
    assert late.status_code == 202
    document = late.json()
    assert (document["matched"], document["repeated"], document["pending"]) == (15, 5, 0)
    monitor.service.ledger.settle()
    assert monitor.service.ledger.labels.count() == 20
    lines = "\n".join(json.dumps(label) for label in labels[:3])
    again = monitor.post(PATH, content=lines, headers={"Content-Type": NDJSON}).json()
    assert (again["matched"], again["repeated"]) == (0, 3)
    table = pa.table({k: [label[k] for label in labels[:3]] for k in ("event_id", "truth")})
    again = monitor.post(PATH, content=as_stream(table), headers={"Content-Type": ARROW}).json()
    assert (again["matched"], again["repeated"]) == (0, 3)


def test_another_truth_is_a_conflict_and_the_first_stays(shared, rides):
    """By row of the request, also where refused rows lie before it; alone it is 422."""
    rows = rides.events(3, prefix="c", at=shared.clock())
    assert shared.post("/v1/events", json={"events": rows}).status_code == 202
    first = [{"event_id": f"c{n}", "truth": "0"} for n in range(3)]
    assert shared.post(PATH, json={"labels": first}).json()["matched"] == 3
    changed = [{"event_id": "c0", "truth": "7"}, {"event_id": "c1", "truth": "1"}, first[2]]
    document = shared.post(PATH, json={"labels": changed}).json()
    assert [(e["row"], e["field"], e["code"]) for e in document["errors"]] == [
        (0, "truth", "unknown_class"),
        (1, "truth", "conflict"),
    ]
    assert (document["repeated"], document["refused"]) == (1, 2)
    alone = shared.post(PATH, json={"labels": changed[1:2]})
    assert alone.status_code == 422
    assert alone.json()["errors"][0]["code"] == "conflict"


def test_an_idempotency_key_gives_the_first_answer_again(shared, rides):
    """Also where the answer names conflicts behind refused rows."""
    rows = rides.events(2, prefix="i", at=shared.clock())
    assert shared.post("/v1/events", json={"events": rows}).status_code == 202
    labels = [
        {"event_id": "i0", "truth": 1.5},
        {"event_id": "i1", "truth": "0"},
        {"event_id": "i1", "truth": "1"},
    ]
    headers = {"Idempotency-Key": "labels-1"}
    first = shared.post(PATH, json={"labels": labels}, headers=headers)
    again = shared.post(PATH, json={"labels": labels}, headers=headers)
    assert first.status_code == 202
    assert first.json() == again.json()
    assert [e["row"] for e in first.json()["errors"]] == [0, 2]
    assert again.headers["idempotent-replayed"] == "true"


def test_bad_labels_are_named(shared):
    """Row and field, as everywhere."""
    labels = [
        {"event_id": "x"},
        {"truth": "1"},
        {"event_id": "x", "truth": "1", "at": "soon"},
        {"event_id": "x", "truth": "1", "features": {}},
    ]
    answer = shared.post(PATH, json={"labels": labels})
    assert answer.status_code == 422
    assert {(e["row"], e["field"], e["code"]) for e in answer.json()["errors"]} == {
        (0, "truth", "missing"),
        (1, "event_id", "missing"),
        (2, "at", "time"),
        (3, "features", "extra"),
    }
