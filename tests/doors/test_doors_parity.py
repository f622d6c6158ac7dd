"""Two doors, one state: ``tidemill run`` and ``dvc repro`` leave the same bytes.

`make test` goes through ``dvc repro`` up to the reducer; tune, train, evaluate, refit and register
are seconds each there, and `make test-all`'s.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tidemill.config import Params, load_params, read_params, set_params
from tidemill.engines import LocalEngine
from tidemill.pipeline import STAGES, Quiet, context_for, run_stage
from tidemill.pipeline.graph import stage_specs
from tidemill.settings import Settings
from tidemill.stages import StageResult
from tidemill.storage import Workspace, hash_file
from tidemill.testing.workspaces import copy_workspace, output_hashes, run_here
from tidemill.versioning import Versions, check_dvc_yaml, dvc_document, read_lock

ALL = [stage.name for stage in STAGES]
HALF = ["look", "ingest", "shard", "reduce"]
CLEAN = "Data and pipelines are up to date."
# A setting, and the stages that must run after it was changed. A stage whose inputs come out
# the same stays current, so the set may end early.
CHANGES = {
    "evaluation.max_gap=0.77": ["evaluate", "register"],
    "registration.min_improvement=0.25": ["register"],
    "training.refit=none": ["tune", "train", "refit", "register"],
    "tuning.workers=2": ["tune"],
    "ingestion.batch_rows=900": ["ingest"],
    "ingestion.max_invalid_fraction=0.3": ["ingest", "register"],
    "training.params.num_iterations=9": ["tune", "train", "evaluate", "refit", "register"],
    "reduction.min_frequency=0.2": ["reduce", "tune", "train", "evaluate", "refit", "register"],
    "sharding.holdout.test=0.3": [
        "shard",
        "reduce",
        "tune",
        "train",
        "evaluate",
        "refit",
        "register",
    ],
    "dataset.look_rows=40000": ["look", "ingest", "register"],  # all rows are looked at anyway
}
QUICK = "tuning.workers=2"


def setting(root: Path, assignment: str) -> None:
    """Write a setting as ``--set`` does."""
    path = root / "params.yaml"
    path.write_text(set_params(path.read_text(), [assignment]))


def forget(root: Path, *outs: str) -> None:
    """Take outputs out of DVC's cache, so that it cannot simply check them out again."""
    lock = YAML(typ="safe").load(root / "dvc.lock")
    for stage in lock["stages"].values():
        for out in stage.get("outs", []):
            if out["path"] in outs:
                md5 = out["md5"]
                (root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink(missing_ok=True)


def dvc_ran(output: str) -> list[str]:
    """The stages that ``dvc repro`` says it ran."""
    return [line.split("'")[1] for line in output.splitlines() if "Running stage" in line]


@pytest.fixture(scope="session")
def reproduced(blank, shell, tmp_path_factory) -> Path:
    """A copy of the session's workspace that only ``dvc repro`` has run, without git."""
    root = copy_workspace(blank, tmp_path_factory.mktemp("doors") / "reproduced")
    assert dvc_ran(shell(root, "dvc", "repro")) == ALL
    return root


@pytest.fixture(scope="session")
def half_reproduced(blank, shell, tmp_path_factory) -> Path:
    """The same up to the reducer."""
    root = copy_workspace(blank, tmp_path_factory.mktemp("doors") / "half")
    assert dvc_ran(shell(root, "dvc", "repro", HALF[-1])) == HALF
    return root


def test_dvc_status_is_clean_after_a_run(finished, copy, shell):
    """After tidemill run, dvc status has nothing to say and dvc repro nothing to do."""
    assert CLEAN in shell(copy(finished), "dvc", "status")


def test_half_of_both_doors_is_the_same(half_reproduced, finished, copy, ran):
    """Up to the reducer the bytes are those of tidemill run, which finds the stages current."""
    made = output_hashes(half_reproduced, *HALF)
    assert made == output_hashes(finished, *HALF)
    assert len(made) > 10
    recorded = read_lock(half_reproduced)
    assert recorded == {stage: read_lock(finished)[stage] for stage in HALF}
    assert ran(run_here(copy(half_reproduced), until=HALF[-1])) == []


@pytest.mark.slow
def test_every_stage_is_current_after_dvc_repro(reproduced, copy, ran):
    """After dvc repro, tidemill run finds every stage current."""
    root = copy(reproduced)
    assert ran(run_here(root)) == []


@pytest.mark.slow
def test_both_doors_leave_the_same_bytes(reproduced, finished):
    """Every file of every stage has one hash, whichever door made it, with git and without."""
    assert (finished / ".git").is_dir()
    assert not (reproduced / ".git").exists()
    assert output_hashes(reproduced) == output_hashes(finished)
    assert (reproduced / "dvc.lock").read_text() == (finished / "dvc.lock").read_text()


@pytest.mark.slow
def test_tidemill_run_mends_what_dvc_made(reproduced, copy, ran):
    """An output of each stage is lost; tidemill run makes just those stages' bytes again."""
    root = copy(reproduced)
    expected = output_hashes(root)
    for stage in STAGES:
        for out in stage.outs:
            place = root / out.path
            victim = sorted(place.rglob("*.*"))[0] if place.is_dir() else place
            victim.unlink()
    shutil.rmtree(root / ".dvc" / "cache")
    assert ran(run_here(root)) == ALL[:-1]
    assert output_hashes(root) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "lost", "assignment"),
    [
        ("look", "data/schema.json", QUICK),
        ("train", "models/candidate/training.json", "registration.min_improvement=0.25"),
    ],
)
def test_dvc_repro_mends_what_tidemill_run_made(
    stage, lost, assignment, finished, copy, shell, ran
):
    """A lost output comes back from dvc repro, byte by byte, not from its cache.

    A changed setting runs what tidemill run would, in the same repro, and both agree on it.
    """
    root = copy(finished)
    expected = output_hashes(root)
    forget(root, *(out.path for out in next(s for s in STAGES if s.name == stage).outs))
    (root / lost).unlink()
    setting(root, assignment)
    assert dvc_ran(shell(root, "dvc", "repro")) == [stage, *CHANGES[assignment]]
    assert output_hashes(root) == expected
    assert CLEAN in shell(root, "dvc", "status")
    assert ran(run_here(root)) == []


@pytest.mark.slow
@pytest.mark.parametrize("stage", ALL[:-1])
def test_each_lost_output_comes_back_through_dvc(stage, finished, copy, shell):
    """Each stage's outputs, lost one stage at a time, are made again by dvc repro, the same.

    The programs are the installed ones, which start the stages as a person's shell does.
    """
    root = copy(finished)
    expected = output_hashes(root)
    for out in next(s for s in STAGES if s.name == stage).outs:
        forget(root, out.path)
        place = root / out.path
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    assert dvc_ran(shell(root, Path(sys.executable).parent / "dvc", "repro")) == [stage]
    assert output_hashes(root) == expected


@pytest.mark.parametrize(
    "assignment", [QUICK, pytest.param("evaluation.max_gap=0.77", marks=pytest.mark.slow)]
)
def test_a_changed_section_reruns_only_what_depends_on_it(assignment, finished, copy, ran):
    """The stages that tidemill run runs are those that the changed setting reaches."""
    root = copy(finished)
    setting(root, assignment)
    assert ran(run_here(root)) == CHANGES[assignment]
    assert ran(run_here(root)) == []


@pytest.mark.slow
@pytest.mark.parametrize("assignment", CHANGES)
def test_each_changed_section_through_dvc(assignment, finished, copy, shell, ran):
    """dvc repro after each setting runs what tidemill run does, and leaves the same bytes."""
    root, other = copy(finished), copy(finished, "other")
    setting(root, assignment)
    setting(other, assignment)
    assert dvc_ran(shell(root, "dvc", "repro")) == CHANGES[assignment]
    assert ran(run_here(other)) == CHANGES[assignment]
    assert output_hashes(root) == output_hashes(other)
    assert ran(run_here(root)) == []


def test_new_data_are_noticed_by_both_doors(finished, copy, shell, ran):
    """A new file in the source is a change for DVC, and tidemill run scans it."""
    root = copy(finished)
    lines = (root / "data/raw/rides-2024-01.csv").read_text().splitlines()
    fresh = lines[1].replace("2024-01-", "2024-04-", 3).split(",")
    fresh[0] = "1999999999"
    (root / "data/raw/rides-2024-04.csv").write_text(f"{lines[0]}\n{','.join(fresh)}\n")
    status = json.loads(shell(root, "dvc", "status", "--json"))
    assert {"look", "ingest"} <= status.keys()
    summary = run_here(root, until="ingest")
    assert ran(summary) == ["look", "ingest"]
    assert summary.facts["rows_read"] == 6001


@pytest.mark.slow
def test_set_keeps_comments_and_is_what_dvc_recorded(finished, copy, cli, shell):
    """--set changes one value of params.yaml, no comment; dvc.lock then tells that value."""
    root = copy(finished)
    before = (root / "params.yaml").read_text()
    done = cli("run", "--direct", "-w", root, "--set", "registration.min_improvement=0.2", "--json")
    assert done.code == 0
    after = (root / "params.yaml").read_text()
    assert after == before.replace("min_improvement: 0.0  ", "min_improvement: 0.2  ")
    lock = YAML(typ="safe").load(root / "dvc.lock")
    noted = lock["stages"]["register"]["params"]["params.yaml"]["registration"]
    assert noted["min_improvement"] == 0.2
    assert CLEAN in shell(root, "dvc", "status")


def test_dvc_yaml_states_the_graph(finished, blank, copy, shell):
    """The dvc.yaml of init and of run equals the graph, and DVC reads the same stages from it."""
    document = dvc_document(stage_specs(load_params(finished), finished))
    assert check_dvc_yaml(finished, document) == []
    assert (blank / "dvc.yaml").read_text() == (finished / "dvc.yaml").read_text()
    listed = shell(copy(finished), "dvc", "stage", "list", "--name-only").split()
    assert listed == ALL


#: Seconds each to run.
DEAR = {"evaluate", "refit", "register"}


class Recorded:
    """Params of which every section that is read is noted."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if isinstance(derived := getattr(Params, name, None), property):
            return derived.fget(self)  # reads sections in its turn
        self.read.add("everything" if name == "model_dump" else name)
        return getattr(self._params, name)


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param(stage, marks=[pytest.mark.slow] if stage.name in DEAR else [])
        for stage in STAGES
    ],
    ids=ALL,
)
def test_a_stage_reads_only_the_sections_that_it_declares(stage, finished, copy):
    """What a stage reads of Params is in its ``params``: else DVC would miss a change.

    register also notes the whole of params.yaml in MLflow, beside the model that came of it, and
    look refuses segments that nobody could follow, also where it is current: nothing that they
    leave depends on that. What reduce reads to pick a learner is among its ``params`` where the
    learner is to be picked, and decides nothing elsewhere.
    """
    root = copy(finished)
    params = Recorded(load_params(root))
    with LocalEngine(1) as engine:
        workspace = Workspace.at(root)
        context = context_for(workspace, load_params(root), Settings(workers=1), engine)
        result = stage.run(context, params)
    assert isinstance(result, StageResult)
    beside = {"register": {"everything"}, "look": {"monitoring"}}.get(stage.name, set())
    open_ = read_params("dataset: {source: a, target: y}\ntraining: {learner: auto}")
    beside = {*beside, *stage.more_params(open_)}
    assert params.read - beside == set(stage.params) - {"evaluation"} | (
        {"evaluation"} & params.read
    )
    assert params.read <= {*stage.params, *beside}


def commit(root: Path, shell: Any, text: str) -> None:
    """Commit all that git follows."""
    shell(root, "git", "add", "-A")
    shell(root, "git", "commit", "-qm", text)


def test_git_follows_the_settings_and_not_the_data(finished, shell):
    """git has dvc.lock, settings and suite; no data, no models, no MLflow store."""
    followed = shell(finished, "git", "ls-files").split()
    assert {"dvc.lock", "dvc.yaml", "params.yaml", "expectations/suite.json"} <= set(followed)
    assert not [name for name in followed if name.startswith(("data/", "models/", "mlflow"))]


def digest(root: Path) -> str:
    """The digest of the candidate: of the file that seals all others."""
    return hash_file(root / "models" / "candidate" / "model" / "candidate.json")


@pytest.mark.slow
def test_an_earlier_version_of_the_data_gives_its_model_again(finished, copy, shell):
    """git checkout and dvc checkout bring the earlier data; training again gives its bytes."""
    root = copy(finished)
    first, version = digest(root), Versions(root).dataset_version()
    raw = root / "data" / "raw" / "rides-2024-01.csv"
    raw.write_bytes(b"\n".join(raw.read_bytes().splitlines()[:-500]) + b"\n")
    run_here(root, until="shard")
    assert Versions(root).dataset_version() != version
    commit(root, shell, "second")

    shell(root, "git", "checkout", "-q", "HEAD~1")
    shell(root, "dvc", "checkout", "data/shards")
    for made in ("models", "reports", ".tidemill/studies", ".tidemill/work"):
        shutil.rmtree(root / made)
    assert Versions(root).dataset_version() == version
    with LocalEngine(1) as engine:
        for stage in ("reduce", "tune", "train"):
            run_stage(
                stage,
                Workspace.at(root),
                settings=Settings(workers=1),
                engine=engine,
                observer=Quiet(),
            )
    assert digest(root) == first
    assert "models/candidate" not in shell(root, "dvc", "status", "train")


@pytest.mark.slow
def test_dvc_push_and_pull_bring_the_data_to_a_clone(finished, copy, tmp_path, shell, ran):
    """A clone pulls shards and model from a local remote; with the raw data all is current."""
    root = copy(finished)
    shell(root, "dvc", "remote", "add", "-d", "store", tmp_path / "store")
    commit(root, shell, "remote")
    shell(root, "dvc", "push")
    clone = tmp_path / "clone"
    shell(tmp_path, "git", "clone", "-q", root, clone)
    assert not (clone / "data").exists()
    shell(clone, "dvc", "pull")
    expected = output_hashes(root, "look", "shard", "reduce", "tune", "train")
    assert output_hashes(clone, "look", "shard", "reduce", "tune", "train") == expected
    shutil.copytree(root / "data" / "raw", clone / "data" / "raw")
    # What neither DVC nor git keeps is made again; the rest is current, figures in git too.
    assert ran(run_here(clone)) == ["ingest", "register"]
    assert output_hashes(clone) == output_hashes(root)


@pytest.mark.parametrize("door", ["finished", pytest.param("reproduced", marks=pytest.mark.slow)])
def test_every_mlflow_run_names_its_dataset_version(door, request):
    """The run has the version of the shards as an input and as a tag, and so has the model."""
    from mlflow import MlflowClient

    root = request.getfixturevalue(door)
    uri = f"sqlite:///{root}/mlflow.db"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    version = Versions(root).dataset_version()
    (experiment,) = [e for e in client.search_experiments() if e.name == "rides"]
    parents = [
        run
        for run in client.search_runs([experiment.experiment_id])
        if "mlflow.parentRunId" not in run.data.tags
    ]
    assert len(parents) == 1
    assert parents[0].data.tags["tidemill.dataset_version"] == version
    (given,) = parents[0].inputs.dataset_inputs
    assert given.dataset.digest == version
    # The path is the one that DVC keeps under that hash, not the one that it was read from.
    assert json.loads(given.dataset.source) == {"path": "data/shards", "md5": version}
    registered = client.get_model_version_by_alias("rides", "champion")
    assert registered.tags["tidemill.dataset_version"] == version
