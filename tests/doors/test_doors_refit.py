"""Two models in a version: what is judged, and what serves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pyarrow as pa
import pytest

from tidemill.config import set_params
from tidemill.schema import Role
from tidemill.storage import ShardManifest, Workspace, read_blocks, read_json
from tidemill.testing.workspaces import run_here
from tidemill.tracking import (
    LoadedModel,
    Tracker,
    fetch_reference,
    load_champion,
    open_candidate,
)


def champion_of(root: Path) -> LoadedModel:
    """The champion of a workspace, by its own store."""
    return load_champion(f"sqlite:///{root / 'mlflow.db'}", "rides")


def change(root: Path, *assignments: str) -> None:
    """Write settings to params.yaml."""
    params = root / "params.yaml"
    params.write_text(set_params(params.read_text(), list(assignments)))


def some_rows(root: Path, role: Role) -> pa.Table:
    """The first shard of a role."""
    manifest = ShardManifest.read(root / "data/shards")
    path = root / "data/shards" / manifest.of(role)[0].file.path
    return pa.concat_tables(read_blocks(path)).unify_dictionaries()


def test_what_serves_has_learnt_all_rows(finished):
    """The judged model learnt the training rows, the serving one those of every role."""
    manifest = ShardManifest.read(finished / "data/shards")
    judged = read_json(finished / "models/candidate/training.json")
    serving = read_json(finished / "models/serving/refit.json")
    assert judged["rows"] == manifest.rows(Role.TRAIN)
    assert serving["rows"] == sum(manifest.rows(role) for role in Role)
    assert serving["params"] == judged["params"]
    assert serving["iterations"] == judged["iterations"]


def test_both_models_are_in_the_version_under_one_seal(finished):
    """The registry's version holds both; the judged one is the candidate's, byte by byte."""
    loaded = champion_of(finished)
    candidate = open_candidate(finished / "models/candidate/model")
    assert loaded.judged_sha256 == candidate.judged_sha256
    rows = some_rows(finished, Role.TEST)
    judged, serving = (
        model[-1].predict_proba(model[0].transform(rows))
        for model in (loaded.judged, loaded.pipeline)
    )
    own = candidate.pipeline
    assert np.array_equal(judged, own[-1].predict_proba(own[0].transform(rows)))
    assert not np.array_equal(judged, serving)
    sealed = json.loads((finished / "models/serving/model/candidate.json").read_text())
    assert {"model.skops", "judged.skops"} <= sealed["files"].keys()


def test_mlflow_loads_the_one_that_serves(finished):
    """mlflow.sklearn.load_model gives the serving model; its file is the sealed model.skops."""
    folder = finished / "models/serving/model"
    rows = some_rows(finished, Role.TEST).slice(0, 50)
    theirs = mlflow.sklearn.load_model(str(folder)).predict(rows.to_pandas())
    assert np.array_equal(theirs, champion_of(finished).pipeline.predict(rows.to_pandas()))


def test_figures_and_reference_are_of_the_judged_model(finished):
    """The held-out figure of the version is what the judged model has on test rows."""
    from tidemill.features import encode_target
    from tidemill.learning import predict_scores
    from tidemill.metrics import figures_of
    from tidemill.profiling import fold

    manifest = ShardManifest.read(finished / "data/shards")
    schema, judged = manifest.schema, champion_of(finished).judged
    parts = []
    for entry in manifest.of(Role.TEST):
        for table in read_blocks(finished / "data/shards" / entry.file.path):
            scores = predict_scores(judged[-1], judged[0].transform(table), schema.task)
            truth = encode_target(table[schema.target.name], schema)
            parts.append(figures_of(schema.task, scores, truth, classes=schema.classes))
    metrics = read_json(finished / "reports/metrics.json")
    assert metrics["test"]["roc_auc"] == pytest.approx(fold(parts).values()["roc_auc"])


def context_of(root: Path):
    """What stages are given, in process."""
    from tidemill.engines import LocalEngine
    from tidemill.settings import Settings
    from tidemill.stages import StageContext

    settings, tracker = Settings(MLFLOW_TRACKING_URI=None), Tracker("sqlite:///unused.db", "unused")
    return StageContext(Workspace.at(root), settings, LocalEngine(1), tracker)


def test_a_model_that_does_not_know_its_rows_by_heart_costs_no_twins(finished):
    """Training rows tell how far the serving model lies from the judged one."""
    from tidemill.stages.refit import unseen_of

    noted = read_json(finished / "models/serving/refit.json")
    assert (noted["twins"], noted["unseen"]) == (0, None)
    assert unseen_of(finished / "models/serving") is None


def test_the_gap_to_what_serves_is_told_by_rows_that_neither_knew(finished, tmp_path, monkeypatch):
    """Twins speak of all held-out rows, and not as the model does that has learnt them.

    What they tell is the least that the reference widens its thresholds by.
    """
    from tidemill.config import load_params
    from tidemill.drift import output_gap, output_schema, outputs_of
    from tidemill.learning import predict_scores
    from tidemill.profiling import Profile, fold
    from tidemill.stages import unseen as twins_of
    from tidemill.stages.reference import make_reference
    from tidemill.stages.refit import run_refit, unseen_of

    root = shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    monkeypatch.setattr(twins_of, "BY_HEART", 1.0)
    params, workspace, context = load_params(root), Workspace.at(root), context_of(root)
    told = run_refit(
        context, training=params.training, reduction=params.reduction, seed=params.seed
    )
    assert told.facts["twins"] == 2
    unseen = unseen_of(workspace.serving)
    manifest = ShardManifest.read(workspace.shards)
    held_out = (*manifest.of(Role.VALIDATION), *manifest.of(Role.TEST))
    assert unseen.rows == sum(entry.file.rows for entry in held_out)
    serving, schema = open_candidate(workspace.serving / "model").pipeline, manifest.schema
    known = []
    for entry in held_out:
        for table in read_blocks(workspace.shards / entry.file.path):
            scores = predict_scores(serving[-1], serving[0].transform(table), schema.task)
            known.append(Profile.of(outputs_of(schema, scores), output_schema(schema)))
    assert fold(known).to_json() != unseen.to_json()
    judged = open_candidate(workspace.candidate / "model").pipeline
    asked = {"metric": "roc_auc", "serving": serving, "unseen": unseen}
    reference = make_reference(context, manifest, judged, **asked)
    twins = output_gap(reference.merged_outputs(), unseen)
    assert twins["score"]["jensen_shannon"] > 0
    for name, tests in twins.items():
        assert all(reference.gap[name][test] >= value for test, value in tests.items())


@pytest.mark.parametrize(
    ("task", "scores", "y", "left"),
    [
        ("binary", [0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1], 1.0),
        ("binary", [0.001, 0.999, 0.001, 0.999], [0, 1, 0, 1], 0.0),
        ("binary", [0.3, 0.3], [0, 0], 0.0),
        ("multiclass", [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]], [0, 1, 2], 0.1),
        ("regression", [1.0, 2.0, 3.0], [1.1, 2.0, 2.9], 0.01),
        ("regression", [2.0, 2.0, 2.0], [1.0, 2.0, 3.0], 1.0),
        ("regression", [2.0, 2.0], [2.0, 2.0], 0.0),
    ],
)
def test_what_is_left_of_the_loss_tells_who_knows_rows_by_heart(task, scores, y, left):
    """As a share of what a dummy loses, whatever the task; nothing where that loses nothing."""
    from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
    from tidemill.stages.unseen import loss_left

    numeric = task == "regression"
    kind = ColumnType.NUMERIC if numeric else ColumnType.CATEGORICAL
    target = Column("y", kind, Purpose.TARGET, "float64", (0.5,) if numeric else ())
    classes = {"binary": ("a", "b"), "multiclass": ("a", "b", "c"), "regression": ()}[task]
    schema = TableSchema((target,), Task(task), classes)
    found = loss_left(schema, np.array(scores), np.array(y))
    assert found == pytest.approx(left, abs=0.02)


class Knows:
    """Says 1 of a row that it has learnt, else 0."""

    def __init__(self, blocks):
        self.known = {float(x) for X, _ in blocks for x in X[:, 0]}

    def predict(self, X):
        return np.array([float(float(x) in self.known) for x in X[:, 0]])


class Mean:
    """Knows no row: says 0 of all."""

    def predict(self, X):
        return np.zeros(len(X))


@pytest.mark.parametrize("sizes", [(5, 4), (1, 8), (9,), (1, 1)])
def test_a_twin_is_asked_of_rows_that_it_has_not_learnt_and_of_all_of_them(tmp_path, sizes):
    """Whatever the blocks, each held-out row is asked of once, of a twin that left it out."""
    from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
    from tidemill.stages.blocks import ReducedBlocks
    from tidemill.stages.unseen import unseen_outputs
    from tidemill.storage import StoreFolder

    target = Column("y", ColumnType.NUMERIC, Purpose.TARGET, "float64", (0.5,))
    rows, held = 6, sum(sizes)
    np.arange(rows, dtype=np.float32).tofile(tmp_path / "a.x")
    np.arange(rows, rows + held, dtype=np.float32).tofile(tmp_path / "b.x")
    np.ones(rows).tofile(tmp_path / "a.y")
    np.zeros(held).tofile(tmp_path / "b.y")
    starts = np.cumsum((0, *sizes[:-1])).tolist()
    place = StoreFolder.at(tmp_path)
    known = ReducedBlocks(place, ("x",), (("a", 0, rows),), "float64")
    held_out = ReducedBlocks(
        place, ("x",), tuple(("b", s, n) for s, n in zip(starts, sizes, strict=True)), "float64"
    )
    schema = TableSchema((target,), Task.REGRESSION)
    both = replace(known, blocks=(*known.blocks, *held_out.blocks))
    found = unseen_outputs(Knows(both), known, held_out, schema, Knows)
    assert found.columns["prediction"].counts.tolist() == [held, 0]
    asked = unseen_outputs(Knows(both), known, known, schema, Knows)
    assert asked.columns["prediction"].counts.tolist() == [0, rows]
    one = replace(held_out, blocks=(("b", 0, 1),))
    assert unseen_outputs(Knows(both), known, one, schema, Knows) is None
    np.arange(rows, dtype=np.float64).tofile(tmp_path / "a.y")
    assert unseen_outputs(Mean(), known, held_out, schema, Knows) is None


def test_a_model_refitted_by_an_earlier_tidemill_has_no_twins(finished, tmp_path):
    """Nothing is known of its outputs on unseen rows: the gap is that on training rows."""
    from tidemill.stages.refit import unseen_of

    told = read_json(finished / "models/serving/refit.json")
    del told["unseen"], told["twins"], told["sha256"]
    (tmp_path / "refit.json").write_text(json.dumps(told))
    assert unseen_of(tmp_path) is None
    assert unseen_of(tmp_path / "none") is None


def test_the_seconds_of_the_refit_are_told(finished):
    """Summary and MLflow's run name what the refit took."""
    summary = read_json(finished / "reports/summary.json")
    stage = next(s for s in summary["stages"] if s["stage"] == "refit")
    assert stage["state"] == "ran"
    assert stage["seconds"] > 0
    tracker = Tracker(f"sqlite:///{finished / 'mlflow.db'}", "rides")
    metrics = tracker.client().get_run(champion_of(finished).run_id).data.metrics
    assert 0 < metrics["refit/seconds"] <= stage["seconds"]
    assert metrics["refit/rows"] == summary["rows_serving"]


@pytest.mark.slow
def test_without_a_refit_one_model_does_both(finished, copy: Callable[..., Path], ran):
    """refit: none registers the candidate itself; back again, what serves is promoted anew."""
    root = copy(finished)
    change(root, "training.refit=none")
    summary = run_here(root)
    assert ran(summary)[-2:] == ["refit", "register"]
    loaded = champion_of(root)
    assert loaded.pipeline is loaded.judged
    sealed = open_candidate(root / "models/candidate/model")
    assert (loaded.version, loaded.digest) == (2, sealed.digest)
    assert summary.facts["promotion_reason"].startswith("the same model was judged")
    change(root, "training.refit=full")
    assert run_here(root).facts["version"] == 1
    assert champion_of(root).version == 1
    for version in (1, 2):  # each kept a reference of its own
        fetch_reference(f"sqlite:///{root / 'mlflow.db'}", "rides", version, root / "reference")


@pytest.mark.slow
def test_where_all_rows_need_too_much_memory_the_judged_model_serves(
    finished, copy: Callable[..., Path], monkeypatch
):
    """A refit over the budget is said, and the judged model serves; the run does not fail."""
    from tidemill.errors import BudgetExceeded
    from tidemill.stages import refit

    root = copy(finished)

    def over_budget(*_: object, **__: object) -> None:
        raise BudgetExceeded("needs about 90 MB; 64 allowed", remedy="raise it")

    monkeypatch.setattr(refit, "fit", over_budget)
    change(root, "training.params.learning_rate=0.2")
    summary = run_here(root)
    stage = next(run for run in summary.stages if run.stage == "refit")
    assert "needs about 90 MB" in stage.result.warnings[0]
    assert read_json(root / "models/serving/refit.json")["why"].startswith("not refitted")
    sealed = open_candidate(Workspace.at(root).serving / "model")
    assert sealed.judged is sealed.pipeline
