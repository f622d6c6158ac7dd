"""Files and folders are whole or absent, whenever the process dies and when the disk is full."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest

from tidemill.errors import IntegrityError, StorageFailed
from tidemill.storage import (
    commit_directory,
    discard_directory,
    discard_file,
    fresh_directory,
    read_file,
    read_json,
    sweep_others,
    write_bytes,
    write_json,
)


def _content(folder: Path) -> dict[str, str] | None:
    if not folder.exists():
        return None
    return {path.name: path.read_text() for path in folder.iterdir()}


def _fill(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("a", "b", "manifest.json"):
        (folder / name).write_text(text)


OLD = dict.fromkeys(("a", "b", "manifest.json"), "old")
NEW = dict.fromkeys(("a", "b", "manifest.json"), "new")


def test_a_killed_write_leaves_the_old_or_the_new(tmp_path, crash_points):
    """write_bytes killed at any file event: the file holds all of the old or all of the new."""
    path = tmp_path / "file"
    seen = set()

    def check():
        seen.add(path.read_bytes())

    points = crash_points(
        lambda: path.write_bytes(b"old" * 1000), lambda: write_bytes(path, b"new" * 1000), check
    )
    assert points >= 2
    assert seen == {b"old" * 1000, b"new" * 1000}


def test_a_write_replaces_and_never_edits(tmp_path):
    """A hard link to the old file, as in a linked cache, keeps the old content."""
    write_bytes(tmp_path / "file", b"old")
    (tmp_path / "cache").hardlink_to(tmp_path / "file")
    write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "cache").read_bytes() == b"old"


def test_a_killed_commit_never_leaves_a_mixture(tmp_path, crash_points):
    """commit_directory killed at any file event: the target is old, absent or new, and whole."""
    staged, target = tmp_path / "work" / "staged", tmp_path / "data" / "shards"
    seen = []

    def prepare():
        shutil.rmtree(tmp_path / "work", ignore_errors=True)
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        _fill(staged, "new")
        _fill(target, "old")

    def check():
        seen.append(_content(target))
        # The next run commits again what it still has, and clears the graves away.
        if staged.exists():
            commit_directory(staged, target)
        else:
            _fill(staged, "new")
            commit_directory(staged, target)
        assert _content(target) == NEW
        assert [path.name for path in target.parent.iterdir()] == ["shards"]

    assert crash_points(prepare, lambda: commit_directory(staged, target), check) >= 4
    assert all(content in (OLD, None, NEW) for content in seen)
    assert OLD in seen
    assert seen[-1] == NEW


@pytest.mark.parametrize("aside", [None, pytest.param("aside", marks=pytest.mark.slow)])
def test_a_killed_discard_never_leaves_half(tmp_path, crash_points, aside):
    """discard_directory killed at any file event: the folder is whole or gone; remains go too.

    Where they may lie elsewhere, they never lie beside it.
    """
    folder, beside = tmp_path / "work" / "key", aside and tmp_path / aside
    (beside or tmp_path).mkdir(exist_ok=True)
    seen = []

    def check():
        seen.append(_content(folder))
        if beside:
            assert [path.name for path in folder.parent.iterdir()] in ([], ["key"])
        discard_directory(folder, beside=beside)
        assert list((beside or folder.parent).iterdir()) == list(folder.parent.iterdir()) == []

    crash_points(
        lambda: _fill(folder, "old"), lambda: discard_directory(folder, beside=beside), check
    )
    assert all(content in (OLD, None) for content in seen)
    assert OLD in seen


def test_a_sweep_leaves_what_is_named(tmp_path, crash_points):
    """Files, folders and links go, also what a killed sweep left; what a link leads to stays."""
    folder = tmp_path / "work"
    elsewhere = tmp_path / "elsewhere"
    _fill(elsewhere, "new")

    def prepare():
        _fill(folder / "rows", "old")
        (folder / "kept").write_text("kept")
        (folder / "note").write_text("note")
        (folder / "link").unlink(missing_ok=True)
        (folder / "link").symlink_to(elsewhere)

    def check():
        sweep_others(folder, {"kept"})
        assert [path.name for path in folder.iterdir()] == ["kept"]
        assert _content(elsewhere) == NEW

    crash_points(prepare, lambda: sweep_others(folder, {"kept"}), check)


def test_a_folder_comes_from_another_disk(small_disk, tmp_path):
    """Work may lie on one disk and outputs, by a link, on another; nothing is left on either."""
    (tmp_path / "models").symlink_to(small_disk)
    staged, target = tmp_path / "work" / "reducer", tmp_path / "models" / "reducer"
    for text, content in (("old", OLD), ("new", NEW)):
        _fill(staged, text)
        commit_directory(staged, target)
        assert _content(target) == content
        assert not staged.exists()
        assert [path.name for path in small_disk.iterdir()] == ["reducer"]


def test_a_commit_that_fails_leaves_what_was_there(tmp_path):
    """There is nothing to be put in the place: what gave way comes back."""
    _fill(tmp_path / "shards", "old")
    with pytest.raises(StorageFailed):
        commit_directory(tmp_path / "absent", tmp_path / "shards")
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]
    assert _content(tmp_path / "shards") == OLD


def test_a_file_gives_way_to_a_folder(tmp_path):
    """It is deleted as a file is."""
    (tmp_path / "shards").write_text("no folder")
    _fill(tmp_path / "staged", "new")
    commit_directory(tmp_path / "staged", tmp_path / "shards")
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]
    assert _content(tmp_path / "shards") == NEW


def test_commit_makes_the_target(tmp_path):
    """A first commit makes the folders on the way, and takes the staged folder away."""
    _fill(tmp_path / "staged", "new")
    commit_directory(tmp_path / "staged", tmp_path / "a" / "b")
    assert _content(tmp_path / "a" / "b") == NEW
    assert not (tmp_path / "staged").exists()


def test_names_with_patterns_are_names(tmp_path):
    """A folder named like a glob pattern does not take others' graves for its own."""
    (tmp_path / ".s.1.old").mkdir()
    _fill(tmp_path / "staged", "new")
    commit_directory(tmp_path / "staged", tmp_path / "[s]")
    discard_directory(tmp_path / "[s]")
    assert (tmp_path / ".s.1.old").exists()


def test_fresh_is_empty(tmp_path):
    """fresh_directory empties what is there."""
    _fill(tmp_path / "x", "old")
    assert list(fresh_directory(tmp_path / "x").iterdir()) == []


def test_a_full_disk_keeps_the_old_file(small_disk):
    """write_bytes on a full disk: StorageFailed with exit code 74; old content, no remains."""
    path = small_disk / "file"
    write_bytes(path, b"old")
    with pytest.raises(StorageFailed, match="No space left") as caught:
        write_bytes(path, bytes(9 << 20))
    assert caught.value.exit_code == 74
    assert caught.value.retryable
    assert "free some disk space" in caught.value.remedy
    assert [each.name for each in small_disk.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_a_file_in_the_way_is_a_storage_error(tmp_path):
    """A file where a folder should be: StorageFailed that names the path."""
    (tmp_path / "x").write_text("")
    with pytest.raises(StorageFailed) as caught:
        write_bytes(tmp_path / "x" / "y", b"")
    assert caught.value.fields["path"] == str(tmp_path / "x" / "y")


def test_json_is_canonical(tmp_path):
    """The order of keys does not show in the bytes, and what is not JSON is not written."""
    write_json(tmp_path / "a", {"b": 1, "a": [0.1, "ü"]})
    write_json(tmp_path / "b", {"a": [0.1, "ü"], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_json(tmp_path / "a") == json.loads((tmp_path / "a").read_text())
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a", {"x": float("nan")})
    assert read_json(tmp_path / "a")["b"] == 1


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"a": 1'])
def test_damaged_json_is_an_integrity_error(tmp_path, content):
    """JSON that is none, or no text: IntegrityError with the path and a remedy."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        read_json(tmp_path / "x")
    assert caught.value.fields["path"].endswith("x")
    assert "tidemill run" in caught.value.remedy


def test_missing_json_is_an_integrity_error(tmp_path):
    """A file that is not there says so."""
    with pytest.raises(IntegrityError, match="missing"):
        read_json(tmp_path / "x")


def test_modes_follow_the_umask(tmp_path):
    """Written files have ordinary permissions: others of the group can read them."""
    write_bytes(tmp_path / "x", b"")
    (tmp_path / "y").write_bytes(b"")
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "y").stat().st_mode
    )


@pytest.mark.parametrize("led", ["to a folder", "nowhere"])
def test_a_link_gives_way_and_what_it_led_to_stays(tmp_path, led):
    """A folder that was moved to another disk, with a link in its place, is replaced and swept."""
    elsewhere, place, staged = (tmp_path / name for name in ("elsewhere", "place", "staged"))
    if led == "to a folder":
        _fill(elsewhere, "old")
    for replaced in (commit_directory, lambda _, target: discard_directory(target)):
        _fill(staged, "new")
        discard_directory(place)
        place.symlink_to(elsewhere)
        replaced(staged, place)
        assert not place.is_symlink()
        assert sorted(path.name for path in tmp_path.glob(".place*")) == []
    assert _content(elsewhere) == (OLD if led == "to a folder" else None)


@pytest.mark.parametrize("read", [read_file, read_json])
def test_what_cannot_be_read_is_told_as_storage_does(tmp_path, read):
    """Absent is one thing, refused another; both have a remedy."""
    with pytest.raises(IntegrityError, match="is missing"):
        read(tmp_path / "nothing")
    with pytest.raises(StorageFailed, match="Is a directory") as caught:
        read(tmp_path)
    assert caught.value.remedy


def test_a_file_is_discarded_or_was_not_there(tmp_path):
    """Of a link the link alone."""
    kept, link = tmp_path / "kept", tmp_path / "link"
    kept.write_text("kept")
    link.symlink_to(kept)
    for _ in range(2):
        discard_file(link)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with pytest.raises(StorageFailed):
        discard_file(tmp_path)
