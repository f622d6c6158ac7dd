"""The files that the user gave: what a name means, and what is read by an address."""

from __future__ import annotations

import hashlib
import os
import pickle

import pytest

from tidemill.errors import StorageFailed
from tidemill.storage import SourceFiles


@pytest.fixture
def files(tmp_path):
    """A workspace with files inside and beside it."""
    root = tmp_path / "ws"
    for name in ("raw/b.csv", "raw/a.csv", "raw/sub/c.csv", "raw/.hidden.csv", "raw/_x/d.csv"):
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name)
    (root / "raw/notes.md").write_text("read me")
    (tmp_path / "outside.csv").write_text("far")
    (root / "link.csv").symlink_to(tmp_path / "outside.csv")
    (root / "broken.csv").symlink_to(root / "nowhere")
    os.mkfifo(root / "pipe.csv")
    (root / "empty").mkdir()
    return SourceFiles(root)


@pytest.mark.parametrize(
    ("name", "endings", "found"),
    [
        ("raw/b.csv", (), ["raw/b.csv"]),
        ("raw", {".csv"}, ["raw/a.csv", "raw/b.csv", "raw/sub/c.csv"]),
        ("raw", (), ["raw/a.csv", "raw/b.csv", "raw/notes.md", "raw/sub/c.csv"]),
        ("raw", {".pq"}, ["raw/a.csv", "raw/b.csv", "raw/notes.md", "raw/sub/c.csv"]),
        ("raw/*.csv", (), ["raw/a.csv", "raw/b.csv"]),
        ("raw/**/*.csv", (), ["raw/_x/d.csv", "raw/a.csv", "raw/b.csv", "raw/sub/c.csv"]),
        ("link.csv", (), ["OUTSIDE/outside.csv"]),
        ("../outside.csv", (), ["OUTSIDE/outside.csv"]),
        ("empty", (), []),
        ("broken.csv", (), []),
        ("pipe.csv", (), []),
        ("nothing/*.csv", (), []),
    ],
)
def test_a_name_means_files(files, name, endings, found):
    """In the order of their paths, with one address each, from the workspace on where they can."""
    outside = files.root.parent.as_posix()
    assert list(files.find(name, endings)) == [a.replace("OUTSIDE", outside) for a in found]


def test_what_lies_there_is_told(files):
    """A glob is nothing that lies there."""
    kinds = {"raw": "folder", "raw/a.csv": "file", "link.csv": "file", "broken.csv": "broken link"}
    kinds |= {"pipe.csv": "device", "raw/*.csv": "nothing", "raw/z.csv": "nothing"}
    assert {name: files.kind(name) for name in kinds} == kinds


def test_what_was_meant_is_found(files):
    """One part is another: the last, or one above it; as it was written."""
    assert files.similar("raw/aa.csv", "raw/aa.csv") == "raw/a.csv"
    assert files.similar("rww/a.csv", "../ws/rww/a.csv") == "../ws/raw/a.csv"
    assert files.similar("rww/z.csv", "rww/z.csv") is None
    assert files.similar("quite/other", "quite/other") is None


def test_an_address_is_read_by_any_process(files):
    """Size, hash and bytes, from wherever on; of another process too."""
    other = pickle.loads(pickle.dumps(files))
    (address,) = files.find("link.csv")
    assert (other.size(address), other.etag(address)) == (3, hashlib.sha256(b"far").hexdigest())
    for first in (0, 2, 3):
        with other.opened(address, first) as file:
            assert file.read() == b"far"[first:]
    with other.ranged("raw/a.csv") as place:
        assert place.read_text() == "raw/a.csv"


def test_one_file_has_several_addresses(files):
    """Links lead to one; what is not there yet is compared as well."""
    assert files.same("link.csv", str(files.root.parent / "outside.csv"))
    assert files.same("raw/../raw/new.csv", "raw/new.csv")
    assert not files.same("raw/a.csv", "raw/b.csv")


def test_names_are_the_same_from_elsewhere(files, monkeypatch):
    """Absolute from the workspace on; as the workspace has it from the working directory on."""
    assert files.absolute("raw/*.csv") == str(files.root / "raw/*.csv")
    assert files.absolute("/data/raw") == "/data/raw"
    monkeypatch.chdir(files.root.parent)
    assert files.relative("ws/raw/*.csv") == "raw/*.csv"
    assert files.relative("outside.csv") == "../outside.csv"
    for name in ("s3://bucket/x.csv", "rows://here?day=1"):
        assert files.absolute(name) == files.relative(name) == name


@pytest.mark.parametrize("ask", ["size", "etag", "opened"])
def test_what_the_disk_refuses_names_the_address(files, ask):
    """With a remedy, whoever asks what."""

    def asked():
        found = getattr(files, ask)("raw/z.csv")
        if ask == "opened":
            with found:
                pass

    with pytest.raises(StorageFailed, match=r"raw/z\.csv cannot be read: No such file") as caught:
        asked()
    assert "run the same command again" in caught.value.remedy


def test_what_the_disk_refuses_while_it_is_read_is_told(files):
    """Not at the opening alone."""
    with (
        pytest.raises(StorageFailed, match=r"raw/a\.csv cannot be read: Input/output error"),
        files.opened("raw/a.csv"),
    ):
        raise OSError(5, "Input/output error")
