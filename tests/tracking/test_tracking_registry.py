"""Registration once, promotion with evidence, and kill -9 between any two steps."""

import json
import shutil
import textwrap
from pathlib import Path

import pytest

from tidemill.errors import Busy, ModelMissing, ModelUntrusted, StorageFailed
from tidemill.tracking import Registry, fetch_reference
from tidemill.tracking.logged import require_ready


@pytest.fixture
def registry(place):
    return Registry(place.tracker())


def test_a_candidate_is_registered_once(place, registry):
    """The same candidate again, from another run too, changes nothing."""
    assert place.register() == 1
    before = registry.versions("rides")
    assert place.register() == 1
    assert place.register(key="run-2") == 1
    assert registry.versions("rides") == before
    assert before[0].aliases == ("challenger",)
    assert before[0].digest == place.digest


def test_what_is_attached(place, registry):
    """Reference profiles, reports, environment, figures and facts stay with run and version."""
    (place.root / "reference" / "2024").mkdir(parents=True)
    (place.root / "reference" / "2024" / "a.json").write_text("{}")
    (place.root / "params.yaml").write_text("seed: 1")
    place.register(
        reference=[place.root / "reference"],
        attachments=[place.root / "params.yaml"],
        metrics={"roc_auc": 0.9, "gap": None},
        tags={"tidemill.dataset_version": "abc", "tidemill.code_revision": "def"},
    )
    (version,) = registry.versions("rides")
    client = place.tracker().client()
    names = [
        item.path
        for folder in ("reference/2024", "registration")
        for item in client.list_artifacts(version.run_id, folder)
    ]
    assert names == [
        "reference/2024/a.json",
        "registration/environment.txt",
        "registration/params.yaml",
    ]
    assert version.metrics == {"roc_auc": 0.9}
    assert version.tags["tidemill.dataset_version"] == "abc"
    assert version.tags["tidemill.code_revision"] == "def"
    run = client.get_run(version.run_id)
    assert run.data.metrics["roc_auc"] == 0.9
    (output,) = run.outputs.model_outputs
    assert output.model_id == version.tags["tidemill.model_id"]
    (text,) = place.root.glob("mlartifacts/**/environment.txt")
    assert "mlflow==3." in text.read_text()


def test_the_mlflow_model_names_its_versions(place, registry):
    """As mlflow.register_model does: its page links to the version; others' entries stay."""
    place.register()
    client = place.tracker().client()
    (version,) = registry.versions("rides")
    model_id = version.tags["tidemill.model_id"]

    def named():
        return json.loads(client.get_logged_model(model_id).tags["mlflow.modelVersions"])

    ours = {"name": "rides", "version": 1}
    assert named() == [ours]
    theirs = {"name": "archive", "version": 4}
    client.set_logged_model_tags(model_id, {"mlflow.modelVersions": json.dumps([theirs])})
    place.register()  # as after a crash before the link
    assert named() == [theirs, ours]
    place.register()
    assert named() == [theirs, ours]


def test_a_model_deleted_in_mlflow_is_registered_still(place, registry):
    """Its version has all that serves: a link that cannot be made stops nobody."""
    place.register()
    (version,) = registry.versions("rides")
    place.tracker().client().delete_logged_model(version.tags["tidemill.model_id"])
    assert place.register() == 1


def test_a_changed_folder_is_not_registered(place):
    """A candidate that is not what training left is refused before MLflow hears of it."""
    (place.candidate / "model.skops").write_bytes(b"PK other")
    with pytest.raises(ModelUntrusted, match=r"model\.skops"):
        place.register()
    assert Registry(place.tracker()).versions("rides") == ()


def test_a_failed_mlflow_model_is_never_registered(place):
    """MLflow keeps a model whose upload failed and would register it; a new one is made."""
    tracker = place.tracker()
    run_id = tracker.open_run("run-1", "run", {})
    client = tracker.client()
    failed = client.create_logged_model(
        tracker.experiment_id(), source_run_id=run_id, tags={"tidemill.digest": place.digest}
    )
    client.finalize_logged_model(failed.model_id, "FAILED")
    place.register()
    (version,) = Registry(tracker).versions("rides")
    assert version.tags["tidemill.model_id"] != failed.model_id
    with pytest.raises(ModelUntrusted, match="FAILED"):
        require_ready(client, failed.model_id)


def test_a_failing_upload_leaves_a_failed_model(place):
    """An upload that fails is said, and the model it leaves is marked and not used again."""
    blocked = place.root / "mlartifacts" / "models"
    blocked.parent.mkdir()
    blocked.write_text("a file where the folder of models should be")
    with pytest.raises(StorageFailed):
        place.register()
    blocked.unlink()
    assert place.register() == 1
    tracker = place.tracker()
    models = tracker.client().search_logged_models([tracker.experiment_id()])
    assert sorted(model.status.name for model in models) == ["FAILED", "READY"]


def test_the_champion_changes_with_evidence(place, registry):
    """Promotion moves the alias, keeps the evidence, and empties the challenger's place."""
    assert registry.champion("rides") is None
    place.register()
    registry.promote("rides", 1, replaces=None, evidence={"metric": "roc_auc", "challenger": 0.9})
    champion = registry.champion("rides")
    assert (champion.version, champion.aliases) == (1, ("champion",))
    assert json.loads(champion.tags["tidemill.promotion"]) == {
        "challenger": 0.9,
        "metric": "roc_auc",
        "replaces": None,
    }
    place.another(2).register(key="run-2")
    assert [v.aliases for v in registry.versions("rides")] == [("champion",), ("challenger",)]
    registry.promote("rides", 2, replaces=1, evidence={})
    assert [v.aliases for v in registry.versions("rides")] == [(), ("champion",)]


def test_a_champion_registered_again_is_no_challenger(place, registry):
    """The candidate that serves is not put forward against itself."""
    place.register()
    registry.promote("rides", 1, replaces=None, evidence={})
    before = registry.versions("rides")
    place.register()
    registry.promote("rides", 1, replaces=None, evidence={"other": 1})
    assert registry.versions("rides") == before


def test_a_comparison_with_a_former_champion_does_not_promote(place, registry):
    """Somebody promoted another version meanwhile: busy, and nothing moves."""
    place.register()
    place.another(2).register(key="run-2")
    registry.promote("rides", 1, replaces=None, evidence={})
    with pytest.raises(Busy, match="version 1") as caught:
        registry.promote("rides", 2, replaces=None, evidence={})
    assert caught.value.exit_code == 75
    assert registry.champion("rides").version == 1


def test_promoting_what_is_not_there(place, registry):
    """A version or a model that does not exist is missing."""
    place.register()
    with pytest.raises(ModelMissing, match="version 9"):
        registry.promote("rides", 9, replaces=None, evidence={})
    assert registry.champion("rides") is None
    assert registry.versions("other") == ()


def test_models_do_not_mix(place, registry):
    """The same candidate under two names is one version of each."""
    assert place.register(name="rides") == 1
    assert place.register(key="run-2", name="rides v1.5 'x'".replace("'", "")) == 1
    assert len(registry.versions("rides")) == 1


def test_reference_profiles_come_back_checked(place):
    """They are fetched as registered, and refused when the store's copy was changed."""
    source = place.root / "reference"
    source.mkdir()
    (source / "a.json").write_text('{"rows": 1}')
    place.register(reference=[source])
    got = fetch_reference(place.uri, "rides", 1, place.root / "got")
    assert (got / "a.json").read_text() == '{"rows": 1}'
    (stored,) = place.root.glob("mlartifacts/**/reference/a.json")
    stored.write_text('{"rows": 2}')
    with pytest.raises(ModelUntrusted, match=r"a\.json") as caught:
        fetch_reference(place.uri, "rides", 1, place.root / "got")
    assert caught.value.fields["file"] == "a.json"
    assert (got / "a.json").read_text() == '{"rows": 1}'
    assert not list(place.root.glob(".got*"))


def test_two_versions_of_one_run_keep_their_references(place):
    """The same search, refitted otherwise: the second reference does not replace the first."""
    source = place.root / "reference"
    source.mkdir()
    (source / "a.json").write_text("1")
    assert place.register(reference=[source]) == 1
    (source / "a.json").write_text("2")
    assert place.another(2).register(reference=[source]) == 2
    for version in (1, 2):
        got = fetch_reference(place.uri, "rides", version, place.root / "got")
        assert (got / "a.json").read_text() == str(version)


POINTS = (
    "create_run",
    "log_artifacts",
    "log_text",
    "create_logged_model",
    "log_model_artifacts",
    "log_outputs",
    "finalize_logged_model",
    "create_registered_model",
    "create_model_version",
    "set_registered_model_alias",
)

ATTEMPTS = """
    import json, os, signal, sys
    from pathlib import Path
    from tidemill.tracking import Registry, Tracker, load_champion
    from tidemill.tracking.service import import_mlflow
    for name in ("mlflow.store.tracking.sqlalchemy_store", "mlflow.artifacts", "skops.io",
                 "mlflow.store.model_registry.sqlalchemy_store", "tidemill.features.reducer"):
        import_mlflow(name)

    def attempt(root, digest, point):
        tracker = Tracker(f"sqlite:///{root / 'mlflow.db'}", "rides")
        client = tracker.client()
        if point:
            real = getattr(client, point)
            def last(*args, **kwargs):
                real(*args, **kwargs)
                os.kill(os.getpid(), signal.SIGKILL)
            setattr(client, point, last)
        run_id = tracker.open_run("run-1", "run", {})
        tracker.log_stage(run_id, "training", {"learner": "sgd"}, {"gap": 0.1})
        registry = Registry(tracker)
        done = registry.register(root / "models" / "candidate", model_name="rides", run_id=run_id,
            digest=digest, reference=[root / "models"], metrics={"roc_auc": 0.9})
        found = registry.versions("rides")
        loaded = load_champion(tracker.uri, "rides", "challenger")
        runs = client.search_runs([tracker.experiment_id()])
        print(json.dumps({"point": root.name, "versions": [v.version for v in found],
            "aliases": [list(v.aliases) for v in found], "runs": len(runs),
            "loaded": loaded.version, "done": done.version}), flush=True)

    def in_child(*given):
        child = os.fork()
        if not child:
            try:
                attempt(*given)
            finally:
                os._exit(0)
        return os.waitpid(child, 0)[1]

    for root in map(Path, sys.argv[2:]):
        assert in_child(root, sys.argv[1], root.name) == signal.SIGKILL, root.name
        assert in_child(root, sys.argv[1], None) == 0
"""


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(("create_model_version",), id="one"),
        pytest.param(POINTS, id="all", marks=pytest.mark.slow),
    ],
)
def test_killed_between_any_two_steps(template, tmp_path, points, shell):
    """kill -9 after each call that writes: the next registration ends with one run, one version,
    the challenger, and a model that loads.
    """
    made, digest = template
    roots = [Path(shutil.copytree(made, tmp_path / point)) for point in points]
    script = tmp_path / "attempts.py"
    script.write_text(textwrap.dedent(ATTEMPTS))
    said = shell(tmp_path, "forked-python", script, digest, *roots)
    found = [json.loads(line) for line in said.splitlines()]
    assert [line.pop("point") for line in found] == list(points)
    whole = {"versions": [1], "aliases": [["challenger"]], "runs": 1, "loaded": 1, "done": 1}
    assert found == [whole] * len(points)
