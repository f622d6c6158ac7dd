"""The safe loader under attack: whatever is changed is named, and nothing of it runs."""

import copy
import hashlib
import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from tidemill.errors import ModelMissing, ModelUntrusted
from tidemill.schema import Column, ColumnType, Purpose, SourceColumn, TableSchema, Task
from tidemill.tracking import LoadedModel, Registry, contents, load_champion
from tidemill.tracking import loader as loader_module
from tidemill.tracking.model_versions import DIGEST
from tidemill.tracking.seal import write_seal
from tidemill.tracking.skopsfile import canonical


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return (Path.touch, (self.canary,))


@pytest.fixture
def canary(tmp_path):
    """A file that exists if anything of the artifact ran."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "code of the artifact ran"


@pytest.fixture(scope="module")
def registered(make_place, tmp_path_factory):
    """A store with a champion, made once; never change it, take a copy (fixture ``champion``)."""
    place = make_place(tmp_path_factory.mktemp("registered"))
    place.register()
    Registry(place.tracker()).promote("rides", 1, replaces=None, evidence={})
    return place


@pytest.fixture
def champion(registered, tmp_path):
    """A registered champion, with the folder of the artifact store."""
    return registered.copied(tmp_path)


def reseal(place):
    """What an attacker does who may write to the registry too: seal again, record the digest."""
    folder = place.stored()
    metadata = json.loads((folder / "candidate.json").read_text())["metadata"]
    (folder / "candidate.json").unlink()
    digest = write_seal(folder, metadata)
    place.tracker().client().set_model_version_tag("rides", "1", DIGEST, digest)


def refused(place):
    """Load and return the error."""
    with pytest.raises(ModelUntrusted) as caught:
        load_champion(place.uri, "rides")
    assert caught.value.exit_code == 3
    assert caught.value.remedy
    return caught.value


def rewrite_schema(content, change):
    """The skops bytes with another schema.json."""
    source = zipfile.ZipFile(io.BytesIO(content))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename == "schema.json":
                data = json.dumps(change(json.loads(data))).encode()
            archive.writestr(entry, data)
    return target.getvalue()


def test_the_champion_is_loaded(champion, make_pipeline, raw_frame):
    """The untouched model comes back with its version, run, digest and metadata."""
    loaded = load_champion(champion.uri, "rides")
    assert (loaded.version, loaded.digest) == (1, champion.digest)
    assert loaded.metadata == {"task": "binary"}
    assert champion.tracker().client().get_run(loaded.run_id)
    rows = raw_frame(30)
    np.testing.assert_array_equal(
        loaded.pipeline.predict_proba(rows), make_pipeline().predict_proba(rows)
    )


def test_aliases_and_versions(champion):
    """Any alias or exact version; what is not there is missing."""
    champion.another(2).register(key="run-2")
    assert load_champion(champion.uri, "rides", "challenger").version == 2
    assert load_champion(champion.uri, "rides", version=1).version == 1
    for given in ({"alias": "nobody"}, {"version": 7}):
        with pytest.raises(ModelMissing):
            load_champion(champion.uri, "rides", **given)
    with pytest.raises(ModelMissing):
        load_champion(champion.uri, "other")


def test_one_flipped_byte_in_any_file(champion, canary):
    """Each file of the model, one byte changed: refused by name."""
    folder = champion.stored()
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 8
    for name in names:
        path = folder / name
        before = path.read_bytes()
        middle = len(before) // 2
        path.write_bytes(before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :])
        assert refused(champion).fields["file"] == name
        path.write_bytes(before)
    load_champion(champion.uri, "rides")


def test_an_added_pickle(champion, canary):
    """A file that was not registered is refused, also in a folder."""
    folder = champion.stored()
    (folder / "code").mkdir()
    (folder / "code" / "model.pkl").write_bytes(pickle.dumps(Bomb(canary)))
    assert refused(champion).fields["file"] == "code/model.pkl"


LEFT = [
    "registered_model_meta",
    "__pycache__/model.cpython-311.pyc",
    ".ipynb_checkpoints/MLmodel-checkpoint",
    "MLmodel~",
    ".MLmodel.swp",
    ".DS_Store",
    "notes.md",
]


def test_what_cannot_matter_is_passed_over_and_named(champion):
    """What MLflow, editors and desktops leave is told, with the folder to delete it from."""
    folder = champion.stored()
    for name in LEFT:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("model_name: rides\n")
    notes = load_champion(champion.uri, "rides").notes
    assert [note.split(" lies beside")[0] for note in notes] == sorted(LEFT)
    assert all(str(folder) in note for note in notes)


@pytest.mark.parametrize(
    "name", ["pip.py", "pip/__init__.pyc", "uv.lock", "pyproject.toml", "x.so", "readme", "code/a"]
)
def test_what_an_installer_could_run_is_refused(champion, name):
    """MLflow runs installers in a folder with the model's files: what they would find is named."""
    path = champion.stored() / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    error = refused(champion)
    assert error.fields["file"] == name
    assert str(champion.stored()) in error.remedy


@pytest.mark.parametrize("name", ["weights.bin", "registered_model_meta", "model.skops", "MLmodel"])
def test_a_huge_file_is_refused_unread(champion, name):
    """A terabyte beside the model, or in the place of one of its files: sizes are looked at first.

    Were it read, the test would not end.
    """
    with (champion.stored() / name).open("ab") as file:
        file.truncate(1 << 40)
    assert refused(champion).fields["file"] == name


def test_a_pipe_or_a_link_in_the_place_of_a_file(champion):
    """A pipe is no file and is not waited for; a link counts as what it leads to."""
    path = champion.stored() / "conda.yaml"
    kept = champion.root / "kept"
    path.rename(kept)
    path.symlink_to(kept)
    load_champion(champion.uri, "rides")
    path.unlink()
    os.mkfifo(path)
    assert "missing" in refused(champion).fields["problem"]


def test_a_folder_of_too_many_files_is_refused(champion, monkeypatch):
    """Listing ends where no model would have more files."""
    monkeypatch.setattr(contents, "_MAX_FILES", 20)
    for number in range(30):
        (champion.stored() / f"{number}.md").touch()
    assert "more than 20 files" in str(refused(champion))


def test_a_version_that_was_sealed_without_sizes(champion):
    """Seals of before hold hashes alone: such versions load, and are refused when changed."""
    folder = champion.stored()
    document = json.loads((folder / "candidate.json").read_text())
    assert document.pop("sizes").keys() == document["files"].keys()
    del document["sha256"]  # its own hash came later still
    (folder / "candidate.json").write_text(json.dumps(document))
    digest = hashlib.sha256((folder / "candidate.json").read_bytes()).hexdigest()
    champion.tracker().client().set_model_version_tag("rides", "1", DIGEST, digest)
    assert load_champion(champion.uri, "rides").digest == digest
    with (folder / "model.skops").open("ab") as file:
        file.truncate(1 << 40)
    assert refused(champion).fields["file"] == "model.skops"


def test_copies_and_new_names_in_mlflow(champion):
    """A version copied or renamed with MLflow's client loads under its new name."""
    client = champion.tracker().client()
    client.copy_model_version("models:/rides/1", "rides-archive")
    client.copy_model_version("models:/rides/1", "rides")
    client.rename_registered_model("rides", "fares")
    for name, version in (("rides-archive", 1), ("fares", 2), ("fares", None)):
        loaded = load_champion(champion.uri, name, version=version)
        assert loaded.digest == champion.digest


def test_a_missing_file(champion):
    """A file that is gone is named."""
    (champion.stored() / "requirements.txt").unlink()
    assert refused(champion).fields["file"] == "requirements.txt"


@pytest.mark.parametrize("sealed_again", [False, True])
def test_a_pickle_in_the_place_of_the_model(champion, canary, sealed_again):
    """A pickle named model.skops is refused even when the digest was forged as well."""
    (champion.stored() / "model.skops").write_bytes(pickle.dumps(Bomb(canary)))
    if sealed_again:
        reseal(champion)
    assert refused(champion).fields["file"] == "model.skops"


MLMODELS = {
    "another loader": ("loader_module: mlflow.sklearn", "loader_module: os"),
    "a pickle format": ("serialization_format: skops", "serialization_format: pickle"),
    "another file": ("pickled_model: model.skops", "pickled_model: ../model.pkl"),
    "code": ("code: null", "code: code"),
    "more trust": ("- numpy.dtype", "- numpy.dtype\n    - posix.system"),
    "another flavor": ("flavors:", "flavors:\n  pytorch:\n    code: x"),
    "environment variables": ("is_signature", "env_vars: [X]\nis_signature"),
    "an object": ("mlflow_version:", "metadata: !!python/object/apply:os.system ['x']\nx:"),
    "no mapping": (None, "- 1\n- 2\n"),
    "no yaml": (None, "\x00\x01"),
}


@pytest.mark.parametrize("sealed_again", [False, True])
@pytest.mark.parametrize("attack", list(MLMODELS))
def test_an_altered_mlmodel(champion, canary, attack, sealed_again):
    """An MLmodel that names other code, formats or files is refused, forged digest or not."""
    path = champion.stored() / "MLmodel"
    old, new = MLMODELS[attack]
    text = path.read_text()
    changed = new if old is None else text.replace(old, new)
    assert changed != text
    path.write_text(changed)
    if sealed_again:
        reseal(champion)
    assert refused(champion).fields["file"] == "MLmodel"


def call_on_load(canary):
    """A node that skops would build by calling os.system, if it were trusted."""
    command = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode"}
    command["content"] = json.dumps(f"touch {canary}")
    arguments = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode"}
    arguments["content"] = [command]
    return {
        "__class__": "system",
        "__module__": "posix",
        "__loader__": "ConstructorFromReduceNode",
        "content": arguments,
    }


def with_entry(content, name, data, compression):
    """The archive with one more entry."""
    target = io.BytesIO(content)
    with zipfile.ZipFile(target, "a", compression) as archive:
        archive.writestr(name, data)
    return target.getvalue()


def nested(schema):
    """The schema deep inside itself."""
    for _ in range(600):
        schema = {"content": schema, "protocol": 2}
    return schema


SCHEMAS = {
    "a call": (lambda s, canary: {**s, "content": call_on_load(canary)}, "posix.system"),
    "another class": (
        lambda s, _: {**s, "__class__": "Popen", "__module__": "subprocess"},
        "subprocess.Popen",
    ),
    "an old protocol": (lambda s, _: {**s, "protocol": 0}, "version"),
    "shared nodes": (lambda s, _: {**s, "__id__": 7}, "refer"),
    "unknown fields": (lambda s, _: {**s, "attrs": 1}, "unknown fields"),
    "a deep nest": (lambda s, _: nested(s), "deep"),
    "a list": (lambda s, _: [s], "version"),
}


@pytest.mark.parametrize("kind", list(SCHEMAS))
def test_a_forged_skops_schema(champion, canary, kind):
    """A schema that tidemill does not write is refused although its digest was forged too."""
    change, problem = SCHEMAS[kind]
    path = champion.stored() / "model.skops"
    path.write_bytes(rewrite_schema(path.read_bytes(), lambda schema: change(schema, canary)))
    reseal(champion)
    error = refused(champion)
    assert error.fields["file"] == "model.skops"
    assert problem in error.fields["problem"]


@pytest.mark.parametrize(
    ("name", "compression", "problem"),
    [("0" * 64 + ".npy", zipfile.ZIP_DEFLATED, "compressed"), ("a.py", zipfile.ZIP_STORED, "a.py")],
)
def test_a_forged_skops_archive(champion, name, compression, problem):
    """Compressed entries (bombs) and entries that are no arrays are refused unread."""
    path = champion.stored() / "model.skops"
    path.write_bytes(with_entry(path.read_bytes(), name, b"0" * 1_000_000, compression))
    reseal(champion)
    assert problem in refused(champion).fields["problem"]


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (FunctionTransformer(os.system), "posix.system"),
        (FunctionTransformer(np.log1p), "FunctionTransformer"),  # skops itself trusts this one
        ("passthrough", "first step"),
    ],
)
def test_a_pipeline_of_foreign_steps(champion, make_pipeline, canary, step, problem):
    """A well-formed pipeline with a step that is not tidemill's is refused."""
    pipeline = Pipeline([("reducer", step), make_pipeline().steps[1]])
    (champion.stored() / "model.skops").write_bytes(canonical(skops.io.dumps(pipeline)))
    reseal(champion)
    assert problem in refused(champion).fields["problem"]


@pytest.mark.parametrize(("field", "value"), [("left", 10_000), ("feature_idx", 99), ("right", 0)])
def test_a_tree_that_would_read_out_of_bounds(champion, make_pipeline, field, value):
    """scikit-learn follows a tree's indices unchecked: they are checked at loading."""
    model = make_pipeline(trees=True)
    nodes = model.steps[1][1]._predictors[0][0].nodes
    nodes[field][0] = value
    (champion.stored() / "model.skops").write_bytes(canonical(skops.io.dumps(model)))
    reseal(champion)
    assert "bounds" in refused(champion).fields["problem"]


def test_an_alias_that_moves_while_loading(champion, monkeypatch):
    """The alias is resolved once: the version that was found is the one that is loaded."""
    other = champion.another(2)
    other.register(key="run-2")
    real = loader_module.open_contents

    def moved(*args):
        Registry(champion.tracker()).promote("rides", 2, replaces=1, evidence={})
        return real(*args)

    monkeypatch.setattr(loader_module, "open_contents", moved)
    loaded = load_champion(champion.uri, "rides")
    assert (loaded.version, loaded.digest) == (1, champion.digest)
    monkeypatch.undo()
    assert load_champion(champion.uri, "rides").digest == other.digest


def test_the_files_of_another_version(champion):
    """A version whose folder holds another candidate, whole and sealed, is refused."""
    other = champion.another(2)
    folder = champion.stored()
    for path in other.candidate.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    assert refused(champion).fields["file"] == "candidate.json"


def test_a_version_that_tidemill_did_not_register(champion):
    """Without a recorded digest there is nothing to compare with: refused."""
    champion.tracker().client().delete_model_version_tag("rides", "1", DIGEST)
    assert "no digest" in str(refused(champion))


def forged_array(content, change):
    """The archive with its largest array changed."""
    source = zipfile.ZipFile(io.BytesIO(content))
    largest = max((e for e in source.infolist() if "npy" in e.filename), key=lambda e: e.file_size)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for entry in source.infolist():
            data = source.read(entry)
            archive.writestr(entry, change(data) if entry is largest else data)
    return target.getvalue()


def test_an_array_that_declares_more_than_it_has(champion):
    """A header of terabytes is refused before numpy makes room for it."""

    def declared(data):
        size = int.from_bytes(data[8:10], "little")
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
        return data[:10] + header.ljust(size - 1) + b"\n" + data[10 + size :]

    path = champion.stored() / "model.skops"
    path.write_bytes(forged_array(path.read_bytes(), declared))
    reseal(champion)
    assert "declares another size" in refused(champion).fields["problem"]


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("learner", "coef_", np.full((1, 5), np.nan)),
        ("learner", "coef_", np.zeros((1, 4))),
        ("learner", "intercept_", np.zeros(3)),
        ("learner", "classes_", np.array(["late"])),
        ("learner", "n_features_in_", 4),
        ("reducer", "encoded", ["a"]),
        ("reducer", "components", np.zeros((2, 3))),
    ],
)
def test_a_model_whose_parts_do_not_fit(champion, make_pipeline, part, name, value):
    """Shapes, classes and slots are compared with each other."""
    model = make_pipeline()
    setattr(model.named_steps[part], name, value)
    if name == "components":
        model.named_steps[part].center = np.zeros(5)
    (champion.stored() / "model.skops").write_bytes(canonical(skops.io.dumps(model)))
    reseal(champion)
    assert refused(champion).fields["file"] == "model.skops"


def _damaged(document):
    """The document with each of its values exchanged or taken away, one at a time."""
    places = [(document, ())]
    for value, path in places:
        steps = value.items() if isinstance(value, dict) else enumerate(value)
        for step, child in steps:
            for other in (None, [], {}, "", -1, "\ud800", [None], {"a": 1}, "no type"):
                changed = copy.deepcopy(document)
                inner = changed
                for name in path:
                    inner = inner[name]
                inner[step] = other
                yield changed
            if isinstance(child, dict | list):
                places.append((child, (*path, step)))


def test_a_schema_sealed_anew_is_read_or_refused():
    """Whatever stands in its place, no other error comes out, and what is read can be used."""
    columns = (
        Column("x", ColumnType.NUMERIC, Purpose.FEATURE, "float32", (0.5, 1.0)),
        Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "string"),
    )
    source = (
        SourceColumn("x", "number", style="plain", missing=(("NA", 3),), note="said"),
        SourceColumn("y", "boolean", words=("no", "yes"), narrow=True, convention="percent"),
    )
    schema = TableSchema(
        columns, Task.BINARY, ("a", "b"), (("x", "z + 1"),), source=source, missing_values=("NA",)
    )
    document = {"schema": json.loads(json.dumps(schema.to_json()))}
    refused = 0
    for metadata in _damaged(document):
        model = LoadedModel(None, 1, "", "", metadata, judged=None, judged_sha256="")
        try:
            found = model.schema
        except ModelUntrusted:
            refused += 1
        else:
            assert len(found.arrow_schema()) == len(found.columns)
            assert found.target.name in found.names
    assert refused > 100
    assert LoadedModel(None, 1, "", "", document, judged=None, judged_sha256="").schema == schema
