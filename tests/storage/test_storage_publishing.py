"""A published folder holds exactly what is named, whole or as it was, whatever store it is from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tidemill.errors import IntegrityError, StorageFailed, UsageError
from tidemill.storage import StoreFolder, commit_directory, open_store, publish
from tidemill.storage.posix import PosixStore


def content(folder: Path) -> dict[str, bytes] | None:
    """Every file below a folder; None where there is none."""
    if not folder.exists():
        return None
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def fill(folder: Path, files: dict[str, bytes]) -> None:
    """New files in a new folder: what is published may be linked to."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, held in files.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(held)


def stored(address: str, **objects: bytes) -> StoreFolder:
    """The folder ``parts`` of a store, with these objects."""
    for name, held in objects.items():
        with open_store(address).replace(f"parts/{name}") as file:
            file.write(held)
    return StoreFolder(address, "parts")


NEW = {"a": b"one", "below/it/b": b"two", "manifest.json": b"{}"}
OLD = {"a": b"older", "gone": b"old"}


def publish_new(place: Path, parts: StoreFolder, beside: Path | None = None) -> None:
    objects = {"a": (parts, "x", ""), "below/it/b": (parts, "y", "")}
    publish(place, objects, {"manifest.json": b"{}"}, beside=beside)


@pytest.mark.parametrize("scheme", ["file", "sqlite"])
def test_a_folder_holds_what_is_named_and_nothing_else(outside, tmp_path, scheme):
    """From a disk and from another package's store: names, sub-folders, documents."""
    parts = stored(f"{scheme}://{tmp_path}/store", x=b"one", y=b"two", z=b"not asked for")
    place = tmp_path / "data" / "validated"
    for before in ({}, OLD):
        fill(place, before)
        publish_new(place, parts)
        assert content(place) == NEW
        assert [path.name for path in place.parent.iterdir()] == ["validated"]
    publish(place, {}, {})
    assert content(place) == {}
    assert open_store(parts.store).read("parts/x") == b"one"


def test_files_of_the_same_disk_are_linked(tmp_path):
    """A published file takes no disk of its own; where links are not to be had, it is a copy."""
    parts = stored(str(tmp_path / "store"), x=b"one", y=b"two")
    publish_new(tmp_path / "place", parts)
    assert (tmp_path / "place" / "a").samefile(tmp_path / "store" / "parts" / "x")
    assert PosixStore(str(tmp_path)).link("there/x", PosixStore(parts.store), "parts/x")
    assert not PosixStore("/proc/self").link("x", PosixStore(parts.store), "parts/x")


@pytest.mark.parametrize("scheme", ["file", pytest.param("sqlite", marks=pytest.mark.slow)])
def test_killed_anywhere_it_is_as_it_was_absent_or_new(outside, tmp_path, crash_points, scheme):
    """A kill at any change of a file leaves no mixture, and what the next run needs."""
    parts = stored(f"{scheme}://{tmp_path}/store", x=b"one", y=b"two")
    place, seen = tmp_path / "data" / "validated", []

    def prepare():
        shutil.rmtree(place.parent, ignore_errors=True)
        fill(place, OLD)

    def check():
        seen.append(content(place))
        publish_new(place, parts)
        assert content(place) == NEW
        assert [path.name for path in place.parent.iterdir()] == ["validated"]

    assert crash_points(prepare, lambda: publish_new(place, parts), check) >= 8
    assert all(found in (OLD, None, NEW) for found in seen)
    assert OLD in seen
    assert seen[-1] == NEW


@pytest.fixture
def flushed(monkeypatch):
    """What is flushed to the disk, in order."""
    seen: list[Path] = []
    fsync = os.fsync

    def flush(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        fsync(descriptor)
        seen.append(path)

    monkeypatch.setattr(os, "fsync", flush)
    return seen


@pytest.mark.parametrize("scheme", ["file", "sqlite"])
def test_all_that_is_published_is_flushed_before_it_has_its_name(
    outside, tmp_path, request, scheme
):
    """Every file and every folder where it was put together; then the name itself."""
    parts = stored(f"{scheme}://{tmp_path}/store", x=b"one", y=b"two")
    flushed = request.getfixturevalue("flushed")
    for place in (tmp_path / "validated", tmp_path / "live" / "0001"):
        del flushed[:]
        publish_new(place, parts)
        assert_flushed(flushed, place.with_name(f".{place.name}.staged"), place)


def test_a_committed_folder_is_flushed_before_it_has_its_name(tmp_path, flushed):
    """Whoever has written its files, and however."""
    staged, place = tmp_path / "staged", tmp_path / "place"
    (staged / "below" / "it").mkdir(parents=True)
    for name, held in NEW.items():
        (staged / name).write_bytes(held)
    commit_directory(staged, place)
    assert_flushed(flushed, staged, place)


def assert_flushed(flushed: list[Path], staged: Path, place: Path) -> None:
    folders = {path.relative_to(place) for path in place.rglob("*") if path.is_dir()}
    expected = {staged / name for name in (*NEW, *folders)} | {staged}
    within = [path for path in flushed if path == staged or staged in path.parents]
    assert set(within) == expected
    assert flushed[-1] == place.parent, "the name, after all that it names"


@pytest.mark.slow
def test_put_together_elsewhere_nothing_half_lies_beside_it(tmp_path, crash_points):
    """Where somebody hashes all that lies in the folder above; and a new start takes it along."""
    parts = stored(str(tmp_path / "store"), x=b"one", y=b"two")
    place, beside = tmp_path / "live" / "0001", tmp_path / "work"

    def prepare():
        fill(place, OLD)

    def check():
        if place.parent.exists():
            assert [path.name for path in place.parent.iterdir()] in ([], ["0001"])
        publish_new(place, parts, beside)
        assert content(place) == NEW
        assert list(beside.iterdir()) == []

    assert crash_points(prepare, lambda: publish_new(place, parts, beside), check) >= 8


def test_what_cannot_be_published_leaves_the_place_as_it_was(outside, tmp_path):
    """An object that is missing, or a name that leaves the folder: nothing else has changed."""
    place = tmp_path / "data" / "validated"
    for scheme in ("file", "sqlite"):
        parts = stored(f"{scheme}://{tmp_path}/store-{scheme}", x=b"one", y=b"two")
        publish_new(place, parts)
        with pytest.raises(IntegrityError, match=r"parts/z is missing"):
            publish(place, {"a": (parts, "y", ""), "b": (parts, "z", "")}, {})
        with pytest.raises(UsageError, match="no key of a store"):
            publish(place, {"../a": (parts, "x", "")}, {})
        assert content(place) == NEW
        assert [path.name for path in place.parent.iterdir()] == ["validated"]


def test_a_full_disk_leaves_the_place_as_it_was(tmp_path, small_disk):
    """Copies that do not fit are taken away again; the error names the file."""
    parts = stored(str(tmp_path / "store"), x=b"one", y=bytes(9 << 20))
    place = small_disk / "validated"
    publish(place, {"a": (parts, "x", "")}, {"manifest.json": b"{}"})
    with pytest.raises(StorageFailed, match="No space left"):
        publish_new(place, parts)
    assert content(place) == {"a": b"one", "manifest.json": b"{}"}
    assert [path.name for path in small_disk.iterdir()] == ["validated"]


def test_copies_are_read_in_bounded_pieces(outside, tmp_path, monkeypatch):
    """Whatever the size of an object, 1 MiB of it is in memory."""
    store = open_store(f"sqlite://{tmp_path}/store")
    with store.replace("parts/x") as file:
        file.write(bytes(5 << 20) + b"end")
    taken, read_range = [], type(store).read_range

    def counted(self, key, first, buffer):
        taken.append(memoryview(buffer).nbytes)
        read_range(self, key, first, buffer)

    monkeypatch.setattr(type(store), "read_range", counted)
    publish(tmp_path / "place", {"x": (StoreFolder(store.address, "parts"), "x", "")}, {})
    assert (tmp_path / "place" / "x").read_bytes() == bytes(5 << 20) + b"end"
    assert max(taken) <= 1 << 20
    assert sum(taken) == (5 << 20) + 3
