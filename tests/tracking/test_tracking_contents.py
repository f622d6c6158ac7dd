"""One contract for every place that files of a model lie in: this machine, MLflow's stores."""

from __future__ import annotations

import os
import tracemalloc

import pytest

from tidemill.errors import ModelUntrusted, StorageFailed, TidemillError
from tidemill.tracking import contents
from tidemill.tracking.contents import FolderContents, StoreContents

FILES = {"MLmodel": b"flavors: {}\n", "a/b/c.bin": bytes(range(256)), "empty": b""}


def store(folder, *, sizes=True):
    """A real repository of MLflow's, asked as one of those that only copy whole files."""
    from mlflow.entities import FileInfo
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    class Repository(LocalArtifactRepository):
        copied = 0

        def list_artifacts(self, path=None):
            found = super().list_artifacts(path)
            return found if sizes else [FileInfo(one.path, one.is_dir, None) for one in found]

        def download_artifacts(self, artifact_path, dst_path=None):
            Repository.copied += 1
            return super().download_artifacts(artifact_path, dst_path)

    return StoreContents(Repository(folder.as_uri()), "http://127.0.0.1:9", str(folder))


PLACES = {"folder": FolderContents, "store": store}


@pytest.fixture(params=PLACES)
def place(request, tmp_path):
    """A folder with files, and how each implementation looks into it."""
    folder = tmp_path / "model"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder, PLACES[request.param](folder)


def test_all_files_below_are_named_with_their_sizes(place):
    """Relative paths of every depth; no folders."""
    _, found = place
    assert dict(found.sizes()) == {name: len(content) for name, content in FILES.items()}


def test_a_file_is_read_whole(place):
    """Its bytes, also where the limit is exactly its size."""
    _, found = place
    found.sizes()
    for name, content in FILES.items():
        assert found.read(name, 1000) == found.read(name, len(content)) == content


def test_a_file_beyond_the_limit_is_refused(place):
    """One byte more is too many; a terabyte costs neither memory nor disk."""
    folder, found = place
    with (folder / "huge").open("wb") as file:
        file.truncate(1 << 40)
    tracemalloc.start()
    try:
        for name, limit in (("a/b/c.bin", 255), ("huge", 1 << 20)):
            with pytest.raises(ModelUntrusted, match="more than") as refused:
                found.read(name, limit)
            assert refused.value.fields["file"] == name
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_too_many_files_end_the_look(place, monkeypatch):
    """No model has so many."""
    folder, found = place
    monkeypatch.setattr(contents, "_MAX_FILES", 20)
    for number in range(30):
        (folder / f"a/{number}").touch()
    with pytest.raises(ModelUntrusted, match="more than 20 files"):
        found.sizes()


def test_what_cannot_be_had_is_an_error_of_ours(place):
    """A file that went after the look; one that was never there."""
    folder, found = place
    found.sizes()
    (folder / "MLmodel").unlink()
    for name in ("MLmodel", "nothing"):
        with pytest.raises(TidemillError) as failed:
            found.read(name, 1000)
        assert failed.value.remedy


def test_a_folder_that_is_not_there_is_empty(tmp_path):
    """Nothing lies in it; a file of it cannot be read."""
    found = FolderContents(tmp_path / "nowhere")
    assert found.sizes() == {}
    with pytest.raises(StorageFailed):
        found.read("MLmodel", 10)


def test_a_link_and_a_pipe(tmp_path):
    """A link to a file is one; a link to a folder and a pipe are none, and nobody waits."""
    (tmp_path / "file").write_bytes(b"12")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "around").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert FolderContents(tmp_path).sizes() == {"file": 2, "link": 2}


def test_a_store_that_tells_no_size_is_asked_for_nothing(tmp_path):
    """It would give the whole file, however large that is."""
    (tmp_path / "MLmodel").write_bytes(b"x")
    found = store(tmp_path, sizes=False)
    assert found.sizes() == {"MLmodel": None}
    with pytest.raises(ModelUntrusted, match="does not say"):
        found.read("MLmodel", 1000)
    assert found._repository.copied == 0
