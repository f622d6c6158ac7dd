"""Runs, trials, stages, datasets and artifacts in a real sqlite store."""

import json
import math
import threading

import pytest

from tidemill.contracts import Trial
from tidemill.errors import ConfigError
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill.settings import Settings
from tidemill.tracking import Tracker
from tidemill.tracking.serve_mlflow import runs_page

TRIALS = (
    Trial(0, {"alpha": 0.1, "loss": "log"}, 0.7, "complete", ((0, 0.5), (1, 0.7))),
    Trial(1, {"alpha": 0.2, "loss": "log"}, None, "pruned", ((0, 0.4),), "worse than the median"),
    Trial(2, {"alpha": 9.0, "loss": "log"}, None, "failed", (), "diverged"),
)


def children(tracker, run_id):
    """The child runs of a run, by name."""
    found = tracker.client().search_runs(
        [tracker.experiment_id()], f"tags.`mlflow.parentRunId` = '{run_id}'"
    )
    return {run.info.run_name: run for run in sorted(found, key=lambda run: run.info.run_name)}


def test_a_key_has_one_run_however_often_it_is_opened(place):
    """A second attempt, also in another process, goes on with the run of the first."""
    first = place.tracker()
    run_id = first.open_run("key-1", "first", {"tidemill.door": "direct"})
    first.finish(run_id)
    second = place.tracker()
    assert second.open_run("key-1", "first", {}) == run_id
    assert second.client().get_run(run_id).info.status == "RUNNING"
    assert second.open_run("key-2", "other", {}) != run_id
    assert len(second.client().search_runs([second.experiment_id()])) == 2


def test_a_failed_run_is_taken_up_again(place):
    """Whatever ended an attempt, its run is the one that goes on."""
    tracker = place.tracker()
    run_id = tracker.open_run("key", "run", {})
    tracker.finish(run_id, "FAILED")
    assert tracker.open_run("key", "run", {}) == run_id


def test_trials_are_child_runs_with_their_curves(place):
    """Each trial is a nested run: parameters, value, curve by step, state, reason."""
    tracker = place.tracker()
    run_id = tracker.open_run("key", "run", {})
    tracker.log_trials(run_id, TRIALS)
    found = children(tracker, run_id)
    assert [run.info.status for run in found.values()] == ["FINISHED", "FINISHED", "FAILED"]
    complete, pruned, failed = found.values()
    assert complete.data.params == {"alpha": "0.1", "loss": "log"}
    assert complete.data.metrics == {"value": 0.7, "curve": 0.7}
    curve = tracker.client().get_metric_history(complete.info.run_id, "curve")
    assert [(point.step, point.value) for point in curve] == [(0, 0.5), (1, 0.7)]
    assert pruned.data.tags["tidemill.trial_state"] == "pruned"
    assert failed.data.tags["tidemill.trial_message"] == "diverged"


def test_trials_logged_twice_are_there_once(place):
    """One at a time, all at once, and after a resume in another process: no doubles."""
    tracker = place.tracker()
    run_id = tracker.open_run("key", "run", {})
    for trial in TRIALS[:2]:
        tracker.log_trials(run_id, [trial])
    tracker.log_trials(run_id, TRIALS)
    before = [run.info.end_time for run in children(tracker, run_id).values()]
    place.tracker().log_trials(run_id, TRIALS)
    found = children(tracker, run_id)
    assert list(found) == ["trial 0", "trial 1", "trial 2"]
    assert [run.info.end_time for run in found.values()] == before


def test_a_half_written_trial_is_completed(place):
    """A trial whose run was made and not ended is written again, without double points."""
    tracker = place.tracker()
    run_id = tracker.open_run("key", "run", {})
    tracker.log_trials(run_id, TRIALS[:1])
    (child,) = children(tracker, run_id).values()
    tracker.client().update_run(child.info.run_id, status="RUNNING")
    place.tracker().log_trials(run_id, TRIALS[:1])
    (child,) = children(tracker, run_id).values()
    assert child.info.status == "FINISHED"
    assert len(tracker.client().get_metric_history(child.info.run_id, "curve")) == 2


def test_trials_from_several_threads(place):
    """Callbacks of concurrent trials share one tracker."""
    tracker = place.tracker()
    run_id = tracker.open_run("key", "run", {})
    trials = [Trial(n, {"alpha": n}, 0.5, "complete") for n in range(8)]
    threads = [threading.Thread(target=tracker.log_trials, args=(run_id, [t])) for t in trials * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(children(tracker, run_id)) == 8


def test_a_stage_logged_twice_changes_nothing(place):
    """Settings are flat and cut, figures grouped by stage; repeating leaves one point each."""
    tracker = place.tracker()
    run_id = tracker.open_run("key", "run", {})
    params = {"learner": "sgd", "params": {"alpha": 0.5}, "sql": "x" * 9000}
    for _ in range(2):
        tracker.log_stage(
            run_id, "training", params, {"roc_auc": 0.8, "gap": None, "odd": math.nan}
        )
    data = tracker.client().get_run(run_id).data
    assert data.params["training.learner"] == "sgd"
    assert data.params["training.params.alpha"] == "0.5"
    assert len(data.params["training.sql"]) == 6000
    assert data.metrics["training/roc_auc"] == 0.8
    assert set(data.metrics) == {"training/roc_auc", "training/odd"}
    assert len(tracker.client().get_metric_history(run_id, "training/roc_auc")) == 1


def test_more_figures_than_one_request_takes(place):
    """2,500 figures and 250 settings arrive."""
    tracker = place.tracker()
    run_id = tracker.open_run("key", "run", {})
    tracker.log_stage(
        run_id,
        "wide",
        {f"p{n}": n for n in range(250)},
        {f"m{n}": n for n in range(2500)},
    )
    data = tracker.client().get_run(run_id).data
    assert (len(data.params), len(data.metrics)) == (250, 2500)


def test_the_run_names_its_dataset_version(place):
    """The input is of type dvc, its digest the version; logging it twice leaves one."""
    tracker = place.tracker()
    run_id = tracker.open_run("key", "run", {})
    schema = TableSchema(
        columns=(
            Column("fare", ColumnType.NUMERIC, Purpose.FEATURE, "float32", (1.0,)),
            Column("late", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary"),
        ),
        task=Task.BINARY,
    )
    version = "0123456789abcdef0123456789abcdef.dir"
    for _ in range(2):
        tracker.log_dataset(
            run_id, name="rides", version=version, source="data/shards", rows=99, schema=schema
        )
    run = tracker.client().get_run(run_id)
    (found,) = run.inputs.dataset_inputs
    assert (found.dataset.digest, found.dataset.source_type) == (version, "dvc")
    assert json.loads(found.dataset.source) == {"path": "data/shards", "md5": version}
    assert json.loads(found.dataset.profile)["num_rows"] == 99
    assert run.data.tags["tidemill.dataset_version"] == version


def test_artifacts_lie_in_the_workspace(place):
    """Files and folders go to mlartifacts beside the store, whatever the folder's name."""
    tracker = place.tracker()
    run_id = tracker.open_run("key", "run", {})
    report = place.root / "reports"
    (report / "deep").mkdir(parents=True)
    (report / "a.json").write_text("1")
    (report / "deep" / "b.json").write_text("2")
    tracker.log_artifacts(run_id, report, "reports")
    tracker.log_artifacts(run_id, [report / "a.json"], "alone")
    below = place.root / "mlartifacts"
    assert {path.name for path in below.rglob("*.json")} == {"a.json", "b.json"}
    (found,) = tracker.client().list_artifacts(run_id, "reports/deep")
    assert found.path == "reports/deep/b.json"


def test_a_finished_run_stays_finished(place):
    """Finishing twice keeps the first end."""
    tracker = place.tracker()
    run_id = tracker.open_run("key", "run", {})
    tracker.finish(run_id)
    end = tracker.client().get_run(run_id).info.end_time
    tracker.finish(run_id)
    assert tracker.client().get_run(run_id).info.end_time == end


def test_a_deleted_experiment_is_named(place):
    """An experiment in the bin is an error that says so."""
    tracker = place.tracker()
    tracker.client().delete_experiment(tracker.experiment_id())
    with pytest.raises(ConfigError, match="'rides' was deleted") as caught:
        place.tracker().open_run("key", "run", {})
    assert "restore" in caught.value.remedy


def test_nothing_is_opened_before_the_first_use(tmp_path):
    """Making a tracker touches neither the disk nor MLflow."""
    tracker = Tracker(f"sqlite:///{tmp_path / 'mlflow.db'}", "rides")
    assert list(tmp_path.iterdir()) == []
    assert tracker.run_url("abc") is None


def test_pages_are_where_up_serves_them(place, tmp_path, monkeypatch):
    """Of a run and of all: at the port that `up` took, with nobody's password in an address."""
    tracker = place.tracker("rides")
    monkeypatch.setenv("TIDEMILL_MLFLOW_STORE", tracker.uri)
    monkeypatch.setenv("TIDEMILL_MLFLOW_EXPERIMENT", "other")
    run_id = tracker.open_run("key", "run", {})
    assert runs_page() == "/"
    monkeypatch.setenv("TIDEMILL_MLFLOW_EXPERIMENT", "rides")
    assert runs_page() == f"/#/experiments/{tracker.experiment_id()}/runs"

    settings = Settings(MLFLOW_TRACKING_URI=None)
    assert settings.mlflow_pages(tmp_path) == "http://127.0.0.1:5000"
    clients = tmp_path / ".tidemill" / "up" / "clients.sh"
    clients.parent.mkdir(parents=True)
    told = "export MLFLOW_TRACKING_URI='http://127.0.0.1:5999'\n"
    clients.write_text(told)
    assert settings.mlflow_pages(tmp_path) == "http://127.0.0.1:5000", "a server of somebody else"
    clients.write_text(told + "export MLFLOW_TRACKING_PASSWORD='x'\n")
    served = Tracker(tracker.uri, "rides", served_at=settings.mlflow_pages(tmp_path))
    page = f"http://127.0.0.1:5999/#/experiments/{tracker.experiment_id()}/runs/{run_id}"
    assert served.run_page(run_id) == f"{page} (while `tidemill up` runs)"

    remote = Tracker("https://me:secret@mlflow.example/", "rides")
    remote._client, remote._experiment_id = tracker.client(), "7"
    assert remote.run_page("abc") == "https://mlflow.example/#/experiments/7/runs/abc"


def test_preparing_in_a_thread(place):
    """A tracker that is prepared in a thread serves the main thread, with one experiment."""
    tracker = place.tracker("prepared")
    thread = threading.Thread(target=tracker.prepare)
    thread.start()
    run_id = tracker.open_run("key", "run", {})
    thread.join()
    assert tracker.client().get_run(run_id).info.experiment_id == tracker.experiment_id()
