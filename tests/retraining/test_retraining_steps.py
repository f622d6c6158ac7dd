"""A retraining from labelled rows: what it reads, what it leaves, and who serves afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tidemill.cli.champions import _Labelled
from tidemill.config import load_params
from tidemill.drift import Reference
from tidemill.engines import LocalEngine
from tidemill.errors import (
    ConfigError,
    IntegrityError,
    KeyInvalid,
    ModelMissing,
    SchemaMismatch,
    TooFewRows,
    UsageError,
)
from tidemill.ingestion import live_rows
from tidemill.learners import uncalibrated
from tidemill.retraining import Order
from tidemill.retraining.sides import Sides
from tidemill.retraining.taking_in import categories_so_far
from tidemill.schema import Role
from tidemill.settings import Settings
from tidemill.sharding import locate, verify
from tidemill.stages.ancestry import ancestry_of
from tidemill.storage import (
    ShardManifest,
    StoreFolder,
    Workspace,
    hash_file,
    read_blocks,
    write_hashed,
)
from tidemill.storage.live_sets import live_sets
from tidemill.testing.workspaces import copy_workspace, run_here, small_workspace
from tidemill.tracking import Registry, Tracker, fetch_reference, load_champion
from tidemill.versioning import Versions, version_notes

SHARE = 0.3


def registry(root: Path) -> Registry:
    return Registry(Tracker(f"sqlite:///{root}/mlflow.db", "rides"))


def champion(root: Path) -> int:
    return registry(root).champion("rides").version


def judging(table: pa.Table, before: pa.Table | None = None) -> np.ndarray:
    """Which events judge; all of them have a time."""
    sides = Sides(SHARE)
    for rows in (before, table):
        if rows is not None:
            sides = sides.extended(micros(rows))
    return sides.judges(micros(table), np.zeros(len(table), np.uint64))


def micros(table: pa.Table) -> np.ndarray:
    return table["at"].cast(pa.int64()).to_numpy()


def files_of(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, hash_file(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def retrained(finished, live, again, tmp_path_factory):
    """One retraining in a world that has turned round; the raw source is gone by then."""
    root = copy_workspace(finished, tmp_path_factory.mktemp("retrained") / "ws")
    shutil.rmtree(root / "data" / "raw")
    (root / "data" / "raw").mkdir()
    before = files_of(root / "data" / "shards")
    table = live(root)
    return root, table, before, again(root, table)


def test_the_better_challenger_serves(retrained):
    """It is promoted for its figure on proof rows, and the registry says in whose place."""
    root, _, _, outcome = retrained
    facts = outcome.facts
    assert facts["promoted"] is True
    assert facts["challenger_proof_roc_auc"] > facts["champion_proof_roc_auc"] + 0.2
    assert facts["continues"] == 1
    found = registry(root).champion("rides")
    assert (found.version, facts["version"], facts["champion"]) == (2, 2, 1)
    promotion = json.loads(found.tags["tidemill.promotion"])
    assert promotion["replaces"] == 1
    assert promotion["challenger_proof_roc_auc"] == facts["challenger_proof_roc_auc"]
    assert found.tags["tidemill.decision"] == "d1"


def test_old_shards_are_the_very_files(retrained):
    """The shards of the source keep bytes and roles; live rows are train and validation only."""
    root, _, before, _ = retrained
    shards = root / "data" / "shards"
    manifest, after = ShardManifest.read(shards), files_of(shards)
    kept = {name: found for name, found in before.items() if name != "manifest.json"}
    assert {name: after[name] for name in kept} == kept
    roles = {shard.role for shard in manifest.shards if shard.origin}
    assert roles == {Role.TRAIN, Role.VALIDATION}
    assert [shard.id for shard in manifest.shards] == list(range(len(manifest.shards)))


def test_proof_rows_are_nowhere_to_learn_from(retrained):
    """Learn rows are in the appended shards, each once; not one proof row is."""
    root, table, _, outcome = retrained
    shards = root / "data" / "shards"
    (live,) = live_sets(Workspace.at(root))
    # The key is a number, and event ids are not: of the time the rows are known.
    times = [
        time
        for shard in ShardManifest.read(shards).of_origin(live.name).shards
        for part in read_blocks(shards / shard.file.path)
        for time in part["requested_at"].to_pylist()
    ]
    judges = judging(table)
    learn = table.filter(pa.array(~judges))["at"].to_pylist()
    assert sorted(times) == sorted(learn)
    assert len(learn) == outcome.facts["rows_learn"]
    assert outcome.facts["rows_proof"] == judges.sum()
    assert 0.25 < judges.mean() < 0.35


def trees(learner) -> list[str]:
    """The trees of a booster's text, without their sizes."""
    return uncalibrated(learner).model.split("end of trees")[0].split("Tree=")[1:]


def test_what_serves_has_learnt_the_rows_that_judged_too(retrained):
    """The judged challenger goes on from the judged champion, the serving one from the serving.

    Proof rows are among those of the second alone.
    """
    root, _, _, outcome = retrained
    uri = f"sqlite:///{root}/mlflow.db"
    before, after = (load_champion(uri, "rides", version=number) for number in (1, 2))
    learnt = outcome.facts["rows_learn"] + outcome.facts["rows_proof"]
    assert outcome.facts["rows_serving"] == learnt
    for name in ("judged", "pipeline"):
        old, new = trees(getattr(before, name)[-1]), trees(getattr(after, name)[-1])
        assert new[: len(old)] == old
        assert len(new) > len(old)
    added = [len(trees(p[-1])) for p in (after.judged, after.pipeline)]
    assert added[0] == added[1]
    assert trees(after.judged[-1]) != trees(after.pipeline[-1])
    metrics = Tracker(uri, "rides").client().get_run(after.run_id).data.metrics
    assert metrics["refit/rows"] == learnt
    assert metrics["refit/seconds"] > 0


def test_the_run_says_what_it_is(retrained):
    """Its name tells whose challenger it is and of which days; the judged figure is in the list."""
    root, table, _, outcome = retrained
    tracker = Tracker(f"sqlite:///{root}/mlflow.db", "rides")
    run = tracker.client().get_run(outcome.facts["run_id"])
    first, last = (f(table["at"]).as_py().date() for f in (pc.min, pc.max))
    value = outcome.facts["challenger_frozen_roc_auc"]
    name = f"v2 challenger of v1, {first} to {last}, roc_auc {value:.4f}"
    assert run.info.run_name == name
    assert run.data.metrics["test/roc_auc"] == pytest.approx(value)
    note = run.data.tags["mlflow.note.content"]
    assert f"challenger of version 1: labelled live rows from {first} to {last}." in note
    assert "Asked for by decision d1: the answer has turned round." in note
    assert f"Promoted: {outcome.facts['reason']}." in note
    tags = tracker.client().get_experiment(tracker.experiment_id()).tags
    assert tags["mlflow.experiment.primaryMetric.name"] == "test/roc_auc"


@pytest.mark.slow
def test_a_retraining_without_a_refit_registers_one_model(root, live, again, change):
    """refit: none: what was judged serves. Stages of the user's own are said not to have run."""
    (root / "pages.py").write_text("def make(job):\n    raise SystemExit\n")
    page = "stages.page={after: register, call: 'pages:make', writes: [reports/page.html]}"
    change(root, "training.refit=none", page)
    outcome = again(root, live(root))
    said = "stages of your own did not run: page; a retraining has its own steps alone"
    assert outcome.stages[-1].result.warnings == (said,)
    loaded = load_champion(f"sqlite:///{root}/mlflow.db", "rides", version=outcome.facts["version"])
    assert loaded.pipeline is loaded.judged


def test_it_is_a_version_with_a_message(retrained):
    """DVC knows the new shards, look and ingest stay current, and the message is kept."""
    root, _, _, outcome = retrained
    with Versions(root) as versions:
        assert versions.is_current("shard")
        assert versions.dataset_version() == outcome.facts["dataset_version"]
    (note,) = version_notes(root)
    assert note["version"] == outcome.facts["dataset_version"]
    assert "the answer has turned round" in note["message"]
    assert "data/live" in (root / "dvc.yaml").read_text()


def test_the_reference_is_of_the_new_world(retrained, tmp_path):
    """The promoted version brings a reference of the learn rows, and its figures on proof."""
    root, _, _, outcome = retrained
    place = fetch_reference(f"sqlite:///{root}/mlflow.db", "rides", 2, tmp_path / "reference")
    reference = Reference.from_json(json.loads((place / "reference.json").read_text()))
    (live,) = live_sets(Workspace.at(root))
    rows = ShardManifest.read(root / "data" / "shards").of_origin(live.name).rows(Role.TRAIN)
    assert reference.merged().rows == rows
    assert reference.figures["roc_auc"] == pytest.approx(
        outcome.facts["challenger_proof_roc_auc"], abs=1e-6
    )
    assert len(reference.outputs) > 4


def test_appended_shards_can_be_verified_and_searched(retrained, tmp_path):
    """verify finds all sound, and a damaged appended shard; locate finds a live row by its key."""
    root = copy_workspace(retrained[0], tmp_path / "ws")
    folder = StoreFolder.at(root / "data" / "shards")
    manifest = folder.shard_manifest()
    with LocalEngine(1) as engine:
        assert verify(manifest, folder, engine) == ()
        appended = next(shard for shard in manifest.shards if shard.origin)
        path = root / "data" / "shards" / appended.file.path
        key = next(read_blocks(path))["ride_id"][7].as_py()
        found = locate(manifest, folder, str(key))
        assert (found.shard, found.row) == (appended.id, 7)
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-9] + b"\0" * 9)
        assert any("appended" in problem.path for problem in verify(manifest, folder, engine))


def test_the_same_decision_again_changes_nothing(retrained, again):
    """Asked again it does not even open the rows, and answers as before."""
    root, _, _, outcome = retrained
    before = files_of(root)

    class Closed:
        def to_batches(self, **_):
            raise AssertionError("the rows were opened again")

    assert again(root, Closed()).facts == outcome.facts
    assert files_of(root) == before
    assert len(registry(root).versions("rides")) == 2


def test_killed_in_the_sweep_the_same_again_sweeps(retrained, tmp_path, again):
    """Copies of live rows do not stay because the process died after it wrote the outcome."""
    root = copy_workspace(retrained[0], tmp_path / "ws")
    folder = root / ".tidemill" / "retrain" / "d1"
    outcome = (folder / "outcome.json").read_bytes()
    for left in ("rows", ".rows.0a1b.old"):
        (folder / left / "learn").mkdir(parents=True)
        (folder / left / "learn" / "part.parquet").write_bytes(b"rows")
    (folder / "champion.json").write_text("{}")

    assert again(root, None).facts == retrained[3].facts
    assert [path.name for path in folder.iterdir()] == ["outcome.json"]
    assert (folder / "outcome.json").read_bytes() == outcome


@pytest.mark.slow
def test_a_later_run_learns_from_the_live_rows(retrained, finished, tmp_path):
    """`tidemill run` afterwards: look to shard are current, the rest runs on all rows."""
    root = copy_workspace(retrained[0], tmp_path / "ws")
    shutil.rmtree(root / "data" / "raw")
    shutil.copytree(finished / "data" / "raw", root / "data" / "raw")
    summary = run_here(root)
    states = {run.stage: run.state for run in summary.stages}
    assert [name for name, state in states.items() if state == "current"] == [
        "look",
        "ingest",
        "shard",
    ]
    training = json.loads((root / "models" / "candidate" / "training.json").read_text())
    assert training["rows"] == ShardManifest.read(root / "data" / "shards").rows(Role.TRAIN)


@pytest.mark.slow
def test_shuffled_labels_are_not_promoted(root, live, again):
    """A challenger that learnt nonsense is registered, recorded, and does not serve."""
    table = live(root)
    judges, truth = judging(table), np.array(table["cancelled"].to_pylist())
    # The champion is right about the proof rows, and the learn rows say nothing.
    truth = np.where(truth == "1", "0", "1")
    learn = np.flatnonzero(~judges)
    truth[learn] = truth[np.random.default_rng(1).permutation(learn)]
    position = table.column_names.index("cancelled")
    outcome = again(root, table.set_column(position, "cancelled", pa.array(truth)))

    assert outcome.facts["promoted"] is False
    said = outcome.facts["reason"]
    assert "no better on proof" in said or "may be chance" in said
    assert champion(root) == 1
    (_, challenger) = registry(root).versions("rides")
    assert (challenger.version, challenger.aliases) == (2, ("challenger",))
    assert "tidemill.promotion" not in challenger.tags


@pytest.mark.slow
def test_a_world_that_has_turned_round_is_learnt_by_default(root, live, again, change):
    """Old rows are rehearsed first, and ask for the old answers: who learnt without them serves."""
    change(root, "monitoring.retraining.max_regression=0.02")
    outcome = again(root, live(root))
    assert [run.stage for run in outcome.stages] == [
        "gather", "append", "teach", "compare", "teach again", "compare again", "refit", "promote",
    ]  # fmt: skip
    first, second = (run.result.facts for run in outcome.stages if "compare" in run.stage)
    assert second["challenger_frozen_roc_auc"] > first["challenger_frozen_roc_auc"] + 0.05
    facts = outcome.facts
    assert facts["challenger_proof_roc_auc"] == first["challenger_proof_roc_auc"]
    assert facts["challenger_proof_roc_auc"] > second["challenger_proof_roc_auc"]
    assert facts["promoted"] is True
    assert "the old relation no longer holds" in facts["reason"]
    assert champion(root) == 2


@pytest.mark.slow
def test_what_forgets_too_much_learns_again_and_is_not_promoted(root, live, again, change):
    """Without a guard that tells other answers from harder rows, the frozen rows judge: refused."""
    harm = "monitoring.harm."
    change(
        root,
        "monitoring.retraining.max_regression=0.02",
        *(f"{harm}{name}=null" for name in ("max_log_loss", "max_wrong")),
    )
    outcome = again(root, live(root))
    assert outcome.facts["promoted"] is False
    assert "0.02 is allowed" in outcome.facts["reason"]
    assert champion(root) == 1


@pytest.mark.slow
def test_the_next_decision_appends_and_leaves_the_rest(root, live, again):
    """A second set joins the first, whose files stay; it goes on from the first's challenger."""
    again(root, live(root, 900, seed=1), "d1")
    first = files_of(root / "data" / "shards" / "appended")
    second = again(root, live(root, 900, seed=2), "d2")
    manifest = ShardManifest.read(root / "data" / "shards")
    assert manifest.appended == ("0001-d1", "0002-d2")
    after = files_of(root / "data" / "shards" / "appended")
    kept = {name: found for name, found in first.items() if not name.endswith("manifest.json")}
    assert {name: after[name] for name in kept} == kept
    assert second.facts["continues"] == 2


@pytest.mark.slow
def test_test_rows_that_were_played_again_do_not_judge(root, again):
    """Labelled live rows are test rows in truth: only those that nobody learnt judge."""
    manifest = ShardManifest.read(root / "data" / "shards")
    table = pa.concat_tables(
        part
        for shard in manifest.of(Role.TEST)
        for part in read_blocks(root / "data" / "shards" / shard.file.path)
    ).unify_dictionaries()
    played = {column.name: table[column.name] for column in manifest.schema.features}
    events = {
        "event_id": pa.array([f"t{number}" for number in range(len(table))]),
        "at": table["requested_at"],
        "cancelled": table["cancelled"].cast(pa.string()),
    }
    outcome = again(root, pa.table({**played, **events}))
    assert "the challenger learnt 7" in outcome.facts["reason"]
    learnt = ancestry_of(champion_metadata(root, outcome.facts["version"]))
    assert [lesson.rows_of for lesson in learnt] == [manifest.key, "0001-d1"]


def champion_metadata(root: Path, version: int) -> Mapping[str, Any]:
    """What a version says of itself."""
    return load_champion(f"sqlite:///{root}/mlflow.db", "rides", version=version).metadata


@pytest.mark.slow
def test_a_learner_that_cannot_go_on_starts_from_scratch(root, live, again, change):
    """hist_gradient_boosting is fitted on old and live rows together."""
    change(root, "training.learner=hist_gradient_boosting", "training.params={max_iter: 10}")
    outcome = again(root, live(root))
    assert outcome.facts["continues"] is None
    assert outcome.facts["learner"] == "hist_gradient_boosting"
    manifest = ShardManifest.read(root / "data" / "shards")
    rows = sum(manifest.rows(role) for role in Role)
    assert outcome.facts["rows_serving"] == rows + outcome.facts["rows_proof"]
    rows = ShardManifest.read(root / "data" / "shards").rows(Role.TRAIN)
    assert next(r for r in outcome.stages if r.stage == "teach").result.facts["rows"] == rows


@pytest.mark.slow
def test_a_feature_that_comes_alive_is_learnt(tmp_path, live, again):
    """The champion left out what never varied; when it varies, the challenger reads it.

    Lanes were written 7.0, and live rows say 7: the live set has the one category that is known.
    """
    root = small_workspace(
        tmp_path / "ws",
        rows=3000,
        settings=[
            "dataset.derive={toll: '1.0', lane: \"'7.0'\"}",
            "dataset.types={lane: categorical}",
            "monitoring.retraining.max_regression=1.0",
        ],
    )
    run_here(root)
    table = live(root)
    toll = pa.array(np.where(pc.equal(table["cancelled"], "1"), 2.0, 1.0).astype(np.float32))
    table = table.set_column(table.column_names.index("toll"), "toll", toll)
    lane = pa.array([7] * table.num_rows)
    outcome = again(root, table.set_column(table.column_names.index("lane"), "lane", lane))

    assert outcome.facts["continues"] is None
    model = load_champion(f"sqlite:///{root}/mlflow.db", "rides")
    assert model.version == 2
    assert "toll" in model.pipeline[0].feature_names_in_
    (live_set,) = live_sets(Workspace.at(root))
    taught = pq.read_table(next(live_set.validated.glob("*.parquet")), columns=["lane"])
    assert set(taught["lane"].to_pylist()) == {"7.0"}


def test_a_labelled_row_that_comes_twice_is_told_with_its_own_remedy(root, live, again):
    """The key of the dataset is no fault of it: the labelled rows are."""
    table = live(root, 300)
    with pytest.raises(KeyInvalid, match="of the labelled rows") as caught:
        again(root, pa.concat_tables([table, table.slice(0, 5)]))
    assert caught.value.remedy.startswith("give each labelled row once")


@pytest.mark.parametrize(("taught", "given"), [("7", "7.0"), ("7.0", "7"), ("7.0", 7)])
def test_what_live_rows_call_a_category_is_taught_as_it_is_known(finished, taught, given):
    """A frame with gaps writes 7.0 for 7: no second category comes of it; others stay."""
    schema = ShardManifest.read(finished / "data" / "shards").schema
    table = next(iter(read_blocks(next((finished / "data" / "shards").glob("*.parquet")))))
    table = table.slice(0, 3)
    feature = next(c.name for c in schema.features if c.physical == "dictionary")
    zones = pa.array([given] * 3) if given == 7 else pa.array([given, "07", None])
    table = table.set_column(table.schema.get_field_index(feature), feature, zones)

    rows = live_rows(table, schema, {feature: {taught}}).table[feature].to_pylist()
    assert rows == ([taught] * 3 if given == 7 else [taught, "07", None])


def test_the_categories_so_far_are_those_of_all_shards(finished):
    """As the shards' rows have them, in every role."""
    shards = finished / "data" / "shards"
    manifest = ShardManifest.read(shards)
    found = categories_so_far(manifest, StoreFolder.at(shards))
    feature = next(c.name for c in manifest.schema.features if c.physical == "dictionary")
    held = pa.concat_tables(
        pa.table({feature: block[feature].cast(pa.string())})
        for path in shards.glob("*.parquet")
        for block in read_blocks(path)
    )
    assert found[feature] == set(held[feature].to_pylist()) - {None}


@pytest.mark.slow
def test_the_share_of_the_first_retraining_stays(root, live, again, change):
    """Another proof_fraction later does not move rows from one side to the other."""
    first, table = (live(root, 700, seed=seed) for seed in (1, 2))
    again(root, first, "d1")
    change(root, "monitoring.retraining.proof_fraction=0.6")
    assert again(root, table, "d2").facts["rows_proof"] == judging(table, first).sum()


@pytest.mark.slow
def test_labels_that_nobody_knows_are_left_out(root, live, again):
    """Rows whose truth is none of the model's classes, or missing, teach and judge nothing."""
    table = live(root, 900)
    truth = pa.array(["maybe", None] * 20 + table["cancelled"].to_pylist()[40:])
    position = table.column_names.index("cancelled")
    outcome = again(root, table.set_column(position, "cancelled", truth))
    assert outcome.facts["rows_learn"] + outcome.facts["rows_proof"] == 860
    assert outcome.stages[0].result.facts["left out"] == 40


@pytest.mark.parametrize(
    ("rows", "error", "text"),
    [
        (lambda t: t.slice(0, 1), TooFewRows, "may be learnt from"),
        (lambda t: t.drop_columns(["pickup_zone"]), SchemaMismatch, "pickup_zone"),
        (lambda t: t.drop_columns(["cancelled"]), SchemaMismatch, "cancelled"),
    ],
)
def test_rows_that_will_not_do(rows, error, text, root, live, again):
    """Too few rows, a missing feature or target: refused with the name, nothing is appended."""
    with pytest.raises(error, match=text):
        again(root, rows(live(root, 300)))
    assert live_sets(Workspace.at(root)) == ()
    assert ShardManifest.read(root / "data" / "shards").appended == ()


def test_settings_that_would_make_other_shards_are_refused(root, live, again, change):
    """Test rows must stay the champion's: after another seed `tidemill run` has to come first."""
    change(root, "seed=8")
    with pytest.raises(ConfigError, match="test rows") as caught:
        again(root, live(root, 300))
    assert "tidemill run" in caught.value.remedy


@pytest.mark.parametrize("lost", ["alias", pytest.param("store", marks=pytest.mark.slow)])
def test_without_a_champion_there_is_nothing_to_go_on_from(lost, root, live, again):
    """The error says how to get one."""
    if lost == "store":
        (root / "mlflow.db").unlink()
    else:
        client = Tracker(f"sqlite:///{root}/mlflow.db", "rides").client()
        client.delete_registered_model_alias("rides", "champion")
    with pytest.raises(ModelMissing, match="no champion"):
        again(root, live(root, 300))


def test_a_decision_is_no_path():
    """The name of a decision becomes a folder's: it must not lead anywhere else."""
    for name in ("../x", "a/b", "", ".", "x" * 65):
        with pytest.raises(UsageError, match="cannot name"):
            Order(name)


@pytest.mark.slow
def test_a_set_of_another_schema_is_left_out_with_a_warning(retrained, tmp_path, again, live):
    """Live rows whose columns are not the source's any more do not stop the shards."""
    from tidemill.config import load_params
    from tidemill.pipeline import context_for
    from tidemill.stages import run_shard

    root = copy_workspace(retrained[0], tmp_path / "ws")
    (live_set,) = live_sets(Workspace.at(root))
    manifest = live_set.validated / "manifest.json"
    other = json.loads(manifest.read_text().replace('"pickup_zone"', '"zone"'))
    write_hashed(manifest, other)
    with LocalEngine(1) as engine:
        params = load_params(root)
        context = context_for(Workspace.at(root), params, Settings(workers=1), engine)
        said = run_shard(context, sharding=params.sharding, seed=params.seed)
    assert "left out" in said.warnings[0]
    assert ShardManifest.read(root / "data" / "shards").appended == ()


def test_labelled_rows_are_named_as_events_are(finished):
    """Whole numbers are their texts; a row whose id is none is left out and counted."""
    schema = ShardManifest.read(finished / "data" / "shards").schema
    table = next(iter(read_blocks(next((finished / "data" / "shards").glob("*.parquet")))))
    table = table.slice(0, 4)
    for ids, known in (
        (pa.array([1.0, 2.5, None, 4.0]), ["1", "4"]),
        (pa.array([1, 2, 3, 4]), ["1", "2", "3", "4"]),
        (pa.array(["1.0", "01", None, "a"]), ["1.0", "01", "a"]),
        (pa.array([True, False, True, False]), []),
    ):
        rows = live_rows(table.append_column("event_id", ids), schema)
        assert rows.ids.to_pylist() == known
        assert (rows.table.num_rows, rows.left_out) == (len(known), 4 - len(known))


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_labelled_files_are_named_as_events_are(finished, live, tmp_path, kind):
    """Numbers and booleans are none but where they are whole; a CSV file holds texts."""
    table = live(finished, 4).drop_columns(["event_id"])
    given = [1.0, 2.5, 3.0, 4.0]
    plain = table.append_column("event_id", pa.array(given)).to_pandas()
    path = tmp_path / f"rows.{kind}"
    if kind == "parquet":
        plain.to_parquet(path)
    elif kind == "jsonl":
        plain.to_json(path, orient="records", lines=True, date_format="iso", double_precision=15)
    else:
        plain.to_csv(path, index=False)
    with LocalEngine(1) as engine:
        rows = _Labelled(Workspace.at(finished), load_params(finished), str(path), engine)
        found = [live_rows(batch, rows._schema) for batch in rows()]
    ids = [name for each in found for name in each.ids.to_pylist()]
    assert ids == (["1.0", "2.5", "3.0", "4.0"] if kind == "csv" else ["1", "3", "4"])
    assert sum(each.left_out for each in found) == (0 if kind == "csv" else 1)


NOTES = (
    ("data/live/split.json", "proof_fraction"),
    ("lesson-0/candidate/training.json", "iterations"),
    ("lesson-0/comparison.json", "figure"),
)
"""Small notes that a retraining goes on from, and what of each is changed."""


class Stopped(Exception):
    """The process was killed there."""


@pytest.mark.slow
def test_a_changed_note_of_a_retraining_is_refused_by_name(root, live, again):
    """With the way to make it anew, which then works; the outcome's note too."""
    table = live(root)

    def until_refit(name, call):
        if name == "refit":
            raise Stopped
        return call()

    with pytest.raises(Stopped):
        again(root, table, execute=until_refit)
    folder = root / ".tidemill" / "retrain" / "d1"
    for name, entry in NOTES:
        note = (root if name.startswith("data") else folder) / name
        whole = note.read_text()
        assert f'"{entry}' in whole, name
        note.write_text(whole.replace(f'"{entry}', f'"{entry[:-1]}x', 1))
        with pytest.raises(IntegrityError, match="not what was written") as caught:
            again(root, table, execute=until_refit)
        assert caught.value.fields["path"] == str(note)
        assert "delete it and run the same again" in caught.value.remedy
        note.unlink()
    outcome = again(root, table)
    assert outcome.facts["promoted"] is True
    note = folder / "outcome.json"
    note.write_text(note.read_text().replace("true", "false", 1))
    with pytest.raises(IntegrityError, match=r"outcome\.json"):
        again(root, table)


@pytest.mark.slow
def test_the_note_of_the_champion_that_was_beaten_is_checked(root, live, again):
    """It is read where the challenger has taken its place and the process died."""
    table = live(root)

    def dies_behind(name, call):
        done = call()
        if name == "promote":
            raise Stopped
        return done

    with pytest.raises(Stopped):
        again(root, table, execute=dies_behind)
    note = root / ".tidemill" / "retrain" / "d1" / "champion.json"
    whole = note.read_text()
    note.write_text(whole.replace('"version": 1', '"version": 2'))
    with pytest.raises(IntegrityError, match=r"champion\.json") as caught:
        again(root, table)
    assert "tidemill rollback" in caught.value.remedy
    note.write_text(whole)
    assert again(root, table).facts["champion"] == 1
