"""--set and overrides: checked whole, said, taken back by a run that fails."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidemill.engines import LocalEngine
from tidemill.errors import ColumnMissing, ConfigError
from tidemill.pipeline import Quiet, RunSummary, overridden, run_pipeline
from tidemill.settings import Settings
from tidemill.storage import Workspace, read_json


def run(root, *assignments: str, **options: Any) -> RunSummary:
    with LocalEngine(1) as engine:
        return run_pipeline(
            Workspace.at(root),
            settings=Settings(workers=1, MLFLOW_TRACKING_URI=None),
            engine=engine,
            assignments=assignments,
            **options,
        )


class Listener(Quiet):
    """Keeps what it is warned of."""

    def __init__(self, told: list[str]) -> None:
        self.warned = told.append


def fail_inside(root, error: BaseException, act: Callable[[], object]) -> None:
    """Do something under changed settings, then fail."""

    def fail() -> None:
        with overridden(Workspace.at(root), ["seed=7"]) as changed:
            assert changed == {"seed": "42 -> 7"}
            act()
            raise error

    with pytest.raises(type(error)):
        fail()


def test_a_run_that_fails_leaves_params_as_they_were(blank, copy, cli):
    """Byte by byte: whether a setting is wrong, two are together, or the data are refused."""
    root = copy(blank)
    params = root / "params.yaml"
    params.write_text("# mine\n" + params.read_text())
    before = params.read_bytes()
    with pytest.raises(ColumnMissing):
        run(root, "seed=7", "dataset.target=nowhere", until="look")
    assert params.read_bytes() == before
    with pytest.raises(ConfigError, match="learnr"):
        run(root, "seed=7", "training.learnr=sgd")
    done = cli("run", "-w", root, "--direct", "--set", "seed=7", "--set", "dataset.time=null")
    assert done.code == 2
    assert params.read_bytes() == before
    fail_inside(root, KeyboardInterrupt(), lambda: params.read_bytes().index(b"seed: 7"))
    assert params.read_bytes() == before


def test_what_somebody_wrote_meanwhile_stays(blank, copy):
    """A failed run takes back its own words only."""
    root = copy(blank)
    fail_inside(root, ValueError("late"), lambda: (root / "params.yaml").write_text("theirs"))
    assert (root / "params.yaml").read_text() == "theirs"


def killed_inside(root, *assignments: str) -> None:
    """A process that dies under changed settings, as by kill -9: nothing of it runs on."""
    child = os.fork()
    if not child:
        with overridden(Workspace.at(root), assignments):
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("door", ["run", "retrain"])
def test_what_a_killed_run_set_is_taken_back_and_said(finished, copy, cli, door):
    """By the next run, or retraining, byte by byte, and once."""
    root = copy(finished)
    params = root / "params.yaml"
    before = params.read_bytes()
    killed_inside(root, "seed=7")
    assert b"seed: 7" in params.read_bytes()
    run_it = {
        "run": ("run", "-w", root, "--direct", "--until", "look"),
        "retrain": ("retrain", "-w", root, "--labelled", root / "params.yaml"),
    }[door]
    said = cli(*run_it)
    assert "taken back: seed 7 -> 42; to have it, set it again (--set)" in said.err, said.err
    assert params.read_bytes() == before
    assert "taken back" not in cli(*run_it).err


@pytest.mark.slow
def test_what_a_killed_run_set_is_no_stages_setting(blank, copy, cli):
    """DVC's door refuses it; kept by hand, or taken back by a run, as the remedy says."""
    root = copy(blank)
    killed_inside(root, "seed=7")
    refused = cli("stage", "look", "-w", root, "--json")
    assert (refused.code, refused.document["error"]) == (2, "ConfigError")
    assert "seed 42 -> 7" in refused.document["message"]
    note = Path(refused.document["fields"]["path"])
    assert refused.document["remedy"].endswith(f"delete {note}")
    kept = note.read_text()
    note.unlink()
    assert cli("stage", "look", "-w", root).code == 0
    assert b"seed: 7" in (root / "params.yaml").read_bytes()

    note.write_text(kept.replace("42", "43"))
    damaged = cli("run", "-w", root, "--direct", "--until", "look")
    assert damaged.code == 3
    assert "see that params.yaml says what you mean" in damaged.err
    note.write_text(kept)
    assert cli("run", "-w", root, "--direct", "--until", "look").code == 0
    assert cli("stage", "look", "-w", root).code == 0


def test_what_was_edited_after_a_kill_stays(blank, copy):
    """And is told; before anything was written there is nothing to tell."""
    root, told = copy(blank), []
    params = root / "params.yaml"
    killed_inside(root, "seed=7")
    params.write_text(params.read_text() + "# mine\n")
    run(root, until="look", observer=Listener(told))
    assert params.read_text().endswith("# mine\n")
    (said,) = told
    assert "had set seed 42 -> 7; the file was edited since, and stays as it is" in said
    killed_inside(root, "seed=9")
    params.write_text(params.read_text().replace("seed: 9", "seed: 7"))
    run(root, until="look", observer=Listener(told))
    assert len(told) == 1, "as it was before"


def test_settings_mend_params_that_are_wrong(blank, copy):
    """What is broken can be set right, and what was there is said."""
    root = copy(blank)
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("seed: 42", "seed: -1"))
    with overridden(Workspace.at(root), ["seed=7"]) as changed:
        assert changed["seed"] == "-1 -> 7"


def test_a_run_tells_what_was_changed_and_where_to_look(finished, copy, cli):
    """In the summary, on screen, and in MLflow, whose list shows the judged figure first."""
    root = copy(finished)
    said = cli("run", "-w", root, "--direct", "--set", "registration.min_improvement=0.25")
    assert said.code == 0, said.err
    summary = read_json(root / "reports" / "summary.json")
    assert summary["changed_settings"] == {"registration.min_improvement": "0.0 -> 0.25"}
    assert "registration.min_improvement" in said.out, "as --set takes it"
    assert "0.0 -> 0.25" in said.out

    metrics = read_json(root / "reports" / "metrics.json")
    assert metrics["operating"]["threshold"] == summary["threshold"] == 0.5
    assert 0 < summary["precision"] == metrics["operating"]["precision"] <= 1
    assert 0 < summary["recall"] == metrics["operating"]["recall"] <= 1
    assert summary["reports"] == str(root / "reports")
    pages = root / ".tidemill" / "data_docs" / "index.html"
    assert summary["data_docs"] == f"tidemill suite docs makes {pages}"
    assert "prefect_page" not in summary

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    found = client.get_run(summary["run_id"])
    value = metrics["test"]["roc_auc"]
    assert found.info.run_name == f"v1 lightgbm roc_auc {value:.4f}"
    assert f"{found.info.experiment_id}/runs/{summary['run_id']}" in summary["mlflow_run"]
    note = found.data.tags["mlflow.note.content"]
    assert "- registration.min_improvement: 0.0 -> 0.25" in note
    error = metrics["test_error"]["roc_auc"]
    assert f"{value:.4f} ± {error:.4f} on the test rows" in note
    assert found.data.metrics["operating/recall"] == summary["recall"]
    tags = client.get_experiment(found.info.experiment_id).tags
    assert tags["mlflow.experiment.primaryMetric.name"] == "test/roc_auc"
    assert "test/roc_auc" in found.data.metrics
