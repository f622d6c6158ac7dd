"""POST /v1/predict: the champion's answers, the same by every way, stored before they are given."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

from tidemill.config import set_params
from tidemill.errors import ModelUntrusted, SchemaMismatch
from tidemill.learning import predict_scores
from tidemill.tracking import Registry, Tracker, roll_back
from tidemill_monitor.intake import ARROW, JSON, Body
from tidemill_monitor.serving import scorer
from tidemill_monitor.serving.scored_events import score_rows

PATH = "/v1/predict"


def expected(monitor, rides, count: int, start: int = 0) -> list[float]:
    """What the pipeline itself says of the rows, without HTTP."""
    champion = monitor.service.champion.current
    matrix = champion.reducer.transform(rides.rows(count, start))
    return predict_scores(champion.learner, matrix, champion.task).tolist()


def timed(rides, records: list[dict], start: int = 0) -> list[dict]:
    """The records with the data's own time of each row."""
    times = rides.rows(len(records), start)[rides.schema.time.name].to_pylist()
    return [{**r, "at": t.isoformat()} for r, t in zip(records, times, strict=True)]


def test_predictions_are_the_pipelines_own(shared, rides):
    """One row or many: scores equal those of the pipeline, and are stored as they were given."""
    before = shared.stored()
    for count, start in ((1, 0), (3, 1), (200, 4)):
        records = timed(rides, rides.records(count, start), start)
        answer = shared.post(PATH, json={"records": records})
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert document["model"] == {"name": "rides", "version": 1}
        scores = [p["score"] for p in document["predictions"]]
        assert scores == expected(shared, rides, count, start)
        labels = [p["prediction"] for p in document["predictions"]]
        assert labels == [shared.service.champion.current.schema.classes[s > 0.5] for s in scores]
        assert [p["row"] for p in document["predictions"]] == list(range(count))
    assert shared.stored() == before + 204
    kept = shared.service.ledger.events.recent(204).to_pylist()
    stored = {row["event_id"]: row["score"] for row in kept}
    assert stored["e5"] == expected(shared, rides, 1, 5)[0]


def test_ids_and_times_may_be_left_out(shared, rides):
    """An id is made up and answered, so that a label can be reported for it."""
    records = rides.records(2, prefix=None)
    document = shared.post(PATH, json={"records": records}).json()
    ids = [p["event_id"] for p in document["predictions"]]
    assert len(set(ids)) == 2
    labels = [{"event_id": name, "truth": "1"} for name in ids]
    assert shared.post("/v1/labels", json={"labels": labels}).json()["matched"] == 2
    kept = shared.service.ledger.events.recent(2).to_pylist()
    assert {row["at"] for row in kept} == {shared.clock().replace(tzinfo=None)}


def test_an_arrow_stream_in_and_out(shared, rides, as_stream):
    """The same scores; the answer says which row each is for."""
    before = shared.stored()
    table = rides.rows(50).drop([rides.schema.target.name, rides.schema.key.name])
    headers = {"Content-Type": ARROW, "Accept": ARROW}
    answer = shared.post(PATH, content=as_stream(table), headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == ARROW
    with pa.ipc.open_stream(answer.content) as reader:
        found = reader.read_all()
    assert found["score"].to_pylist() == expected(shared, rides, 50)
    assert found["row"].to_pylist() == list(range(50))
    assert shared.stored() == before + 50


def test_bad_rows_are_named_and_the_others_predicted(shared, rides):
    """The answer keeps the rows apart."""
    records = timed(rides, rides.records(4, prefix="bad"))
    records[1]["features"]["surge"] = [1]
    document = shared.post(PATH, json={"records": records}).json()
    assert [p["row"] for p in document["predictions"]] == [0, 2, 3]
    want = expected(shared, rides, 4)
    assert [p["score"] for p in document["predictions"]] == [want[0], want[2], want[3]]
    assert [(e["row"], e["field"], e["code"]) for e in document["errors"]] == [(1, "surge", "type")]
    for record in records:
        record["features"].pop("surge")
    assert shared.post(PATH, json={"records": records}).status_code == 422


def test_small_requests_at_once_get_their_own_answers(shared, rides):
    """What is predicted together is divided again: rows and errors are each one's own."""

    def ask(number: int):
        records = timed(rides, rides.records(2, number, prefix=f"t{number}-"), number)
        if number % 3 == 0:
            records[0]["features"]["surge"] = "much"
        if number % 5 == 0:
            return number, shared.post(
                PATH, content=b"{", headers={"Content-Type": "application/json"}
            )
        return number, shared.post(PATH, json={"records": records})

    before = shared.stored()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(40)))
    good = 0
    for number, answer in answers:
        if number % 5 == 0:
            assert answer.status_code == 400
            continue
        assert answer.status_code == 200, answer.text
        document = answer.json()
        want = expected(shared, rides, 2, number)
        rows = [1] if number % 3 == 0 else [0, 1]
        good += len(rows)
        assert [p["row"] for p in document["predictions"]] == rows
        assert [p["event_id"] for p in document["predictions"]] == [
            f"t{number}-{number + row}" for row in rows
        ]
        np.testing.assert_allclose(
            [p["score"] for p in document["predictions"]], [want[r] for r in rows]
        )
        assert [e["row"] for e in document["errors"]] == ([0] if number % 3 == 0 else [])
    assert shared.stored() == before + good


def test_an_idempotency_key_gives_the_first_prediction_again(shared, rides):
    """Nothing is stored twice, and ids that were made up are the same ones."""
    records = rides.records(3, prefix=None)
    headers = {"Idempotency-Key": "p-1"}
    before = shared.stored()
    first = shared.post(PATH, json={"records": records}, headers=headers)
    again = shared.post(PATH, json={"records": records}, headers=headers)
    assert first.content == again.content
    assert again.headers["idempotent-replayed"] == "true"
    assert shared.stored() == before + 3


def test_a_request_that_cannot_be_scored_costs_itself(shared, rides):
    """Small requests are scored together: what one brings up is not the others' trouble."""

    def picky(rows, champion, now):
        if 13.0 in rows["distance_km"].to_pylist():
            raise SchemaMismatch("13", remedy="none")
        return score_rows(rows, champion, now)

    ledger, clock = shared.service.ledger, shared.clock
    bounds = {"max_rows": 10, "max_bytes": 1 << 20, "segments": ()}
    asked = scorer.Scorer(ledger, clock, **bounds, score=picky)
    jobs = []
    for number in range(3):
        (record,) = rides.records(1, number, prefix="picky")
        record["features"]["distance_km"] = 13.0 if number == 1 else 2.0
        jobs.append(scorer.ScoreJob(Body(json.dumps({"records": [record]}).encode(), JSON)))
    asked._answer(jobs, shared.service.champion.current)
    errors = [job.done.exception() for job in jobs]
    for job in (jobs[0], jobs[2]):
        job.done.result().receipt.result(timeout=60)  # the next test counts what is stored
    assert [type(error) for error in errors] == [type(None), SchemaMismatch, type(None)]


def test_a_known_id_is_answered_and_not_stored_again(shared, rides):
    """A repeated request without a key does no harm."""
    records = rides.records(2, prefix="known")
    before = shared.stored()
    for _ in range(2):
        assert shared.post(PATH, json={"records": records}).status_code == 200
    assert shared.stored() == before + 2


@pytest.mark.parametrize("key", [None, "changed-1"])
def test_a_known_id_with_other_features_is_told(shared, rides, as_stream, key):
    """The prediction is of what was sent now; the stored event stays, and the answer says so."""
    records = rides.records(3, prefix=f"changed-{key}")
    shared.post(PATH, json={"records": records})
    before = shared.stored()
    records[1]["features"]["distance_km"] = 77.5
    records += rides.records(2, 3, prefix=f"changed-{key}")
    records[4]["event_id"] = records[3]["event_id"]
    records.insert(0, {"features": {}})
    headers = {"Idempotency-Key": key} if key else {}
    for _ in range(2):
        answer = shared.post(PATH, json={"records": records}, headers=headers).json()
        assert (answer["duplicates"], answer["changed"]) == (4 if key or not _ else 5, 2)
        assert answer["changed_rows"] == [2, 5]
    assert shared.stored() == before + 1
    kept = {row["event_id"]: row for row in shared.service.ledger.events.recent(10).to_pylist()}
    assert kept[records[2]["event_id"]]["distance_km"] != 77.5
    text = shared.get("/metrics").text
    assert 'tidemill_monitor_rows_total{outcome="changed",route="/v1/predict"}' in text


@pytest.mark.parametrize("away", ["model", pytest.param("registry", marks=pytest.mark.slow)])
def test_without_a_champion_nothing_is_guessed(workspace, start_monitor, away):
    """503 and readiness say so; the service runs."""
    registry = workspace / "mlflow.db"
    if away == "registry":
        registry.unlink()
    else:
        Tracker(f"sqlite:///{registry}", "rides").client().delete_registered_model("rides")
    with start_monitor(workspace) as monitor:
        answer = monitor.post(PATH, json={"records": [{"features": {}}]})
        assert (answer.status_code, answer.json()["code"]) == (503, "NoChampion")
        ready = monitor.client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["parts"]["champion"]["ok"] is False
        assert monitor.client.get("/healthz").status_code == 200


def promote_again(workspace) -> int:
    """Register the same candidate once more, as another version, and make it the champion."""
    tracker = Tracker(f"sqlite:///{workspace / 'mlflow.db'}", "rides")
    registry = Registry(tracker)
    champion = registry.champion("rides")
    client = tracker.client()
    source = client.get_model_version("rides", str(champion.version))
    made = client.create_model_version(
        "rides",
        source.source,
        run_id=source.run_id,
        tags=dict(source.tags),
        model_id=source.model_id,
    )
    registry.promote("rides", int(made.version), replaces=champion.version, evidence={})
    return int(made.version)


def test_a_new_champion_serves_without_a_dropped_request(workspace, serve, rides):
    """Requests go on while the model is exchanged; each is answered by one version as a whole."""
    with serve(workspace) as served, served.client() as client:
        stop = False

        def ask() -> list[tuple[int, int]]:
            seen = []
            with served.client("ingest") as own:
                while not stop:
                    answer = own.post(PATH, json={"records": rides.records(1, prefix=None)})
                    seen.append((answer.status_code, answer.json()["model"]["version"]))
            return seen

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(ask) for _ in range(3)]
            try:
                version = promote_again(workspace)
                answer = client.post("/v1/models/reload")
                after = client.post(PATH, json={"records": rides.records(1, prefix=None)})
            finally:
                stop = True
            seen = [item for future in asking for item in future.result()]
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"version": version, "previous": 1, "changed": True}
    assert after.json()["model"]["version"] == version
    assert {status for status, _ in seen} == {200}
    assert {number for _, number in seen} <= {1, version}
    assert 1 in {number for _, number in seen}


def test_a_champion_that_cannot_be_loaded_leaves_the_old_one_serving(
    workspace, start_monitor, rides
):
    """Files that are not what was registered: 409 says so, readiness says so, answers go on."""
    with start_monitor(workspace) as monitor:
        promote_again(workspace)
        (model,) = workspace.glob("mlartifacts/**/model.skops")
        model.write_bytes(model.read_bytes() + b"x")
        answer = monitor.post("/v1/models/reload", "operate")
        assert answer.status_code == 409
        assert "model.skops" in answer.json()["detail"]
        predicted = monitor.post(PATH, json={"records": rides.records(1)})
        assert predicted.json()["model"]["version"] == 1
        ready = monitor.client.get("/readyz")
        assert ready.status_code == 200
        assert "serves on" in ready.json()["parts"]["champion"]["detail"]


def test_mlflow_s_note_beside_the_champion(workspace, start_monitor):
    """What MLflow leaves beside a model when it loads it stops no restart, and status names it."""
    (seal,) = workspace.glob("mlartifacts/**/candidate.json")
    (seal.parent / "registered_model_meta").write_text("model_name: rides\n")
    with start_monitor(workspace) as monitor:
        (note,) = monitor.get("/v1/status").json()["champion"]["notes"]
        assert note.startswith("registered_model_meta lies beside the files of rides version 1")


def test_a_segment_that_the_champion_has_not_is_said(workspace, start_monitor):
    """Of a column that is missing, or no category: it serves, and status names both."""
    path = workspace / "params.yaml"
    asked = "monitoring.window.segments=[pickup_zone, zone, distance_km]"
    path.write_text(set_params(path.read_text(), [asked]))
    with start_monitor(workspace) as monitor:
        champion = monitor.get("/v1/status").json()["champion"]
        (note,) = champion["notes"]
        assert note.startswith("monitoring.window.segments: 2 of 3 are not followed, as version 1 ")
        assert "zone, distance_km; it has: pickup_zone, " in note


def test_a_model_that_cannot_predict_does_not_serve(workspace, start_monitor, monkeypatch, rides):
    """It is tried out before it takes over."""
    from tidemill_monitor.serving import champion as module

    with start_monitor(workspace) as monitor:
        promote_again(workspace)
        monkeypatch.setattr(
            module, "predict_scores", lambda *_: (_ for _ in ()).throw(ValueError("no"))
        )
        with pytest.raises(ModelUntrusted):
            monitor.service.champion.reload()
        assert monitor.service.champion.current.version == 1


def test_future_rows_are_refused_by_the_time_column_too(shared, rides):
    """Where `at` is left out, the time feature is the event's time and has its bounds."""
    records = rides.records(1, prefix="future")
    late = shared.clock() + dt.timedelta(days=2)
    records[0]["features"][rides.schema.time.name] = late.isoformat()
    answer = shared.post(PATH, json={"records": records})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == rides.schema.time.name


@pytest.mark.slow
def test_after_a_rollback_all_is_of_the_version_that_serves(workspace, start_monitor, rides, clock):
    """A real one, in the registry: verdict, alert and mark; a restart forgets none of it."""
    with start_monitor(workspace, tick_seconds=3600) as monitor:
        watcher, ledger = monitor.service.watcher, monitor.service.ledger
        watcher.tick()
        version = promote_again(workspace)
        monitor.post("/v1/models/reload", "operate")
        assert monitor.post(PATH, json={"records": rides.records(20)}).status_code == 200
        ledger.settle()
        (window,) = ledger.windows.list(model_version=version, segment="", limit=1)
        ledger.windows.close(window.id, clock())
        said = {"verdict": "confirmed harm", "sentence": "Worse.", "findings": []}
        ledger.windows.judge(window.id, summary={"measured": True}, at=clock(), **said)
        watcher.tick()
        before = monitor.get("/v1/status").json()
        assert (before["verdict"]["model_version"], before["open_alerts"]) == (version, 1)
        assert before["serving"]["returned"] is False

        tracker = Tracker(f"sqlite:///{workspace / 'mlflow.db'}", "rides")
        assert roll_back(tracker, "rides", reason="complaints").version == 1
        clock.forward(minutes=1)
        assert monitor.post("/v1/models/reload", "operate").json()["version"] == 1
        watcher.tick()
        after = monitor.get("/v1/status").json()
    with start_monitor(workspace, tick_seconds=3600) as monitor:
        monitor.service.watcher.tick()
        again = monitor.get("/v1/status").json()
    for status in (after, again):
        serving = status["serving"]
        assert (serving["version"], serving["before"], serving["returned"]) == (1, version, True)
        assert (status["verdict"], status["open_alerts"]) == (None, 0)
