"""The retraining as it is stated: what each step reads and leaves, and when it stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tidemill.engines import LocalEngine
from tidemill.errors import StorageFailed
from tidemill.pipeline import STAGES, Quiet
from tidemill.retraining import STEPS
from tidemill.testing.shipping import ShippingEngine
from tidemill.testing.workspaces import copy_workspace

#: What Prefect, DVC and MLflow keep for themselves.
KEPT = (
    "mlflow.db",
    "mlruns",
    ".dvc",
    "dvc.lock",
    "dvc.yaml",
    "data/.gitignore",
    ".tidemill/dvc.lock.last",
    ".tidemill/sharded.json",
)


def placed(path):
    """A stated path, in the retraining d1."""
    return path.replace("DECISION", "d1")


def inside(path, places):
    """Whether a path is one of the places, or below one."""
    return any(path == place or path.startswith(f"{place}/") for place in places)


def files_of(root: Path):
    """Size and time of every file."""
    found = ((p, p.stat()) for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): (s.st_size, s.st_mtime_ns, s.st_ino) for p, s in found}


class Watching(Quiet):
    """Notes what changes in each step."""

    def __init__(self, root):
        self.root, self.changed, self.states, self.engine = root, {}, {}, None

    def stage_started(self, stage):
        """What there is before it."""
        self.before = files_of(self.root)

    def stage_finished(self, run):
        """What is new or other after it."""
        self.states[run.stage] = run.state
        if run.state == "ran":
            after = files_of(self.root)
            new = {path for path, found in after.items() if self.before.get(path) != found}
            self.changed[run.stage] = new


@pytest.fixture(scope="module")
def stopped(finished, live, again, tmp_path_factory):
    """A workspace whose retraining got as far as its promotion, and what each step changed."""
    root = copy_workspace(finished, tmp_path_factory.mktemp("graph") / "ws")
    table, watching = live(root, 600), Watching(root)

    def execute(name, call):
        if name == "promote":
            raise StorageFailed("the disk is full", remedy="make room")
        return call()

    with LocalEngine(1) as inner:
        watching.engine = ShippingEngine(inner)
        with pytest.raises(StorageFailed):
            again(root, table, execute=execute, observer=watching, engine=watching.engine)
    return root, table, watching


def test_every_step_reads_what_a_stage_or_a_step_before_it_leaves():
    """The graph is closed: no step reads what comes from nowhere."""
    made = {out.path for stage in STAGES for out in stage.outs} | {"data/live"}
    for step in STEPS:
        missing = [dep for dep in step.deps if not inside(dep, made) and dep not in _folders(made)]
        assert missing == [], step.name
        made |= {out.path for out in step.outs}


def _folders(made):
    return {str(parent) for path in made for parent in Path(path).parents}


@pytest.mark.parametrize("step", [s for s in STEPS if "again" not in s.name], ids=lambda s: s.name)
def test_a_step_leaves_what_it_states_and_nothing_else(step, stopped):
    """Also in data/ and below the receipts."""
    changed = stopped[2].changed.get(step.name, set())
    stated = [*KEPT, *(placed(out.path) for out in step.outs)]
    assert [path for path in sorted(changed) if not inside(path, stated)] == []
    left = [out.path for out in step.outs if "/lesson-1/" not in out.path]
    if step.name != "promote":
        assert [p for p in left if not (stopped[0] / placed(p)).exists()] == []


def test_workers_get_addresses(stopped):
    """The one path that a step ships is the root below which the source of its rows lies."""
    root, _, watching = stopped
    shipped = watching.engine.paths
    others = {label for label, paths in shipped.items() if paths - {str(root)}}
    assert others == set()
    rooted = {label for label, paths in shipped.items() if str(root) in paths}
    assert rooted == {"hash the source", "ingest", "verify source"}
    assert len(shipped) > 8, sorted(shipped)


def test_what_stands_is_current_and_is_not_run_again(stopped, tmp_path, again):
    """The same again runs what had not ended; the outcome is that of one that nothing stopped."""
    root = copy_workspace(stopped[0], tmp_path / "ws")
    watching = Watching(root)
    outcome = again(root, None, observer=watching)
    assert watching.states == {
        "gather": "current",
        "append": "ran",
        "teach": "current",
        "compare": "current",
        "refit": "current",
        "promote": "ran",
    }
    assert [p for p in watching.changed["append"] if not inside(p, KEPT)] == []
    undisturbed = again(copy_workspace(stopped[0], tmp_path / "other"), stopped[1]).facts
    assert {**outcome.facts, "run_id": ""} == {**undisturbed, "run_id": ""}


@pytest.mark.parametrize("name", [pytest.param("taken_in.json", marks=pytest.mark.slow), None])
def test_validated_rows_that_are_damaged_are_validated_again(stopped, tmp_path, again, name):
    """Their note, or a row that judges: to the same bytes, and the step says so."""
    root = copy_workspace(stopped[0], tmp_path / "ws")
    folder, watching = root / ".tidemill" / "retrain" / "d1", Watching(root)
    (proof,) = json.loads((folder / "validated" / "taken_in.json").read_text())["proof"]
    path = folder / "validated" / (name or proof["path"])
    whole = path.read_bytes()
    path.unlink()  # it may be a link
    path.write_bytes(whole.replace(whole[-9:], bytes(9)))
    told = []

    def execute(step, call):
        if step != "append":
            raise StorageFailed("the disk is full", remedy="make room")
        told.append(call())
        return told[-1]

    with pytest.raises(StorageFailed):
        again(root, stopped[1], execute=execute, observer=watching)
    (said,) = told[0].result.warnings
    assert said.startswith("1 sets of validated live rows in ")
    assert path.read_bytes() == whole
    assert watching.states == {
        "gather": "current",
        "append": "ran",
        "teach": "current",
        "compare": "current",
        "refit": "current",
    }


@pytest.mark.slow
def test_a_verdict_of_other_figures_does_not_stand(stopped, tmp_path, again):
    """Another figure decides: challenger and verdict are made anew, the rows stay."""
    root = copy_workspace(stopped[0], tmp_path / "ws")
    watching = Watching(root)
    again(root, stopped[1], accused=("log_loss",), observer=watching)
    assert watching.states["gather"] == "current"
    assert (watching.states["teach"], watching.states["compare"]) == ("ran", "ran")
