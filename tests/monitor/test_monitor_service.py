"""Health, readiness, metrics, OpenAPI; problems of every kind."""

from __future__ import annotations

import json
import shutil
import stat
from types import SimpleNamespace

import jsonschema
import orjson
from prometheus_client.parser import text_string_to_metric_families

from tidemill.errors import StorageFailed
from tidemill_monitor.problems import problem_of
from tidemill_monitor.readiness import Readiness, leaned_on


def test_readiness_tells_of_each_part(shared):
    """All well at first: store, champion, and services that are not asked for."""
    answer = shared.client.get("/readyz")
    assert answer.status_code == 200
    document = answer.json()
    assert document["status"] == "ready"
    assert set(document["parts"]) == {"ledger", "champion", "mlflow", "prefect", "outbox"}
    assert all(part["ok"] for part in document["parts"].values())


def test_a_workspace_that_was_never_watched_is_watched(workspace, start_monitor, rides):
    """Folder, keys and store are made at the first start."""
    shutil.rmtree(workspace / ".tidemill" / "monitor")
    with start_monitor(workspace) as monitor:
        answer = monitor.client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "ready")
        assert stat.S_IMODE(monitor.service.settings.folder.stat().st_mode) == 0o700
        rows = rides.events(3, at=monitor.clock())
        assert monitor.post("/v1/events", json={"events": rows}).status_code == 202
        assert monitor.stored() == 3


def test_a_store_that_takes_no_writes_is_not_ready_and_recovers(shared, monkeypatch):
    """503 with the kind of error and no names; well again as soon as the store is."""

    def full(timeout):
        raise StorageFailed("/secret/place is full", remedy="make room")

    service = shared.service
    refusing = SimpleNamespace(probe=full, outbox=service.ledger.outbox)
    asked = leaned_on(service.settings, refusing, service.champion, service.pool)
    monkeypatch.setattr(service, "readiness", Readiness(asked))
    answer = shared.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["ledger"] == {
        "ok": False,
        "needed": True,
        "detail": "StorageFailed",
    }
    assert "secret" not in answer.text
    assert shared.client.get("/healthz").status_code == 200
    asked = leaned_on(service.settings, service.ledger, service.champion, service.pool)
    monkeypatch.setattr(service, "readiness", Readiness(asked))
    assert shared.client.get("/readyz").status_code == 200


def test_services_that_are_away_are_told_and_not_needed(workspace, start_monitor):
    """Prefect and MLflow away: rows are taken all the same."""
    with start_monitor(workspace, prefect_api_url="http://127.0.0.1:9/api") as monitor:
        parts = monitor.client.get("/readyz").json()["parts"]
        assert parts["prefect"]["ok"] is False
        assert parts["prefect"]["needed"] is False
        assert monitor.client.get("/readyz").status_code == 200


def test_why_no_model_serves_is_said_where_people_look(workspace, start_monitor):
    """A champion with a changed file: status, readiness with a key, and replay say which file."""
    (model,) = (workspace / "mlartifacts").rglob("candidate.json")
    changed = next(path for path in sorted(model.parent.iterdir()) if path.suffix == ".skops")
    changed.write_bytes(changed.read_bytes() + b"x")
    with start_monitor(workspace) as monitor:
        parts = monitor.get("/v1/status").json()["readiness"]["parts"]
        part = next(p for p in parts if p["name"] == "champion")
        assert changed.name in part["detail"]
        assert "find out who changed it" in part["remedy"]

        told = monitor.client.get("/readyz", headers=monitor.asking("read")).json()["parts"]
        assert told["champion"]["reason"] == part["detail"]
        assert told["champion"]["remedy"] == part["remedy"]
        # Who has no key learns the kind alone.
        stranger = monitor.client.get("/readyz")
        assert stranger.status_code == 503
        assert "ModelUntrusted" in stranger.json()["parts"]["champion"]["detail"]
        assert changed.name not in stranger.text

        refused = monitor.post("/v1/predict", json={"records": []})
        assert (refused.status_code, refused.json()["code"]) == (503, "NoChampion")
        assert "ModelUntrusted" in refused.json()["detail"]
        assert changed.name not in refused.text


def test_metrics_count_rows_and_requests(monitor, rides):
    """Routes appear by pattern, rows by what became of them."""
    rows = rides.events(3, at=monitor.clock())
    rows[0]["features"]["surge"] = "x"
    rows[1]["features"]["surge"] = 0.1 + 0.2
    taken = monitor.post("/v1/events", json={"events": rows}).json()
    assert taken["altered"] == [{"field": "surge", "code": "rounded", "rows": 1}]
    monitor.get("/v1/made-up/path")
    text = monitor.get("/metrics").text
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        return samples[(f"tidemill_monitor_{name}", tuple(sorted(labels.items())))]

    assert value("rows_total", route="/v1/events", outcome="accepted") == 2
    assert value("rows_total", route="/v1/events", outcome="refused") == 1
    assert value("refusals_total", route="/v1/events", code="type") == 1
    assert value("altered_values_total", route="/v1/events", code="rounded") == 1
    assert value("requests_total", route="/v1/events", method="POST", status="202") == 1
    assert value("champion_version") == 1
    assert value("ledger_ok") == 1
    assert "made-up" not in text


def test_openapi_has_the_champions_columns_and_examples_that_work(shared, rides):
    """The examples of the description are requests that are answered with success."""
    document = shared.get("/openapi.json").json()
    features = document["components"]["schemas"]["Features"]
    assert set(features["properties"]) == {c.name for c in rides.schema.features}
    assert document["components"]["schemas"]["Prediction"]["enum"] == list(rides.schema.classes)
    for path, status in (("/v1/predict", 200), ("/v1/events", 202), ("/v1/labels", 202)):
        operation = document["paths"][path]["post"]
        assert operation["security"] == [{"key": []}]
        example = operation["requestBody"]["content"]["application/json"]["example"]
        text = json.dumps(example).replace("2026-01-31T09:30:00Z", "2024-01-31T09:30:00Z")
        answer = shared.post(path, content=text, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, answer.text
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), (method, path)


def test_openapi_says_what_is_taken_and_given(shared):
    """Whole numbers as ids, no time: taken and described. Figures are text, not JSON."""
    document = shared.get("/openapi.json").json()
    (kind,) = document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    assert shared.get("/metrics").headers["content-type"].startswith(kind)
    for path, member, name, status in (
        ("/v1/predict", "records", "Record", 200),
        ("/v1/labels", "labels", "Label", 202),
    ):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        row = content["application/json"]["example"][member][0] | {"event_id": 1024, "at": None}
        schema = {**document["components"]["schemas"][name], "components": document["components"]}
        jsonschema.validate(row, schema)
        answer = shared.post(path, json={member: [row]})
        assert answer.status_code == status, answer.text


def test_the_docs_page_needs_nothing_from_outside(shared):
    """A plain page: every operation, no script, no other host."""
    page = shared.get("/docs")
    assert page.status_code == 200
    assert "/v1/predict" in page.text
    assert "<script" not in page.text
    assert "://" not in page.text


def test_errors_of_every_kind_are_problems(shared):
    """Unknown paths, wrong methods, wrong parameters: application/problem+json with a code."""
    for method, path, status, code in (
        ("GET", "/v1/nothing", 404, "NotFound"),
        ("GET", "/v1/events", 403, "ScopeMissing"),
        ("DELETE", "/v1/status", 405, "MethodNotAllowed"),
        ("GET", "/v1/windows?limit=many", 422, "ParametersInvalid"),
    ):
        scope = "read" if method == "GET" else "operate"
        answer = shared.client.request(method, path, headers=shared.asking(scope))
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        document = answer.json()
        assert document["code"] == code
        assert document["status"] == status
        assert {"type", "title", "detail"} <= set(document)
        assert "many" not in answer.text


def test_a_status_follows_from_the_type_of_an_error():
    """Never from its text; what may be retried says when."""
    problem = problem_of(StorageFailed("the disk is full", remedy="make room"))
    assert problem.status == 503
    assert problem.headers["Retry-After"] == "1"
    assert orjson.loads(orjson.dumps(problem.document()))["remedy"] == "make room"
