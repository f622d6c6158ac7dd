from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml

from tidemill.errors import UsageError, WorkspaceMissing
from tidemill.orchestration import flows as bodies
from tidemill.pipeline import RunSummary, overridden

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = {
    found["name"]: found
    for found in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
}


@pytest.fixture
def load(monkeypatch):
    """Loads a deployment's flow as a worker does, and forgets it afterwards."""

    def loaded(name):
        from prefect.flows import load_flow_from_entrypoint

        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "path", list(sys.path))
        return load_flow_from_entrypoint(DEPLOYMENTS[name]["entrypoint"])

    return loaded


@pytest.mark.parametrize("name", ["train-model", "score-batch", "retrain-on-drift"])
def test_a_deployment_is_a_flow_whose_form_has_its_parameters(name, load):
    """Entry points load, are named as their deployments, and describe every parameter."""
    flow = load(name)

    assert flow.name == name
    form = flow.parameters.properties
    assert set(DEPLOYMENTS[name]["parameters"]) <= set(form)
    assert all(field.get("description") for field in form.values())


def test_the_schedule_is_off():
    """Nobody's machine starts to train at night because of an installation."""
    (schedule,) = DEPLOYMENTS["train-model"]["schedules"]
    assert schedule["active"] is False
    assert DEPLOYMENTS["score-batch"]["schedules"] == []
    assert DEPLOYMENTS["retrain-on-drift"]["schedules"] == []


def test_retrainings_of_a_workspace_wait_for_each_other():
    """One run of the deployment at a time; another one waits and is not lost."""
    limit = DEPLOYMENTS["retrain-on-drift"]["concurrency_limit"]
    assert limit == {"limit": 1, "collision_strategy": "ENQUEUE"}


def test_all_deployments_use_the_pool_that_up_makes():
    """The names in prefect.yaml and in the code are one."""
    from tidemill.orchestration.services import POOL

    assert {found["work_pool"]["name"] for found in DEPLOYMENTS.values()} == {POOL}


def test_flow_files_stay_entry_points():
    """No flow file has an importable name, imports a sibling or holds logic."""
    for path in (ROOT / "flows").iterdir():
        if path.suffix == ".py":
            assert path.stem not in sys.stdlib_module_names
            assert len(path.read_text().splitlines()) < 40
    assert not (ROOT / "flows" / "__init__.py").exists()


def test_overrides_are_the_settings_of_the_run(tmp_path, api_url, client, load, monkeypatch):
    """As --set would give them, by the same code; the flow run is named after the workspace."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("PREFECT_API_URL", api_url)
    given = {}

    def pipeline(workspace, *, assignments, links, **_):
        params = workspace.root / "params.yaml"
        params.write_text("dataset:\n  source: a.csv  # mine\n  target: y\n")
        with overridden(workspace, assignments) as changed:
            given.update(changed=changed, text=params.read_text(), links=links)
        return RunSummary((), 0.0, {"changed_settings": changed})

    monkeypatch.setattr(bodies, "_pipeline", lambda: pipeline)
    train_model = load("train-model")
    ours = {
        PREFECT_API_URL: api_url,
        PREFECT_API_AUTH_STRING: os.environ["PREFECT_API_AUTH_STRING"],
    }
    with temporary_settings(ours):
        train_model(
            workspace=str(tmp_path), overrides={"tuning.sampler": "grid", "dataset.key": None}
        )
    assert given["changed"] == {"tuning.sampler": '"tpe" -> "grid"'}
    assert "source: a.csv  # mine" in given["text"]
    (run,) = [r for r in client.read_flow_runs() if r.name == f"train-model {tmp_path.name}"]
    assert given["links"]["prefect_page"].endswith(str(run.id))
    (table,) = [
        found
        for found in client.read_artifacts()
        if found.flow_run_id == run.id and found.key == "summary"
    ]
    assert "grid" in table.data


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_engine_is_a_parameter(name, load):
    """Each deployment takes an engine; null is the environment's."""
    assert DEPLOYMENTS[name]["parameters"]["engine"] is None
    assert "engine" in load(name).parameters.properties


def test_an_engine_that_is_none_is_told_as_the_flows_parameter(tmp_path, monkeypatch):
    """The body opens the engine that it was given, and the remedy says where that was set."""
    monkeypatch.setattr("tidemill.orchestration.artifacts.failures_published", nullcontext)
    monkeypatch.setattr(bodies, "mark_the_dead", lambda place: None)
    (tmp_path / "params.yaml").touch()
    with pytest.raises(UsageError, match="the flow's parameter engine: there is no 'daks'"):
        bodies.train_in_flow(str(tmp_path), engine="daks")


def test_the_deployed_flow_fails_with_the_reason_on_its_page(
    tmp_path, api_url, client, load, monkeypatch
):
    """A folder that is no workspace: the flow fails with our error, and its page has the remedy."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    train_model = load("train-model")
    auth = os.environ["PREFECT_API_AUTH_STRING"]
    ours = {PREFECT_API_URL: api_url, PREFECT_API_AUTH_STRING: auth}
    with temporary_settings(ours), pytest.raises(WorkspaceMissing):
        train_model(workspace=str(tmp_path), overrides={"seed": 1})

    (failure,) = [
        found
        for found in client.read_artifacts()
        if found.key == "failure" and str(tmp_path) in (found.description or "")
    ]
    assert "tidemill init" in failure.data
