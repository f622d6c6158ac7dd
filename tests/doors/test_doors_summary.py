"""What a run says about itself, in reports/summary.json and in MLflow."""

from __future__ import annotations

import csv
import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tidemill.config import set_params
from tidemill.features import load_reducer
from tidemill.pipeline import STAGES
from tidemill.storage import ShardManifest, read_json
from tidemill.testing.workspaces import copy_workspace, output_hashes, run_here
from tidemill.tracking import load_champion
from tidemill.versioning import Versions


def setting(root: Path, *assignments: str) -> None:
    """Write settings as ``--set`` does."""
    path = root / "params.yaml"
    path.write_text(set_params(path.read_text(), list(assignments)))


def client(root: Path) -> Any:
    """MLflow's own client of the workspace's store."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{root}/mlflow.db"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def runs(root: Path) -> list[Any]:
    """All MLflow runs of the workspace."""
    found = client(root)
    return found.search_runs([e.experiment_id for e in found.search_experiments()])


def registry(root: Path) -> dict[str, Any]:
    """Versions with their tags, and the aliases."""
    found = client(root)
    versions = found.search_model_versions("name = 'rides'")
    return {
        "versions": {v.version: dict(v.tags) for v in versions},
        "aliases": dict(found.get_registered_model("rides").aliases),
    }


def test_the_summary_tells_all_that_was_promised(finished):
    """reports/summary.json has every figure, and they agree with what the stages left."""
    said = read_json(finished / "reports" / "summary.json")
    lines = sum(len(p.read_text().splitlines()) - 1 for p in (finished / "data/raw").iterdir())
    assert said["rows_read"] == lines == 6000
    assert said["rows_read"] == said["rows_valid"] + said["rows_quarantined"]
    refused = sum(pq.read_metadata(p).num_rows for p in (finished / "data/quarantine").iterdir())
    assert said["rows_quarantined"] == refused > 0

    shards = ShardManifest.read(finished / "data" / "shards").shards
    assert said["shards"] == len(shards)
    assert said["blocks"] == sum(
        pq.read_metadata(finished / "data/shards" / s.file.path).num_row_groups for s in shards
    )
    assert sum(s.file.rows for s in shards) == said["rows_valid"]

    assert said["features_in"] == 31
    assert said["features_out"] == len(
        load_reducer(finished / "models/reducer").get_feature_names_out()
    )
    assert (said["learner"], said["strategy"]) == ("lightgbm", "boosted")
    metrics = read_json(finished / "reports" / "metrics.json")
    assert said["metric"] == metrics["metric"] == "roc_auc"
    assert said["challenger"] == said["champion"] == metrics["test"]["roc_auc"] > 0.7
    assert said["baseline"] == metrics["baseline"]["roc_auc"] == 0.5
    assert said["promoted"] is True
    assert said["promotion_reason"] == "there was no champion"

    version = client(finished).get_model_version_by_alias(said["model"], "champion")
    assert (said["model"], said["version"]) == ("rides", int(version.version)) == ("rides", 1)
    assert said["run_id"] == version.run_id
    assert said["dataset_version"] == Versions(finished).dataset_version()
    assert [s["stage"] for s in said["stages"]] == [s.name for s in STAGES]
    for stage in said["stages"]:
        assert stage["state"] == "ran"
        assert stage["seconds"] > 0
        assert stage["peak_memory_mb"] > 50
    assert said["seconds"] >= sum(s["seconds"] for s in said["stages"])


def test_the_printed_json_is_the_summary(finished, copy, cli):
    """--json prints one JSON document and nothing else on stdout: that of the file."""
    root = copy(finished)
    done = cli("run", "--direct", "-w", root, "--json")
    assert done.code == 0
    assert done.document == read_json(root / "reports" / "summary.json")
    before = read_json(finished / "reports" / "summary.json")
    changing = {"stages", "seconds", "run_id"}
    changing |= {"reports", "data_docs", "mlflow_run"}  # where the copy lies
    assert {k: v for k, v in done.document.items() if k not in changing} == {
        k: v for k, v in before.items() if k not in changing
    }
    assert {s["state"] for s in done.document["stages"]} == {"current"}


@pytest.mark.parametrize(
    ("until", "stages"), [("look", 1), pytest.param("ingest", 2, marks=pytest.mark.slow)]
)
def test_the_command_itself_prints_only_json(until, stages, finished, copy, shell):
    """The installed command, in a process of its own with workers, keeps stdout clean too."""
    root = copy(finished)
    installed = Path(sys.executable).parent / "tidemill"
    out = shell(
        root, installed, "run", "--direct", "--force", "--until", until, "--json",
        TIDEMILL_WORKERS="2",
    )  # fmt: skip
    document = json.loads(out)
    assert [s["state"] for s in document["stages"]] == ["ran"] * stages
    assert output_hashes(root) == output_hashes(finished)


def test_people_get_a_table(finished, copy, cli):
    """Without --json the same figures stand in a table."""
    done = cli("run", "--direct", "-w", copy(finished))
    assert done.code == 0
    for text in ("rows quarantined", "dataset version", "there was no champion", "roc_auc"):
        assert text in done.out
    assert "register: current" in done.err


def test_the_bad_row_of_the_last_batch_is_quarantined_where_it_stands(finished, bad_row, cli):
    """Its file, row and reason are told, and no shard holds it; its neighbour is there."""
    name, row, key = bad_row
    shown = cli("quarantine", "show", "-w", finished, "--limit", 1000, "--json").document
    (found,) = [r for r in shown if json.loads(r["values"])["ride_id"] == int(key)]
    assert Path(found["source"]).name == name
    assert found["row"] == row
    assert found["reasons"] == ["distance_km is not a number"]
    assert cli("shards", "locate", key, "-w", finished, "--json").code == 2
    lines = (finished / "data/raw" / name).read_text().splitlines()
    refused = {json.loads(r["values"])["ride_id"] for r in shown}
    neighbour = next(k for k in (int(s.split(",")[0]) for s in lines[-2:0:-1]) if k not in refused)
    assert cli("shards", "locate", neighbour, "-w", finished, "--json").code == 0


def test_every_bad_row_is_quarantined_once(finished):
    """A row with several faults stands in quarantine once, with all its reasons."""
    tables = [pq.read_table(p) for p in (finished / "data" / "quarantine").iterdir()]
    rows = [row for table in tables for row in table.to_pylist()]
    places = [(row["source"], row["row"]) for row in rows]
    assert len(places) == len(set(places))
    assert all(row["reasons"] for row in rows)


def test_trials_are_nested_runs(finished):
    """Each trial is a finished child of the training run, with its parameters and value."""
    parents = [r for r in runs(finished) if "mlflow.parentRunId" not in r.data.tags]
    children = [r for r in runs(finished) if "mlflow.parentRunId" in r.data.tags]
    (parent,) = parents
    assert len(children) == 2
    for child in children:
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.info.status == "FINISHED"
        assert "num_leaves" in child.data.params
    values = [child.data.metrics["value"] for child in children]
    assert read_json(finished / "models" / "params.json")["value"] in values
    assert parent.data.params["params.training.learner"] == "lightgbm"
    assert parent.data.metrics["test/roc_auc"] > 0.7


@pytest.mark.slow
def test_registering_the_same_candidate_again_changes_nothing(finished, copy, ran):
    """Run once more, register makes no version, run, alias or tag, and says what was so already."""
    root = copy(finished)
    before, known = registry(root), {r.info.run_id for r in runs(root)}
    (root / ".tidemill" / "registered.json").unlink()
    summary = run_here(root)
    assert ran(summary) == ["register"]
    assert registry(root) == before
    assert {r.info.run_id for r in runs(root)} == known
    assert summary.facts["version"] == 1
    assert summary.facts["promotion_reason"] == "it is the champion already"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"version": 1', '"version": 7'),
        ("promotion_reason", "promotion_reasom"),
        ("{", "["),
    ],
)
def test_a_note_of_the_registration_that_changed_is_written_anew(
    before, after, finished, copy, ran
):
    """A changed byte of the note costs register once more, and is in no summary."""
    root = copy(finished)
    known = registry(root)
    note = root / ".tidemill" / "registered.json"
    whole = note.read_text()
    assert before in whole
    note.write_text(whole.replace(before, after, 1))
    summary = run_here(root)
    assert ran(summary) == ["register"]
    assert (registry(root), summary.facts["version"]) == (known, 1)
    assert ran(run_here(root)) == []


@pytest.mark.slow
def test_a_setting_of_the_registration_may_change_afterwards(finished, copy, ran):
    """register runs again for the same candidate; its run keeps what it was made with."""
    root = copy(finished)
    before = registry(root)
    setting(root, "registration.min_improvement=0.5")
    assert ran(run_here(root)) == ["register"]
    assert registry(root) == before
    parent = client(root).get_run(read_json(root / "reports" / "summary.json")["run_id"])
    assert parent.data.params["params.registration.min_improvement"] == "0.0"
    assert parent.info.status == "FINISHED"


@pytest.fixture(scope="session")
def weaker(finished) -> Path:
    """A copy in which a champion of 12 rounds met a challenger of one; not to be changed.

    The challenger is registered as it was judged: it is not refitted.
    """
    root = copy_workspace(finished, finished.parent / "weaker")
    params = ("training.params.num_iterations=1", "training.params.num_leaves=4")
    settings = (*params, "training.refit=none", "training.calibration=none", "tuning.trials=1")
    setting(root, *settings)
    run_here(root)
    return root


def test_a_worse_challenger_is_not_promoted(weaker, finished):
    """The champion stays, the reason names both figures, and the summary tells the champion's."""
    said = read_json(weaker / "reports" / "summary.json")
    before = read_json(finished / "reports" / "summary.json")
    assert said["promoted"] is False
    assert said["champion"] == pytest.approx(before["challenger"], abs=1e-9)
    assert said["challenger"] < said["champion"]
    assert f"{said['challenger']:.4f} does not beat champion 1's" in said["promotion_reason"]
    assert said["version"] == 2
    assert registry(weaker)["aliases"] == {"champion": 1, "challenger": 2}
    loaded = load_champion(f"sqlite:///{weaker}/mlflow.db", "rides", version=2)
    assert loaded.pipeline is loaded.judged


def test_a_model_that_decides_like_a_dummy_is_called_so_wherever_one_looks(
    weaker, finished, copy, cli
):
    """In the summary, the figures, on screen, and in MLflow at the run and at the version."""
    said = read_json(weaker / "reports" / "summary.json")
    word = said["no_better_than_dummy"]
    assert word.startswith("every one of the ")
    assert "is decided '0'" in word
    assert said["challenger"] > 0.65  # which alone would not tell
    assert read_json(weaker / "reports" / "metrics.json")["no_better_than_dummy"] == [word]
    assert [f"on the test rows {word}"] == [
        warning
        for stage in said["stages"]
        for warning in stage.get("warnings", [])
        if word in warning
    ]
    found = client(weaker)
    run, version = found.get_run(said["run_id"]), found.get_model_version("rides", "2")
    for text in (run.data.tags["mlflow.note.content"], version.description):
        assert f"**No better than a dummy**: on the test rows {word}." in text
    shown = cli("run", "--direct", "-w", copy(weaker)).out
    assert "no better than dummy" in shown
    assert read_json(finished / "reports" / "summary.json")["no_better_than_dummy"] is None


def test_require_promotion_ends_with_4(weaker, copy, cli):
    """--require-promotion turns a shut gate into exit code 4, with one JSON document."""
    root = copy(weaker)
    done = cli("run", "--direct", "--require-promotion", "-w", root, "--json")
    assert done.code == 4
    assert done.document["error"] == "GateShut"
    assert "does not beat champion 1" in done.document["message"]
    assert "min_improvement" in done.document["remedy"]
    assert done.document["fields"]["summary"]["version"] == 2
    assert cli("run", "--direct", "-w", root, "--json").code == 0


@pytest.mark.slow
def test_a_better_challenger_becomes_champion_if_the_margin_lets_it(weaker, copy, cli):
    """Better by less than the stated margin: the gate stays shut. Without it the alias moves.

    The evidence is kept with the version, which serves refitted and keeps what was judged.
    """
    root = copy(weaker)
    setting(
        root,
        "training.refit=full",
        "training.params.num_iterations=40",
        "training.params.learning_rate=0.15",
        "registration.min_improvement=0.2",
    )
    facts = run_here(root).facts
    assert facts["challenger"] > facts["champion"]
    assert facts["promoted"] is False
    assert "by more than 0.2" in facts["promotion_reason"]

    setting(root, "registration.min_improvement=0.0")
    done = cli("run", "--direct", "--require-promotion", "-w", root, "--json")
    assert done.code == 0, done.err
    assert done.document["promoted"] is True
    assert done.document["champion"] == done.document["challenger"]
    assert "beats champion 1's" in done.document["promotion_reason"]
    found = registry(root)
    assert found["aliases"]["champion"] == 3
    evidence = json.loads(found["versions"][3]["tidemill.promotion"])
    assert evidence["replaces"] == 1
    assert evidence["roc_auc"] > evidence["champion_roc_auc"]
    loaded = load_champion(f"sqlite:///{root}/mlflow.db", "rides")
    assert loaded.pipeline is not loaded.judged


@pytest.mark.slow
def test_shuffled_labels_give_nothing(blank, copy):
    """With labels dealt at random roc_auc is near one half: a floor on quality can fail."""
    root = copy(blank)
    random.seed(5)
    for path in sorted((root / "data" / "raw").iterdir()):
        with path.open(newline="") as file:
            header, *rows = csv.reader(file)
        target = header.index("cancelled")
        labels = [row[target] for row in rows]
        random.shuffle(labels)
        for row, label in zip(rows, labels, strict=True):
            row[target] = label
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    setting(root, "tuning.trials=0")
    facts = run_here(root, until="evaluate").facts
    assert abs(facts["challenger"] - 0.5) < 0.08


@pytest.mark.slow
def test_what_was_deleted_is_made_again_with_the_same_digests(finished, copy, ran):
    """After rm -rf models reports and all remembered work, the run ends with the same bytes."""
    root = copy(finished)
    for name in ("models", "reports", ".tidemill/studies", ".tidemill/work"):
        shutil.rmtree(root / name)
    known = {r.info.run_id for r in runs(root)}
    summary = run_here(root)
    assert ran(summary) == ["ingest", "reduce", "tune", "train", "evaluate", "refit"]
    assert output_hashes(root) == output_hashes(finished)
    assert {r.info.run_id for r in runs(root)} == known
    assert summary.facts["version"] == 1
