"""Files and folders that somebody else's code has made: found, hashed, and put in their place."""

from __future__ import annotations

import shutil
from pathlib import Path

from tidemill.storage.atomic import (
    commit_directory,
    discard_directory,
    fresh_directory,
    storage_errors,
)
from tidemill.storage.hashing import hash_file, hash_json

__all__ = ["copy_folder", "digest_of", "files_below", "is_left", "place_of", "put_in_place"]


def place_of(folder: Path, name: str) -> Path:
    """A path for a new file or folder called ``name``, alone in an empty ``folder``."""
    return fresh_directory(folder) / name


def is_left(place: Path) -> bool:
    """Whether a file, or a folder that is not empty, lies there."""
    with storage_errors(place):
        return place.is_file() or (place.is_dir() and any(place.iterdir()))


def put_in_place(place: Path, target: Path) -> None:
    """Let ``target`` be the file or folder at ``place``, whole, whatever it was before.

    Both must lie on one file system.
    """
    if place.is_dir():
        if target.is_file():
            target.unlink()
        commit_directory(place, target)
        return
    with storage_errors(target):
        if target.is_dir():
            discard_directory(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        place.replace(target)


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder, with all below it, to where there is none."""
    with storage_errors(target):
        shutil.copytree(source, target)


def files_below(folder: Path, ending: str = "") -> list[Path]:
    """Every file below a folder whose name ends so, by its path."""
    return sorted(file for file in folder.rglob(f"*{ending}") if file.is_file())


def digest_of(path: Path) -> str:
    """Of a file its SHA-256; of a folder that of its files' names and hashes."""
    if path.is_file():
        return hash_file(path)
    files = files_below(path)
    return hash_json([[file.relative_to(path).as_posix(), hash_file(file)] for file in files])
