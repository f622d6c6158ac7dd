from __future__ import annotations

import asyncio
import datetime as dt
import json

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tidemill.ledger import PerformanceRow
from tidemill.testing.worlds import START, World
from tidemill_monitor.problems import add_problems
from tidemill_monitor.routes import views
from tidemill_monitor.routes.features import MAX_CATEGORIES, bins_of
from tidemill_monitor.testing import watched
from tidemill_monitor.topics import Topics

HOUR = dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def station(tmp_path_factory):
    """Five judged hours: healthy, drifted, broken, harmed, harmed; and one that fills."""
    world = World(seed=5, blocks=8)
    reference = world.reference()
    settings = {"window": {"segments": ["zone"], "max_segments": 1}}
    folder = tmp_path_factory.mktemp("views")
    with watched(folder, {1: reference, 2: reference}, settings) as found:
        kinds = ({}, {"shift": 0.7}, {"missing": 0.5}, {"wrong": 0.7}, {"wrong": 0.7})
        for number, kind in enumerate(kinds):
            traffic = world.traffic(1500, at=START + number * HOUR, **kind)
            found.send(traffic, labels=number != 1)
        found.send(world.traffic(100, at=START + 5 * HOUR + HOUR / 2, seconds=600))
        found.tick()
        yield found


@pytest.fixture(scope="module")
def client(station):
    app = FastAPI()
    app.state.service = station.service
    add_problems(app)
    app.include_router(views.router)
    return TestClient(app, raise_server_exceptions=False)


def get(client, path, status=200):
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_status_tells_the_whole(client):
    """Champion, traffic, the newest verdict, what is open, where to look further."""
    found = get(client, "/v1/status")

    assert found["model"] == "rides"
    assert found["champion"]["version"] == 1
    assert found["champion"]["held"] == found["verdict"]["performance"]["held"]
    assert found["readiness"]["ready"]
    assert {p["name"] for p in found["readiness"]["parts"]} >= {"ledger", "watcher"}
    assert found["traffic"]["rows_total"] == 7600
    assert found["verdict"]["verdict"] == "confirmed harm"
    assert found["open_window"]["rows"] == 100
    assert found["open_alerts"] == 1
    assert found["open_decision"]["state"] == "approved"


def test_windows_are_listed_newest_first_in_pages(client):
    """Each page says where the next begins; together they are all."""
    seen, cursor = [], ""
    for _ in range(10):
        page = get(client, f"/v1/windows?segment=&limit=2{cursor}")
        seen += page["items"]
        if page["next"] is None:
            break
        cursor = f"&before={page['next']}"

    assert [w["start"] for w in seen] == sorted((w["start"] for w in seen), reverse=True)
    assert [w["verdict"] for w in seen][1:] == [
        "confirmed harm",
        "confirmed harm",
        "broken feed",
        "harmless drift",
        "healthy",
    ]
    assert seen[0]["state"] == "open"
    assert seen[1]["start"] == "2026-01-05T04:00:00Z"


def test_windows_are_filtered(client):
    """By state, verdict, segment and version."""
    assert len(get(client, "/v1/windows?state=open&segment=")["items"]) == 1
    assert len(get(client, "/v1/windows?verdict=broken%20feed&segment=")["items"]) == 1
    assert get(client, "/v1/windows?model_version=2")["items"] == []
    segments = {w["segment"] for w in get(client, "/v1/windows")["items"]}
    assert segments == {"", "zone=centre"}
    centre = get(client, "/v1/windows?segment=zone%3Dcentre")["items"]
    assert {w["segment"] for w in centre} == {"zone=centre"}


def test_a_windows_performance_has_the_lines_that_a_chart_draws(client):
    """Measured and estimated with the band, the held-out figure, the level of harm."""
    window = get(client, "/v1/windows?segment=&state=closed&limit=1")["items"][0]
    figures = window["performance"]

    assert figures["metric"] == "roc_auc"
    assert figures["low"] < figures["measured"] < figures["high"] <= 1
    assert figures["measured"] < figures["harm"] == pytest.approx(figures["held"] - 0.03)
    assert figures["estimated"] > figures["harm"]


def test_findings_of_a_window(client):
    """All, or those that are flagged; with the window they are of."""
    window = get(client, "/v1/windows?verdict=broken%20feed&segment=")["items"][0]
    everything = get(client, f"/v1/windows/{window['id']}/findings")
    flagged = get(client, f"/v1/windows/{window['id']}/findings?flagged=true")["items"]

    assert everything["window"]["id"] == window["id"]
    assert len(everything["items"]) > len(flagged) == window["findings_flagged"] > 0
    assert ("distance", "null_rate") in {(f["feature"], f["test"]) for f in flagged}
    assert all(f["flagged"] for f in flagged)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/windows/999999",
        "/v1/windows/999999/findings",
        "/v1/decisions/999999",
        "/v1/features/nonsense",
        "/v1/features/distance?window=999999",
    ],
)
def test_what_is_not_there_is_404(client, path):
    """As a problem with a stable code."""
    found = get(client, path, 404)

    assert found["status"] == 404
    assert found["code"] in ("NotFound", "RecordMissing")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/windows?limit=0",
        "/v1/windows?limit=100000",
        "/v1/windows?before=-1",
        "/v1/windows?before=9999999999999999999999",
        "/v1/windows?state=ajar",
        "/v1/windows?verdict=fine",
        "/v1/windows/0",
        "/v1/windows/9223372036854775808",
        "/v1/windows/one",
        "/v1/heatmap?test=nonsense",
        "/v1/alerts?state=lost",
        "/v1/decisions?state=lost",
        "/v1/features/distance?window=x",
    ],
)
def test_parameters_that_are_not_valid_are_422(client, path):
    """Never an error of ours, never an echo."""
    assert get(client, path, 422)["code"] == "ParametersInvalid"


@pytest.mark.parametrize(
    "text", ["%00", "%ED%A0%80", "%FF", "..%2F..%2Fetc%2Fpasswd", "%F0%9F%A6%8A"]
)
def test_strange_texts_find_nothing(client, text):
    """Zero bytes, lone surrogates, paths: no such segment, no such feature."""
    assert get(client, f"/v1/windows?segment={text}")["items"] == []
    assert client.get(f"/v1/features/{text}").status_code == 404


def test_features_are_the_models_then_its_outputs(client):
    """In the order of the schema."""
    items = get(client, "/v1/features")["items"]

    assert [i["name"] for i in items] == [
        "distance",
        "wait",
        "zone",
        "prediction",
        "score",
        "truth",
    ]
    assert [i["type"] for i in items][:3] == ["numeric", "numeric", "categorical"]
    assert [i["place"] for i in items] == ["feature"] * 3 + ["output"] * 3


def test_a_feature_shows_reference_and_window_on_the_same_bins(client):
    """Shares that sum to one, a label a bin, the history of its tests oldest first."""
    window = get(client, "/v1/windows?verdict=harmless%20drift&segment=")["items"][0]
    found = get(client, f"/v1/features/distance?window={window['id']}")

    assert len(found["bins"]) == len(found["reference"]) == len(found["current"])
    assert len(found["edges"]) == len(found["bins"]) - 1
    assert sum(found["reference"]) == pytest.approx(1, abs=1e-4)
    assert sum(found["current"]) == pytest.approx(1, abs=1e-4)
    middle = len(found["bins"]) // 2
    assert sum(found["current"][middle:]) > sum(found["reference"][middle:]) + 0.2
    starts = [point["start"] for point in found["history"]]
    assert starts == sorted(starts)
    flagged = {p["window"] for p in found["history"] if p["flagged"] and p["test"] == "psi"}
    assert window["id"] in flagged


def test_a_category_shows_its_names(client):
    """And the share of missing values on both sides."""
    found = get(client, "/v1/features/zone")

    assert found["bins"] == ["centre", "harbour", "airport"]
    assert found["edges"] == []
    assert found["nulls"] == {"reference": 0, "current": 0}
    broken = get(client, "/v1/windows?verdict=broken%20feed&segment=")["items"][0]
    nulls = get(client, f"/v1/features/distance?window={broken['id']}")["nulls"]
    assert nulls["current"] == pytest.approx(0.5, abs=0.05)


def test_the_truth_can_be_looked_at_too(client):
    """What turned out, where labels came."""
    found = get(client, "/v1/features/truth")

    assert set(found["bins"]) == {"no", "yes"}
    assert sum(found["current"]) == pytest.approx(1, abs=1e-4)


def test_many_categories_are_shown_as_the_largest_and_the_others():
    """A page stays readable."""
    from tidemill.profiling import CategoryProfile
    from tidemill.schema import Column, ColumnType, Purpose

    column = Column("c", ColumnType.CATEGORICAL, Purpose.FEATURE, "dictionary")
    known = CategoryProfile.of({f"c{i:03}": i + 1 for i in range(100)}, rows=5050)
    now = CategoryProfile.of({"new": 50}, rows=50)
    labels, edges, (reference, current) = bins_of(column, known, now)

    assert len(labels) == MAX_CATEGORIES + 1
    assert labels[0] == "new"
    assert labels[-1] == "71 others"
    assert (reference.sum(), current.sum(), edges) == (5050, 50, [])


def test_the_heat_map_is_features_by_windows(client):
    """Oldest first, the value over the threshold, what is flagged beside it."""
    found = get(client, "/v1/heatmap")
    starts = [w["start"] for w in found["windows"]]
    row = dict(zip(found["features"], found["values"], strict=True))
    marks = dict(zip(found["features"], found["flagged"], strict=True))

    assert starts == sorted(starts)
    assert len(starts) == 5
    assert row["distance"][1] > 1
    assert marks["distance"][1]
    assert not any(marks["wait"])
    assert all(len(values) == 5 for values in found["values"])
    psi = get(client, "/v1/heatmap?test=psi")
    assert psi["values"][0][1] <= row["distance"][1]


def test_alerts_and_decisions_are_listed_with_what_they_rest_on(client):
    """The sentence of an alert, the evidence of a decision; what came and went is resolved."""
    open_alerts = get(client, "/v1/alerts?state=open")["items"]
    resolved = get(client, "/v1/alerts?state=resolved")["items"]
    assert [a["rule"] for a in open_alerts] == ["harm"]
    assert [a["rule"] for a in resolved] == ["broken-feed"]
    assert "ROC AUC fell from" in open_alerts[0]["sentence"]
    (decision,) = get(client, "/v1/decisions?state=approved")["items"]
    assert get(client, f"/v1/decisions/{decision['id']}") == decision
    assert len(decision["evidence"]["verdicts"]) == 3
    assert decision["evidence"]["policy"]["windows"] == 2


def test_models_show_which_one_serves(client):
    """Newest first, with aliases and why it was promoted."""
    items = get(client, "/v1/models")["items"]

    assert [i["version"] for i in items] == [2, 1]
    assert [i["serving"] for i in items] == [False, True]
    assert items[1]["aliases"] == ["champion"]
    assert items[1]["promotion_reason"] == "better on proof"


def test_a_band_is_no_wider_than_the_figure_can_be(station):
    """A share does not exceed one."""
    from dataclasses import replace

    from tidemill_monitor.routes.shown import window_item

    window = station.windows(state="closed", segment="")[0]
    wide = replace(window, performance=(PerformanceRow("roc_auc", 0.98, 0.9, -0.2, 1.17, 10),))
    figures = window_item(wide)["performance"]

    assert (figures["low"], figures["high"]) == (0, 1)


def test_changes_are_streamed(station):
    """A line at once, then the names of what has changed; nothing of its content."""

    class Asker:
        async def is_disconnected(self):
            return False

    async def listen():
        changes = views._changes(Asker(), station.service)
        first = await anext(changes)
        station.service.topics.publish("windows", "alerts")
        second = await anext(changes)
        await changes.aclose()
        return first, second

    first, second = asyncio.run(listen())
    assert first.startswith(b"retry: 2000\n")
    name, data, *_ = second.decode().split("\n")
    assert name == "event: changed"
    assert json.loads(data.removeprefix("data: ")) == {"topics": ["alerts", "windows"]}
    assert station.service.topics.count == 0


def test_the_number_of_listeners_is_bounded(station, client):
    """Pages that listen hold a connection each."""
    station.service.topics = Topics(most=0)
    answer = client.get("/v1/stream")

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "30"


def test_every_view_describes_itself_by_an_example(client):
    """OpenAPI is useful to people: each answer has an example or a media type."""
    document = client.app.openapi()

    for path, operations in document["paths"].items():
        content = operations["get"]["responses"]["200"]["content"]
        for kind, body in content.items():
            assert "example" in body or kind != "application/json", path
