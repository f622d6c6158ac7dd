"""What register attaches for the monitor: blocks, outputs, figures and the quality model."""

import json

import pytest

from tidemill.engines import LocalEngine
from tidemill.profiling import fold
from tidemill.schema import Role
from tidemill.settings import Settings
from tidemill.stages import StageContext
from tidemill.stages.reference import make_reference
from tidemill.stages.refit import unseen_of
from tidemill.storage import ShardManifest, Workspace, read_json
from tidemill.testing.workspaces import run_here, small_workspace
from tidemill.tracking import (
    Tracker,
    fetch_reference,
    load_reference,
    open_candidate,
)


class Folding(LocalEngine):
    """Gives no lists of partials: what is made with it does not grow with the shards."""

    def map(self, function, items, *, label, progress=None):
        pytest.fail(f"{label} is a list, a partial a shard")


def made_again(root):
    """The reference of the candidate in ``root``, made once more, by another number of workers."""
    workspace = Workspace.at(root)
    with Folding(2) as engine:
        context = StageContext(
            workspace=workspace,
            settings=Settings(workers=2, MLFLOW_TRACKING_URI=None),
            engine=engine,
            tracker=Tracker("sqlite:///unused.db", "unused"),
        )
        manifest = ShardManifest.read(workspace.shards)
        pipeline = open_candidate(workspace.candidate / "model").pipeline
        refitted = workspace.serving / "model"
        serving = open_candidate(refitted).pipeline if refitted.exists() else None
        twins = {"serving": serving, "unseen": unseen_of(workspace.serving)}
        made = make_reference(context, manifest, pipeline, metric="roc_auc", **twins)
        return made, manifest


@pytest.fixture(scope="module")
def again(finished):
    """That of the session's workspace, and the shards."""
    return made_again(finished)


def test_the_registered_version_has_its_reference(finished, again, tmp_path):
    """Fetched and checked it is what the candidate learnt from, and how it did when held out."""
    record = read_json(finished / ".tidemill" / "registered.json")
    folder = fetch_reference(
        record["tracking_uri"], record["model"], record["version"], tmp_path / "reference"
    )
    reference = load_reference(folder)
    made, manifest = again
    told = [json.dumps(r.to_json(), sort_keys=True) for r in (reference, made)]
    assert told[0] == told[1]
    assert reference.merged().rows == manifest.rows(Role.TRAIN)
    held_out = manifest.rows(Role.VALIDATION) + manifest.rows(Role.TEST)
    assert reference.merged_outputs().rows == reference.quality.rows == held_out
    assert reference.time_ordered
    assert 1 < len(reference.outputs) <= 64
    assert 32 < len(reference.blocks) <= 64


def test_its_figures_are_those_of_the_evaluation(finished, again):
    """On validation and test rows together, between the two that evaluate wrote."""
    reference, _ = again
    metrics = read_json(finished / "reports" / "metrics.json")
    for name in ("accuracy", "brier", "log_loss"):
        ends = sorted(metrics[part][name] for part in ("validation", "test"))
        assert ends[0] <= reference.figures[name] <= ends[1]
    estimate = reference.quality.estimate(reference.merged_outputs(), "roc_auc")
    assert estimate.value == pytest.approx(reference.figures["roc_auc"])


@pytest.mark.slow
def test_without_a_time_column_blocks_follow_the_shards(tmp_path):
    """Neighbouring blocks, all rows once, and no claim of time order."""
    settings = ["dataset.time=null", "sharding.holdout={by: hash}", "ingestion.batch_rows=256"]
    root = small_workspace(tmp_path, rows=2000, months=1, settings=settings)
    run_here(root, until="train")
    reference, manifest = made_again(root)
    assert not reference.time_ordered
    assert fold(reference.blocks).rows == manifest.rows(Role.TRAIN)
    assert reference.quality.rows == manifest.rows(Role.TEST) + manifest.rows(Role.VALIDATION)
    assert len(reference.outputs) > 1
