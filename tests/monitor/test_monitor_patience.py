"""MLflow hangs: it takes connections and never answers."""

from __future__ import annotations

import threading

import pytest

from tidemill.errors import ModelMissing, ServiceUnavailable
from tidemill.tracking import Tracker
from tidemill_monitor.readiness import Readiness, leaned_on
from tidemill_monitor.serving.patience import Patience


def threads(name: str = "asks-") -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(name)]


def test_what_is_asked_in_time_is_answered():
    """Values and errors come through as they are."""
    patience = Patience("Somebody", 30.0)
    assert patience.ask(lambda: 7) == 7
    with pytest.raises(ModelMissing):
        patience.ask(lambda: (_ for _ in ()).throw(ModelMissing("none", remedy="make one")))
    assert patience.ask(lambda: 8) == 8


def test_nobody_waits_for_what_is_late_and_no_second_thread_hangs():
    """After the first caller has waited, all others hear at once; when it is back, all is well."""
    patience, back = Patience("Somebody", 30.0), threading.Event()
    with pytest.raises(ServiceUnavailable, match="Somebody has not answered"):
        patience.ask(back.wait, seconds=0.05)
    for _ in range(5):
        with pytest.raises(ServiceUnavailable):
            patience.ask(lambda: 7)
    assert threads("asks-Somebody") == ["asks-Somebody"]
    back.set()
    patience._late.wait(10)
    assert patience.ask(lambda: 7) == 7


def test_a_hung_mlflow_costs_a_reload_its_seconds_and_nobody_else_anything(monitor, rides, hung):
    """The old champion serves on, /readyz says so, ticks and predictions do not wait."""
    holder = monitor.service.champion
    holder._tracker = Tracker(hung[0], "rides")
    holder._loading.seconds = holder._asking.seconds = 0.2
    for _ in range(3):
        answer = monitor.post("/v1/models/reload", "operate")
        assert (answer.status_code, answer.json()["code"]) == (409, "ChampionNotLoaded")
        assert "MLflow has not answered for" in answer.json()["detail"]
        assert answer.json()["serving"] == 1
    # Its own client's limits are longer than this test: one thread waits, however often one asks.
    assert len(threads("asks-MLflow")) <= 1
    monitor.service.watcher.tick()
    rows = [{"features": event["features"]} for event in rides.events(2, at=monitor.clock())]
    assert monitor.post("/v1/predict", json={"records": rows}).status_code == 200
    assert monitor.get("/v1/models").status_code == 503
    strange = {**rides.events(1, at=monitor.clock())[0], "model_version": 99}
    assert monitor.post("/v1/events", json={"events": [strange]}).status_code == 503
    service = monitor.service
    asked = leaned_on(service.settings, service.ledger, service.champion, service.pool)
    service.readiness = Readiness(asked)  # it was asked less than a second ago
    ready = monitor.client.get("/readyz")
    assert ready.status_code == 200
    assert (
        "serves on: another cannot be loaded (ServiceUnavailable)"
        in (ready.json()["parts"]["champion"]["detail"])
    )
    assert monitor.get("/v1/status").json()["champion"]["version"] == 1
