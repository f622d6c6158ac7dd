from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill.errors import ServiceUnavailable, ValidationFailed
from tidemill.orchestration import run_through_prefect
from tidemill.settings import Settings

HERE = Path(__file__).parent


def artifacts(client, run) -> dict:
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    only = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    return {found.key: found for found in client.read_artifacts(artifact_filter=only)}


def test_the_page_of_a_run_shows_what_its_stages_said(
    workspace, settings, pipeline_of, said, client, only_run
):
    """Figures, tables and links of each stage, and the summary, are artifacts of the flow run."""

    def ingest(_engine):
        return said(
            facts={"rows_read": 10, "a|b": 0.5},
            tables={"Reasons": [{"reason": "fare < 0", "rows": 3, "examples": [1, 2]}]},
            links={"MLflow run": "http://127.0.0.1:5000/#/runs/1"},
            warnings=("mind the <b> [x](y)",),
        )

    summary = run_through_prefect(workspace, settings, pipeline=pipeline_of(ingest=ingest))

    assert summary.facts == {"rows_read": 10, "promoted": True}
    run = only_run()
    assert run.state.name == "Completed"
    found = artifacts(client, run)
    assert set(found) == {"ingest", "ingest-reasons", "ingest-mlflow-run", "summary", "stages"}
    assert "| rows_read | 10 |" in found["ingest"].data
    assert "a\\|b" in found["ingest"].data
    assert r"mind the &lt;b&gt; \[x\](y)" in found["ingest"].data
    assert '"fare < 0"' in found["ingest-reasons"].data
    assert "http://127.0.0.1:5000/#/runs/1" in found["ingest-mlflow-run"].data
    assert '"rows_read"' in found["summary"].data
    assert '"ingest"' in found["stages"].data


def test_a_refusal_comes_back_as_itself_and_stays_on_the_page(
    workspace, settings, pipeline_of, client, only_run
):
    """The caller gets the very error; Prefect shows its message, and the page its remedy."""
    error = ValidationFailed("3 of 10 rows are invalid", remedy="mend them", reasons={"fare": 3})

    def ingest(_engine):
        raise error

    with pytest.raises(ValidationFailed) as caught:
        run_through_prefect(workspace, settings, pipeline=pipeline_of(ingest=ingest))

    assert caught.value is error
    run = only_run()
    assert run.state.name == "Failed"
    assert "3 of 10 rows are invalid" in run.state.message
    page = artifacts(client, run)["failure"].data
    assert "ValidationFailed" in page
    assert "mend them" in page
    assert '| reasons | {"fare": 3} |' in page


@pytest.mark.slow
def test_a_killed_run_is_marked_crashed_at_the_next_start(
    workspace, settings, api_url, pipeline_of, said, client
):
    """A flow run whose process was killed shows as Crashed, with its tasks, after the next run."""
    environment = {**os.environ, "PREFECT_API_URL": api_url}
    killed = subprocess.run(
        [sys.executable, str(HERE / "run_killed.py"), str(workspace.root)],
        env={**environment, "PYTHONPATH": "platform"},
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    (record,) = (workspace.hidden / "flow-runs").iterdir()
    assert client.read_flow_run(record.stem).state.name == "Running"

    run_through_prefect(workspace, settings, pipeline=pipeline_of(ingest=lambda _: said()))

    crashed = client.read_flow_run(record.stem)
    assert crashed.state.name == "Crashed"
    assert "killed" in crashed.state.message
    tasks = [task for task in client.read_task_runs() if task.flow_run_id == crashed.id]
    assert [task.state.name for task in tasks] == ["Crashed"]
    assert list((workspace.hidden / "flow-runs").iterdir()) == []


def test_a_run_that_lives_is_not_marked(workspace, settings, pipeline_of, said, client):
    """Another run of the same workspace that still runs is left alone."""
    states = []

    def outer(_engine):
        (record,) = (workspace.hidden / "flow-runs").iterdir()
        run_through_prefect(workspace, settings, pipeline=pipeline_of(inner=lambda _: said()))
        states.append(client.read_flow_run(record.stem).state.name)
        return said()

    run_through_prefect(workspace, settings, pipeline=pipeline_of(outer=outer))

    assert states == ["Running"]


def test_an_address_that_does_not_answer_is_named(workspace, pipeline_of):
    """PREFECT_API_URL without a server behind it: which address, and what to do."""
    dead = Settings(PREFECT_API_URL="http://127.0.0.1:9/api")

    with pytest.raises(ServiceUnavailable) as caught:
        run_through_prefect(workspace, dead, pipeline=pipeline_of())

    assert caught.value.exit_code == 75
    assert caught.value.fields["address"] == "http://127.0.0.1:9/api"
    assert "unset PREFECT_API_URL" in caught.value.remedy


@pytest.mark.parametrize(
    ("items", "children"), [(4, 4), pytest.param(40, 25, marks=pytest.mark.slow)]
)
def test_without_an_address_a_temporary_server_keeps_the_run(
    items, children, workspace, settings, client, pipeline_of, said, only_run
):
    """The run of a temporary server is in the home's database: every task's end, every line."""

    def ingest(engine):
        engine.map(str, range(items), label="ingest")
        return said()

    alone = Settings(workers=2)
    assert alone.prefect_api_url is None
    run_through_prefect(workspace, alone, pipeline=pipeline_of(a=ingest, b=ingest, c=ingest))

    # The session's server reads the same database.
    run = only_run()
    assert run.state.name == "Completed"
    assert run.n_tasks == 3 + 3 * children
    assert {task.state.name for task in run.tasks.values()} == {"Completed"}
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

    only = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    lines = [line.message for line in client.read_logs(log_filter=only)]
    assert [line.split()[0] for line in lines if " took " in line] == ["a", "b", "c"]
    assert "Finished in state Completed()" in lines[-1]
