"""Valid JSON with another key or value, in a file that a stage left: refused, and made anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tidemill.storage import read_json, write_hashed
from tidemill.testing.commands import Said

READERS = {
    "data/source.json": "ingest",
    "data/schema.json": "ingest",
    "data/validated/manifest.json": "shard",
    "data/shards/manifest.json": "reduce",
    "models/reducer/reducer.json": "train",
    "models/params.json": "train",
    "models/candidate/training.json": "refit",
    "models/serving/refit.json": "register",
    "reports/metrics.json": "register",
    "reports/reduction.json": "register",
}


@pytest.fixture(scope="module")
def root(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy: what is altered is put back."""
    from tidemill.testing.workspaces import copy_workspace

    return copy_workspace(finished, tmp_path_factory.mktemp("altered") / "ws")


ALTERED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a value": lambda document: {
        **document,
        next(key for key in document if key != "sha256"): "another",
    },
    "the keys": lambda _: {"x": 1},
    "the kind": lambda _: [],
}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        # All are read alike: one of them is enough for the other changes.
        pytest.param(
            name,
            change,
            marks=[] if change == "a value" or name == "data/schema.json" else [pytest.mark.slow],
        )
        for name in READERS
        for change in ALTERED
    ],
)
def test_a_stage_refuses_what_another_did_not_leave(
    root: Path, cli: Callable[..., Said], name: str, change: str
) -> None:
    """A value, the keys or the whole document are others: by name, with the way back."""
    path = root / name
    whole = path.read_bytes()
    document = read_json(path)
    assert "sha256" in document
    path.write_text(json.dumps(ALTERED[change](document)))
    done = cli("stage", READERS[name], "-w", root, "--json")
    assert (done.code, done.document["error"]) == (3, "IntegrityError"), done.err
    assert name in done.document["message"]
    assert "tidemill run" in done.document["remedy"]
    assert "Traceback" not in done.err
    path.write_bytes(whole)


def refused(root: Path, cli: Callable[..., Said], word: str) -> None:
    """``tidemill stage register`` says ``word`` and what to do, and registers nothing."""
    noted = (root / ".tidemill" / "registered.json").read_bytes()
    done = cli("stage", "register", "-w", root, "--json")
    assert (done.code, done.document["error"]) == (3, "IntegrityError"), done.err
    assert word in done.document["message"]
    assert "tidemill run" in done.document["remedy"]
    assert (root / ".tidemill" / "registered.json").read_bytes() == noted


def test_pictures_go_to_mlflow_as_they_were_drawn(root: Path, cli: Callable[..., Said]) -> None:
    """A changed byte in one is refused by its name."""
    picture = root / "reports" / "figures" / "roc.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
    refused(root, cli, "roc.png")
    picture.write_bytes(whole)


def test_a_report_of_another_validation_goes_nowhere(root: Path, cli: Callable[..., Said]) -> None:
    """Its hash lies where Great Expectations lets others write; a run makes it anew, said."""
    path = root / "reports" / "validation.json"
    whole = path.read_bytes()
    document = read_json(path)
    path.write_text(json.dumps({**document, "success": not document["success"]}))
    refused(root, cli, "validation.json")
    done = cli("suite", "docs", "-w", root)
    assert done.code == 3
    assert "validation.json is not what was written" in done.err
    done = cli("run", "--direct", "-w", root)
    assert done.code == 0
    assert "reports/validation.json was not as ingest had left it, and was made anew" in done.err
    assert path.read_bytes() == whole


def test_the_seal_of_a_model_has_a_hash_too(root: Path, cli: Callable[..., Said]) -> None:
    """What it says of the model's columns would go on into the model that serves."""
    path = root / "models" / "candidate" / "model" / "candidate.json"
    whole = path.read_bytes()
    document = read_json(path)
    document["metadata"]["learner"] = "another"
    path.write_text(json.dumps(document))
    for stage in ("evaluate", "refit"):
        done = cli("stage", stage, "-w", root, "--json")
        assert (done.code, done.document["error"]) == (3, "ModelUntrusted"), done.err
        assert "candidate.json" in done.document["message"]
    path.write_bytes(whole)


def test_figures_of_one_model_are_not_registered_with_another(
    root: Path, cli: Callable[..., Said]
) -> None:
    """Whoever runs stages by hand and leaves evaluate out, or refit, is told."""
    path = root / "reports" / "metrics.json"
    whole = path.read_bytes()
    document = read_json(path)
    write_hashed(path, {**document, "judged": ["0" * 64]}, listed=True)
    refused(root, cli, "another model")
    path.write_bytes(whole)


@pytest.mark.slow
def test_the_version_of_the_data_is_that_of_the_shards(
    root: Path, cli: Callable[..., Said]
) -> None:
    """Another value in dvc.lock is refused, and a run records what lies there again."""
    path = root / "dvc.lock"
    whole = path.read_text()
    version = YAML(typ="safe").load(whole)["stages"]["shard"]["outs"][0]["md5"]
    path.write_text(whole.replace(version, f"{'0' * 32}.dir"))
    refused(root, cli, "dvc.lock")
    assert cli("run", "--direct", "-w", root).code == 0
    assert path.read_text() == whole


@pytest.mark.slow
def test_a_run_makes_anew_what_was_altered(
    root: Path, cli: Callable[..., Said], ran: Callable[..., list[str]]
) -> None:
    """What is not as dvc.lock has it is made again, to the same bytes."""
    from tidemill.testing.workspaces import run_here

    before = {name: (root / name).read_bytes() for name in READERS}
    for name in ("data/schema.json", "data/shards/manifest.json", "models/params.json"):
        (root / name).write_bytes(before[name].replace(b'": ', b'":  ', 1))
        document = read_json(root / name)
        (root / name).write_text(json.dumps({**document, "added": 1}))
    left = root / "models" / f".params.json.{'0f' * 16}.tmp"
    left.write_text("half")
    done = cli("run", "--direct", "-w", root, "--until", "tune")
    assert done.code == 0
    assert "data/shards was not as shard had left it, and was made anew" in done.err
    assert not left.exists()
    assert {name: (root / name).read_bytes() for name in READERS} == before
    assert ran(run_here(root)) == []
