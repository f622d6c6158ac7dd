"""What a run must not do: promote what cannot be compared, report what it did not make."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tidemill.config import load_params, read_params, set_params
from tidemill.drafting import init_workspace
from tidemill.engines import LocalEngine
from tidemill.errors import ConfigError, DataRefused
from tidemill.pipeline.source import source_deps
from tidemill.samples import write_sample
from tidemill.schema import Role
from tidemill.settings import Settings
from tidemill.stages import StageContext
from tidemill.stages.shard_figures import measure_baseline
from tidemill.storage import ShardManifest, Workspace, read_json
from tidemill.testing.workspaces import run_here
from tidemill.tracking import Tracker


@pytest.fixture
def finished_copy(finished: Path, copy: Callable[..., Path]) -> Path:
    """A workspace after one whole run, to be changed."""
    return copy(finished)


def run(root: Path, *assignments: str, until: str | None = None):
    """Set what is to be set, run the pipeline in this process, return its facts."""
    params = root / "params.yaml"
    params.write_text(set_params(params.read_text(), list(assignments)))
    return run_here(root, until=until).facts


def statuses(root: Path) -> dict[str, str]:
    """Status of every MLflow run that is no trial, by name."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiments = [e.experiment_id for e in client.search_experiments()]
    found = client.search_runs(experiments)
    return {
        r.info.run_name: r.info.status for r in found if "mlflow.parentRunId" not in r.data.tags
    }


@pytest.mark.slow
def test_a_champion_of_another_question_is_not_beaten(finished_copy):
    """With the classes turned round, the mirrored champion looks bad and still stays."""
    classes = read_json(finished_copy / "data/validated/manifest.json")["schema"]["classes"]
    facts = run(finished_copy, f"dataset.positive='{classes[0]}'")
    assert facts["promoted"] is False
    assert "answers another question" in facts["promotion_reason"]


def test_a_partial_run_reports_its_own_stages_only(finished_copy):
    """`until` leaves out the figures of later stages, which belong to other settings."""
    facts = run(finished_copy, "seed=5", until="shard")
    assert "rows_valid" in facts
    assert not {"learner", "challenger", "promoted", "version"} & set(facts)


def test_no_run_stays_running(finished_copy):
    """A run that stops after tuning leaves no MLflow run RUNNING."""
    run(finished_copy, "tuning.trials=1", until="tune")
    found = statuses(finished_copy)
    assert len(found) >= 2
    assert set(found.values()) == {"FINISHED"}


@pytest.mark.slow
def test_without_validation_rows_a_run_ends_with_a_model(finished_copy):
    """validation: 0 is no error; a search without validation rows is one that says so."""
    with pytest.raises(ConfigError, match="needs validation rows"):
        run(finished_copy, "sharding.holdout.validation=0", "tuning.trials=2")
    facts = run(finished_copy, "tuning.trials=0")
    assert facts["version"] >= 1
    metrics = read_json(finished_copy / "reports/metrics.json")
    assert set(metrics["validation"].values()) == {None}
    assert metrics["gap"] == 0.0


def test_profiles_are_compared_with_their_hash(finished_copy):
    """A changed profile is refused before it becomes a baseline or a reference."""
    manifest = ShardManifest.read(finished_copy / "data/shards")
    assert manifest.of(Role.TRAIN)
    for entry in manifest.of(Role.TRAIN):
        path = finished_copy / "data/shards" / entry.profile
        path.write_text(path.read_text() + "\n")
    context = StageContext(
        workspace=Workspace.at(finished_copy),
        settings=Settings(workers=1, MLFLOW_TRACKING_URI=None),
        engine=LocalEngine(1),
        tracker=Tracker("sqlite:///unused.db", "unused"),
    )
    with pytest.raises(DataRefused, match="not what its manifest recorded"):
        measure_baseline(context, manifest)


@pytest.mark.parametrize(
    ("source", "deps"),
    [
        ("data/raw", ("data/raw",)),
        ("data/raw/*.csv", ("data/raw",)),
        ("*.csv", ("a.csv", "b.csv")),
        ("../outside/*.csv", ("OUTSIDE/c.csv",)),
        ("../outside", ("../outside",)),
        ("..", None),
    ],
)
def test_deps_of_the_source(tmp_path, source, deps):
    """DVC follows the folder of a glob inside the workspace, and elsewhere the files named."""
    root = tmp_path / "ws"
    for name in ("ws/data/raw/x.csv", "ws/a.csv", "ws/b.csv", "outside/c.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a,y\n1,2\n")
    dataset = read_params(f"dataset: {{source: '{source}', target: y}}").dataset
    found = source_deps(dataset, root)
    if deps is None:  # the folder holds the workspace: its files, never the folder
        assert ".." not in found
        assert found
    else:
        outside = (tmp_path / "outside").as_posix()
        assert found == tuple(dep.replace("OUTSIDE", outside) for dep in deps)


def test_score_never_overwrites_its_input(finished_copy, cli):
    """--output that is a file of the input, or a folder, is refused before anything is read."""
    table = sorted((finished_copy / "data" / "raw").glob("*.csv"))[0]
    before = table.read_bytes()
    for output in (table, finished_copy):
        said = cli(*("score", "--json", "-w", finished_copy, "--input", table, "--output", output))
        assert said.code == 2
        assert said.document["error"] == "UsageError"
        assert str(output) in said.document["message"]
    assert table.read_bytes() == before


def test_a_date_without_quotes_is_a_time():
    """YAML turns 2024-01-14 into a date; the hold-out takes it as the time that it is."""
    params = read_params(
        "dataset: {source: a, target: y, time: t}\n"
        "sharding: {holdout: {by: time, test: 2024-01-14, test_end: 2024-02-01}}"
    )
    assert params.sharding.holdout.test == "2024-01-14"
    assert params.sharding.holdout.test_end == "2024-02-01"


@pytest.mark.parametrize("role", ["target", "time", "key"])
def test_what_is_needed_cannot_be_dropped(role):
    """dataset.drop may not hold the target, the time or the key; the message names the setting."""
    names = {"target": "y", "time": "t", "key": "k"}
    with pytest.raises(ConfigError) as caught:
        read_params("dataset: {source: a, target: y, time: t, key: k, drop: [" + names[role] + "]}")
    assert list(caught.value.fields["problems"]) == ["dataset.drop"]
    assert f"dataset.{role}" in caught.value.message


@pytest.mark.parametrize(("target", "by"), [("fare_total", "hash"), ("cancelled", "stratified")])
def test_init_chooses_a_holdout_that_the_task_allows(tmp_path, target, by):
    """Without a time column: by hash for numbers, stratified for classes."""
    write_sample(tmp_path / "raw", rows=600, months=1, seed=3)
    place = Workspace.at(tmp_path / "ws")
    init_workspace(
        place,
        source=str(tmp_path / "raw"),
        target=target,
        time=None,
        key=None,
        assignments=[],
        engine=LocalEngine(1),
    )
    assert load_params(place.root).sharding.holdout.by == by
