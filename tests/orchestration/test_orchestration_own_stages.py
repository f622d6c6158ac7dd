"""A stage of the user's own under Prefect: a task like the others."""

from __future__ import annotations

import json

from tidemill.config import set_params
from tidemill.orchestration import run_through_prefect
from tidemill.pipeline import run_pipeline

CODE = """
def square(number):
    return number * number


def add(job):
    numbers = job.engine.map(square, list(range(job.params["to"])), label=job.name)
    job.writes["data/numbers.txt"].write_text(" ".join(map(str, numbers)))
    return {"sum": sum(numbers)}
"""
SECTIONS = "seed: 42\ndataset: {source: data/numbers.txt, target: y}\ningestion: {}\nsharding: {}\n"
SECTIONS += "reduction: {}\ntuning: {}\ntraining: {}\nevaluation: {}\nregistration: {}\n"


def test_it_is_a_task_of_the_flow(workspace, settings, client, only_run):
    """Its task is named after it, and its figures are on the page."""
    (workspace.root / "numbers_of.py").write_text(CODE)
    stages = {"add": {"call": "numbers_of:add", "writes": ["data/numbers.txt"]}}
    stages["add"]["params"] = {"to": 4}
    workspace.params.write_text(set_params(SECTIONS, [f"stages={json.dumps(stages)}"]))
    summary = run_through_prefect(workspace, settings, pipeline=run_pipeline, until="add")
    assert summary.facts["own_stages"] == {"add": {"sum": 14}}
    assert (workspace.root / "data" / "numbers.txt").read_text() == "0 1 4 9"
    run = only_run()
    tasks = [task.name for task in client.read_task_runs() if task.flow_run_id == run.id]
    assert "add" in tasks
    (page,) = [a for a in client.read_artifacts() if a.flow_run_id == run.id and a.key == "add"]
    assert "| sum | 14 |" in page.data
