"""Copies on this machine of objects of stores apart: each is fetched once, whoever reads it."""

from __future__ import annotations

import hashlib
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import IntegrityError, StorageFailed
from tidemill.settings import load_settings
from tidemill.storage.atomic import is_leftover, storage_errors, temporary_beside
from tidemill.storage.hashing import hash_file
from tidemill.storage.manifest import require_equal
from tidemill.storage.posix import PosixStore
from tidemill.storage.stores import ObjectFile, open_store

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["brought", "found_nearby", "read_nearby"]

_PIECE_BYTES = 1 << 20
_BEGUN_SECONDS = 3600
"""What a killed one has fetched is swept once nothing was added to it for so long."""

_COPY = re.compile(r"[0-9a-f]{64}")
"""The name of a copy: its hash."""


def found_nearby(sha256: str) -> Path | None:
    """The copy of what has this hash, if there is one; it is not compared."""
    copy = _place(sha256)
    return copy if copy.is_file() else None


def brought(address: str, key: str, sha256: str) -> Path | ObjectFile:
    """An object, to be read, after comparing its content with its hash.

    A store of files is read in place. Of another the object is fetched into the folder
    ``TIDEMILL_CACHE_DIR``, once: what lies there is compared each time, and fetched anew where it
    differs. What was used longest ago goes, where more than ``TIDEMILL_CACHE_GB`` lie there.

    Raises
    ------
    IntegrityError
        If it is missing in the store, or its bytes differ.
    StorageFailed
        If the store or the disk refuses.

    Notes
    -----
    Memory: 1 MiB. Disk: the limit, and what is being fetched.
    """
    store = open_store(address)
    if isinstance(store, PosixStore):
        require_equal(f"{address}/{key}", store.sha256(key), sha256)
        return ObjectFile(store, key)
    copy = _place(sha256)
    with storage_errors(copy):
        if copy.is_file():
            if hash_file(copy) == sha256:
                os.utime(copy)
                return copy
            copy.unlink(missing_ok=True)
    _make_folder(copy.parent)
    _fetch(ObjectFile(store, key), copy, sha256)
    return copy


def read_nearby(address: str, key: str, sha256: str, first: int, buffer: Buffer) -> None:
    """Fill ``buffer`` with the bytes of an object from ``first`` on, from its copy.

    Errors, memory and disk as of :func:`brought`; what is there is not compared again.
    """
    store = open_store(address)
    if isinstance(store, PosixStore):
        store.read_range(key, first, buffer)
        return
    copy = _place(sha256)
    copies = PosixStore(str(copy.parent))
    try:
        copies.read_range(copy.name, first, buffer)
    except IntegrityError:
        brought(address, key, sha256)
        copies.read_range(copy.name, first, buffer)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise StorageFailed(
            f"{folder}, for copies of objects, cannot be made: {exc.strerror}",
            remedy="let TIDEMILL_CACHE_DIR name a folder that can be made and written to",
            path=str(folder),
        ) from exc


def _fetch(source: ObjectFile, copy: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    with storage_errors(copy), temporary_beside(copy) as beside:
        with beside.open("xb") as file, source.streamed() as parts:
            while part := parts.read(_PIECE_BYTES):
                digest.update(part)
                file.write(part)
        require_equal(str(source), digest.hexdigest(), sha256)
        _make_room(copy.parent, beside.stat().st_size)
        beside.replace(copy)


def _make_room(folder: Path, wanted: int) -> None:
    """Take away the copies that were used longest ago, as long as there is too much of them.

    What else lies there is not theirs, and stays.
    """
    found, begun = [], time.time() - _BEGUN_SECONDS
    for each in os.scandir(folder):
        with suppress(FileNotFoundError):
            told = each.stat()
            if _COPY.fullmatch(each.name):
                found.append((told.st_mtime, told.st_size, Path(each.path)))
            elif is_leftover(each.name) and told.st_mtime < begun:
                Path(each.path).unlink()
    above = sum(size for _, size, _ in found) + wanted - load_settings().cache_bytes
    for _, size, path in sorted(found):
        if above <= 0:
            break
        path.unlink(missing_ok=True)
        above -= size


def _place(sha256: str) -> Path:
    return load_settings().cache_dir.absolute() / sha256
