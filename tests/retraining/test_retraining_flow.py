"""The flow on a real Prefect server, for a decision of a real monitor, on the real registry."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from tidemill.errors import ConfigError, UsageError
from tidemill.orchestration import TemporaryServer

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def helpers():
    """tests/retraining/monitors.py, which importlib mode does not put on the path."""
    spec = importlib.util.spec_from_file_location("monitors", Path(__file__).parent / "monitors.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["monitors"] = module
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("monitors")


@pytest.fixture(scope="module")
def api_url(tmp_path_factory):
    """A real Prefect server with a home of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        with TemporaryServer() as server:
            server.wait()
            patch.setenv("PREFECT_API_AUTH_STRING", server.auth)
            yield server.api_url
            from prefect.events.worker import EventsWorker
            from prefect.logging.handlers import APILogWorker

            APILogWorker.drain_all(timeout=5)
            EventsWorker.drain_all(timeout=5)


@pytest.fixture
def run_flow(api_url, monkeypatch, helpers):
    """Runs the deployed flow in this process."""

    def run(key=None, **parameters):
        from prefect.flows import load_flow_from_entrypoint
        from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setenv("TIDEMILL_MONITOR_KEY", helpers.KEY if key is None else key)
        monkeypatch.setenv("TIDEMILL_WORKERS", "2")
        auth = os.environ["PREFECT_API_AUTH_STRING"]
        with temporary_settings({PREFECT_API_URL: api_url, PREFECT_API_AUTH_STRING: auth}):
            flow = load_flow_from_entrypoint("flows/retrain_on_drift.py:retrain_on_drift")
            return flow(**parameters)

    return run


def task_states(api_url):
    """Name and state of all task runs of the flow."""
    import httpx

    auth = tuple(os.environ["PREFECT_API_AUTH_STRING"].split(":"))
    runs = httpx.post(f"{api_url}/task_runs/filter", json={"limit": 200}, auth=auth).json()
    return {run["name"]: run["state_type"] for run in runs}


def test_a_decision_becomes_a_new_champion_that_serves(root, live, helpers, run_flow, api_url):
    """Rows come from the monitor, the steps are tasks, and the monitor serves the better one."""
    table = live(root)
    with helpers.running_monitor(root, PREFECT_API_URL=api_url) as monitor:
        monitor.play(table, "cancelled")
        decision = monitor.ask_for_retraining("the answer has turned round")
        given = {
            "workspace": str(root),
            "decision_id": decision,
            "attempt": 1,
            "monitor_url": monitor.url,
            "reason": "the answer has turned round",
        }
        facts = run_flow(**given)
        assert facts["promoted"] is True
        assert facts["rows_learn"] + facts["rows_proof"] == table.num_rows
        with monitor.client() as client:
            (item,) = client.get("/v1/decisions")["items"]
            assert item["state"] == "finished"
            assert item["challenger_version"] == 2
            assert client.get("/v1/status")["champion"]["version"] == 2
        steps = {"gather", "append", "teach", "compare", "refit", "promote"}
        states = task_states(api_url)
        assert {name: states[name] for name in steps} == dict.fromkeys(steps, "COMPLETED")

        # The same flow run again (a lost answer, a repeated call) changes nothing.
        assert run_flow(**given) == facts
        with monitor.client() as client:
            assert len(client.get("/v1/models")["items"]) == 2
            assert [i["state"] for i in client.get("/v1/decisions")["items"]] == ["finished"]


def test_a_flow_that_fails_tells_the_monitor(root, live, helpers, run_flow, api_url, change):
    """Other shards are asked for: the flow fails with the reason, and the decision knows it."""
    with helpers.running_monitor(root, PREFECT_API_URL=api_url) as monitor:
        monitor.play(live(root), "cancelled")
        decision = monitor.ask_for_retraining("try")
        change(root, "seed=8")
        with pytest.raises(ConfigError, match="test rows"):
            run_flow(workspace=str(root), decision_id=decision, attempt=1, monitor_url=monitor.url)
        with monitor.client() as client:
            item = client.get("/v1/decisions")["items"][0]
        # Another attempt is due by now.
        assert (item["attempt"], item["state"]) == (2, "approved")


@pytest.mark.parametrize("missing", ["url", "key"])
def test_without_a_monitor_the_flow_says_what_is_missing(missing, root, run_flow, monkeypatch):
    """No address, or no key in the worker's environment: nothing is done."""
    url = "" if missing == "url" else "http://127.0.0.1:1"
    key = "" if missing == "key" else None
    with pytest.raises(UsageError, match="monitor_url" if missing == "url" else "MONITOR_KEY"):
        run_flow(key, workspace=str(root), decision_id="d1", attempt=1, monitor_url=url)
