"""``tidemill data``: what versions need of a store apart, brought here, and taken away."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys

import pytest

from tidemill.storage import Workspace, open_store, publish
from tidemill.versioning import ensure_repo

DVC = """stages:
  ingest: {cmd: 'true', outs: [data/validated: {persist: true, cache: false}]}
  shard: {cmd: 'true', outs: [data/shards]}
"""


@pytest.fixture
def place(tmp_path) -> Workspace:
    """A workspace whose rows lie in a store apart, in a git and DVC repository."""
    root = tmp_path / "ws"
    root.mkdir()
    (root / "params.yaml").write_text(
        f"dataset: {{source: a.csv, target: y}}\nstorage: {{url: 'file://{tmp_path}/store'}}\n"
    )
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
    ensure_repo(root)
    (root / "dvc.yaml").write_text(DVC)
    return Workspace.at(root)


def published(place: Workspace, **objects: bytes) -> None:
    """Let these be the shards."""
    folder, named = place.stored(place.work("shard", "k")), {}
    for name, content in objects.items():
        with open_store(folder.store).replace(folder.key(name)) as file:
            file.write(content)
        named[name] = (folder, name, hashlib.sha256(content).hexdigest())
    publish(place.shards, named, {"manifest.json": b"{}"})
    place.validated.mkdir(exist_ok=True)  # as before the rows lay in a store: it has them itself
    (place.validated / "part").write_bytes(repr(objects).encode())
    place.discard(place.work("shard", "k"))


def committed(place: Workspace, message: str) -> str:
    """The commit with what the shards are now."""
    for command in (
        [sys.executable, "-m", "dvc", "commit", "--force", "ingest", "shard"],
        ["git", "add", "--all", "."],
        ["git", "commit", "-q", "-m", message],
    ):
        subprocess.run(command, cwd=place.root, check=True, capture_output=True)
    said = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=place.root, check=True, capture_output=True, text=True
    )
    return said.stdout.strip()


@pytest.fixture
def data(cli):
    """Run a command of a workspace: exit code and document."""

    def run(place: Workspace, *asked: str) -> tuple[int, dict]:
        said = cli("data", *asked, "--json", "-w", str(place.root))
        return said.code, said.document

    return run


def test_versions_are_told_fetched_and_kept(place, data, tmp_path):
    """What a commit needs stays until only the workspace counts; what none needs goes."""
    published(place, a=b"one", b=b"both")
    first = committed(place, "one")
    published(place, a=b"never kept")
    published(place, a=b"two", b=b"both")
    second = committed(place, "two")

    code, told = data(place, "status")
    assert code == 0
    rows = {(row["version"], row["objects"], row["missing"]) for row in told["versions"]}
    assert rows == {("workspace", 3, 0), (second[:12], 3, 0), (first[:12], 3, 0)}
    assert told["workspaces"] == [{"workspace": place.name(), "claims": 3, "this": True}]

    code, told = data(place, "gc")
    garbage = {"claims": 1, "objects": 2, "unfinished": 0, "strange": 0}
    assert (code, told) == (0, {"taken_away": False, **garbage})
    assert data(place, "gc", "--yes")[1] == {"taken_away": True, **garbage}
    assert data(place, "gc")[1]["objects"] == 0
    assert all(row["missing"] == 0 for row in data(place, "status")[1]["versions"])

    code, told = data(place, "fetch")
    assert (code, told["folder"]) == (0, f"file://{tmp_path}/store")
    code, told = data(place, "fetch", "--out", str(tmp_path / "out"))
    assert (code, told["objects"]) == (0, 3)
    folder = tmp_path / "out" / "data" / "shards"
    found = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert found == {"a": b"two", "b": b"both", "manifest.json": b"{}"}
    assert data(place, "fetch", "--out", str(tmp_path / "out"))[0] == 2

    assert data(place, "gc", "--yes", "--only-workspace")[1]["claims"] == 1
    missing = {row["version"]: row["missing"] for row in data(place, "status")[1]["versions"]}
    assert missing == {"workspace": 0, second[:12]: 0, first[:12]: "all"}


def test_what_others_put_into_the_store_is_counted(place, cli):
    """By status and gc, with the name of one; it is listed as no workspace."""
    published(place, a=b"one")
    committed(place, "one")
    with open_store(place.store()).replace("claims/old/README") as file:
        file.write(b"hi")
    for asked in (["status"], ["gc"]):
        said = cli("data", *asked, "-w", str(place.root))
        assert said.code == 0
        assert "1 among the objects and claims" in " ".join(said.err.split())
        assert "'claims/old/README'" in said.err


def test_where_a_version_is_not_known_nothing_is_taken_away(place, data):
    """DVC's cache lacks it: its objects could be any."""
    published(place, a=b"one")
    committed(place, "one")
    published(place, a=b"two")
    for listed in (place.root / ".dvc" / "cache" / "files" / "md5").rglob("*.dir"):
        listed.unlink()
    before = list(open_store(place.store()).list_keys())
    code, told = data(place, "gc", "--yes")
    assert (code, told["error"]) == (3, "IntegrityError")
    assert "dvc fetch --all-commits" in told["remedy"]
    assert list(open_store(place.store()).list_keys()) == before
    _, told = data(place, "status")
    assert [row["missing"] for row in told["versions"]] == [0, "its names: dvc fetch --all-commits"]


@pytest.mark.parametrize(
    "trouble", ["refusing", "absent", "shallow", pytest.param("inner", marks=pytest.mark.slow)]
)
def test_where_git_does_not_tell_all_commits_nothing_is_taken_away(
    place, data, monkeypatch, tmp_path, trouble
):
    """It refuses (the folder is another user's), is absent, or the clone is shallow."""
    published(place, a=b"one")
    committed(place, "one")
    published(place, a=b"two")
    committed(place, "two")
    if trouble == "refusing":
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    elif trouble == "absent":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif trouble == "shallow":
        head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=place.root)
        (place.root / ".git" / "shallow").write_bytes(head)
    else:  # of a repository above
        (place.root / ".git").rename(tmp_path / ".git")
        monkeypatch.setenv("PATH", str(tmp_path))
    before = list(open_store(place.store()).list_keys())
    code, told = data(place, "gc", "--yes")
    assert (code, told["error"]) == (3, "IntegrityError")
    said = {"refusing": "dubious ownership", "shallow": "--unshallow"}
    assert said.get(trouble, "git is not installed") in told["message"]
    assert "--only-workspace" in told["remedy"]
    assert list(open_store(place.store()).list_keys()) == before
    assert data(place, "status")[0] == 3
    for version in ("status", "gc"):
        assert data(place, version, "--only-workspace")[0] == 0


def test_a_publisher_that_was_killed_is_told_and_kept(place, data, cli, tmp_path):
    """By another workspace's gc: who it is, and what makes its objects go."""
    other = tmp_path / "other"
    shutil.copytree(place.root, other)
    published(place, a=b"one")
    contents = place.stored(place.shards).contents
    open_store(place.store()).discard(f"objects/{contents}")
    said = cli("data", "gc", "--yes", "--json", "-w", str(other))
    assert (said.code, said.document["unfinished"]) == (0, 1)
    assert f"{place.name()} has a version that is not published yet" in said.err
    assert data(Workspace.at(other), "gc", "--yes", "--gone", place.name())[1]["unfinished"] == 0
    assert list(open_store(place.store()).list_keys()) == []


def test_a_workspace_without_git_has_no_earlier_versions(place, data, monkeypatch, tmp_path):
    """Nor needs it git for that."""
    shutil.rmtree(place.root / ".git")
    published(place, a=b"one")
    monkeypatch.setenv("PATH", str(tmp_path))
    code, told = data(place, "gc")
    assert (code, told["claims"], told["objects"]) == (0, 0, 0)


def test_a_workspace_without_a_store_apart_is_told_so(data, tmp_path):
    """With what to do instead."""
    (tmp_path / "params.yaml").write_text("dataset: {source: a.csv, target: y}\n")
    code, told = data(Workspace.at(tmp_path), "gc")
    assert (code, told["error"]) == (2, "UsageError")
    assert "dvc gc" in told["remedy"]
