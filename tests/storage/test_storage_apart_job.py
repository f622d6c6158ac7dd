"""The main job and a retraining whose rows lie in a store apart leave what they leave here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
from tests.doors.test_doors_arrival import arrive

from tidemill.config import set_params
from tidemill.engines import open_engine
from tidemill.retraining import Order, retrain
from tidemill.settings import Settings
from tidemill.storage import ShardManifest, Workspace, hash_file, open_store, read_blocks
from tidemill.storage.published_names import PublishedNames
from tidemill.testing.shells import plain_shell
from tidemill.testing.workspaces import copy_workspace, run_here, small_workspace
from tidemill.versioning import Versions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

OWN = ("reports/summary.json", "data/versions.json")
"""Seconds, and by DVC's own hash what lies in the workspace: rows, or the names of objects."""


@pytest.fixture(scope="module", autouse=True)
def _surroundings(tmp_path_factory):
    with plain_shell(TIDEMILL_CACHE_DIR=str(tmp_path_factory.mktemp("cache"))):
        yield


def made(root: Path, url: str | None, *, until: str | None = None) -> Path:
    """A workspace after one run, its rows in the store of that address."""
    small_workspace(root, settings=["ingestion.batch_rows=700"])
    path = root / "params.yaml"
    text = set_params(path.read_text(), ["monitoring.retraining.max_regression=1.0"])
    path.write_text(text + (f"\nstorage: {{url: '{url}'}}\n" if url else ""))
    run_here(root, until=until)
    return root


def left(root: Path) -> dict[str, str]:
    """The hash of each file below data, models and reports; of what lies apart, by its name."""
    files = (file for top in ("data", "models", "reports") for file in (root / top).rglob("*"))
    found = {str(file.relative_to(root)): hash_file(file) for file in files if file.is_file()}
    for name in [name for name in found if name.endswith("/contents.json")]:
        del found[name]
        folder = (root / name).parent
        for each, sha256 in PublishedNames.read(folder).names.items():
            found[str((folder / each).relative_to(root))] = sha256
    return {name: each for name, each in found.items() if name not in OWN}


def turned(root: Path) -> list[pa.RecordBatch]:
    """Labelled live rows: 1,500 of the shards, once more, with other answers."""
    manifest = ShardManifest.read(root / "data" / "shards")
    folder = Workspace.at(root).stored(root / "data" / "shards")
    shards = manifest.of_origin("").shards
    table = pa.concat_tables(t for s in shards for t in read_blocks(folder.verified(s.file)))
    table = table.unify_dictionaries().slice(0, 1500)
    answers = table["cancelled"].cast(pa.string())
    features = [column.name for column in manifest.schema.features]
    live = pa.table(
        {
            "event_id": pa.array([f"e{number}" for number in range(1500)]),
            "at": table["requested_at"],
            **{name: table[name] for name in features},
            "cancelled": pa.array([{"1": "0", "0": "1"}[str(one)] for one in answers]),
        }
    )
    return live.to_batches(max_chunksize=400)


def retrained(root: Path) -> None:
    """Learn from the live rows."""
    batches, settings = turned(root), Settings(workers=1)
    order = Order("d1", "the answer has turned round", ())
    with open_engine(settings) as engine:
        retrain(Workspace.at(root), lambda: batches, order, settings=settings, engine=engine)


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """The workspace with its rows in its own folder."""
    return made(tmp_path_factory.mktemp("here") / "ws", None)


@pytest.fixture(scope="module")
def lake(seaweed, new_bucket) -> str:
    """The address of a bucket: one for all, each takes seven volumes of the server's."""
    return f"s3://{new_bucket(seaweed)}"


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_the_main_job_and_a_retraining_leave_the_same(kind, here, lake, tmp_path):
    """Every object of data, and every file of models and reports, has the same hash."""
    there = made(tmp_path / "ws", f"file://{tmp_path}/store" if kind == "file" else f"{lake}/job")
    assert left(there) == left(here)
    assert not list((there / "data").rglob("*.parquet"))
    again = copy_workspace(here, tmp_path / "again")
    retrained(there)
    retrained(again)
    assert left(there) == left(again)


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_a_source_that_grows_leaves_the_same(kind, lake, tmp_path):
    """A file comes late, one changes, one goes: two are parsed, as on a disk, to the same bytes."""
    urls = {"here": None, "there": f"file://{tmp_path}/store" if kind == "file" else f"{lake}/grow"}
    for name, url in urls.items():
        root = made(tmp_path / name, url, until="shard")
        arrive(root, "late", 900)
        (root / "data/raw/rides-2024-02.csv").unlink()
        arrive(root, "rides-2024-03", 1800, month="03")
        run = run_here(root, until="shard")
        facts = {each.stage: each.result.facts for each in run.stages}
        assert facts["ingest"]["splits_read"] == 2
        assert run_here(root, until="shard").stages[1].state == "current"
    assert left(tmp_path / "here") == left(tmp_path / "there")


def test_an_earlier_version_comes_back_to_the_byte(lake, tmp_path, monkeypatch):
    """By git and DVC: they track manifest and names, and the store has the objects of both.

    Here, and in a clone that has another folder, another cache and another name in the store:
    all but the source. What is tidied up between is nothing that a version needs.
    """
    root = made(tmp_path / "ws", f"{lake}/versions")

    def shell(commands: str, folder: Path = root) -> None:
        done = subprocess.run(["sh", "-ec", commands], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    shell(f"git init -q .; dvc remote add -q -d shared {tmp_path}/remote")
    shell("git add -A; git commit -qm one; git tag one; dvc push -q")
    versions = {"one": left(root)}
    path = root / "params.yaml"
    path.write_text(set_params(path.read_text(), ["seed=43", "dataset.sample={fraction: 0.9}"]))
    run_here(root)
    shell("git add -A; git commit -qm two; git tag two; dvc push -q")
    versions["two"] = left(root)
    for place in ("data/validated/", "data/shards/"):
        one, two = ({n: h for n, h in v.items() if place in n} for v in versions.values())
        assert one != two
    objects = set(open_store(f"{lake}/versions").list_keys("objects"))
    shell("tidemill data gc --yes")
    assert set(open_store(f"{lake}/versions").list_keys("objects")) == objects
    for version in ("one", "two", "one"):
        shell(f"git checkout -q {version}; dvc checkout -q")
        assert left(root) == versions[version]
        with Versions(root) as known:
            assert all(known.is_current(stage) for stage in ("look", "ingest", "shard"))

    monkeypatch.setenv("TIDEMILL_CACHE_DIR", str(tmp_path / "cache"))
    shell(f"git clone -q {root} clone", tmp_path)
    clone = tmp_path / "clone"
    assert Workspace.at(clone).name() != Workspace.at(root).name()
    for version, expected in versions.items():
        rows = tmp_path / f"rows-{version}"
        shell(f"git checkout -q {version}; dvc pull -q; tidemill data fetch --out {rows}", clone)
        assert left(clone) == {n: h for n, h in expected.items() if not n.startswith("data/raw/")}
        found = {str(f.relative_to(rows)): hash_file(f) for f in rows.rglob("*") if f.is_file()}
        assert found == {name: expected[name] for name in found}
        assert {n for n in found if n.endswith(".parquet")} == {
            n for n in expected if n.endswith(".parquet")
        }
