"""Valid JSON with another key or value, in a file that a stage left: refused, and made anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tidemill.storage import read_json
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
}


@pytest.fixture(scope="module")
def root(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy: what is altered is put back."""
    from tidemill.testing.workspaces import copy_workspace

    return copy_workspace(finished, tmp_path_factory.mktemp("altered") / "ws")


@pytest.mark.parametrize(("name", "stage"), READERS.items())
def test_a_stage_refuses_what_another_did_not_leave(
    root: Path, cli: Callable[..., Said], name: str, stage: str
) -> None:
    """A value, a key and the whole document are others: by name, with the way back."""
    path = root / name
    whole = path.read_bytes()
    document = read_json(path)
    key = next(key for key in document if key != "sha256")
    others = ({**document, key: "another"}, {"x": 1}, [])
    # What DVC shows as a metric has no hash of its own.
    for other in others if "sha256" in document else others[1:]:
        path.write_text(json.dumps(other))
        done = cli("stage", stage, "-w", root, "--json")
        assert (done.code, done.document["error"]) == (3, "IntegrityError"), done.err
        assert name in done.document["message"]
        assert "tidemill run" in done.document["remedy"]
        assert "Traceback" not in done.err
    path.write_bytes(whole)


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
    assert cli("run", "--direct", "-w", root, "--until", "tune").code == 0
    assert not left.exists()
    assert {name: (root / name).read_bytes() for name in READERS} == before
    assert ran(run_here(root)) == []
