"""The store of one folder: its objects are files, which a rename puts in their place."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tidemill.contracts import ObjectReader, ObjectWriter, StoredObject
from tidemill.errors import CommitConflict, IntegrityError, UsageError
from tidemill.storage.atomic import (
    discard_directory,
    flush_folder,
    is_leftover,
    storage_errors,
    temporary_beside,
    write_bytes,
)
from tidemill.storage.file_lock import FileLock
from tidemill.storage.file_marks import SETTLED_NS, file_mark
from tidemill.storage.hashing import hash_bytes
from tidemill.storage.hashing_file import HashingFile
from tidemill.storage.lost_objects import made_anew

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["PosixStore", "is_key"]

_PIECE_BYTES = 1 << 20

_KEY = re.compile(r"(?:(?!\.{1,2}(?:/|\Z))[^/\0\ud800-\udfff]+(?:/(?!\Z)|\Z))+")


def is_key(key: str) -> bool:
    """Whether a store of files takes an object of that key.

    >>> is_key("appended/may/shard-00000.parquet"), is_key("../x")
    (True, False)
    """
    return bool(_KEY.fullmatch(key)) and not any(map(is_leftover, key.split("/")))


class PosixStore:
    """Objects as files below a folder; see :class:`tidemill.contracts.Store`.

    Parameters
    ----------
    address : str
        An absolute path, or ``file://`` and one. The folder need not be there yet.

    Notes
    -----
    A commit locks the manifest's folder: where the file system locks none it is ``StorageFailed``.
    Names like ``.NAME.<32 hexadecimal digits>.tmp`` (or ``.old``) are its own: no key has one.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._root = Path(address.partition("://")[2] or address)
        if not self._root.is_absolute():
            raise UsageError(
                f"{address} is no absolute path",
                remedy="give the store's folder from the root on: file:///data/store",
                address=address,
            )

    def read(self, key: str) -> bytes:
        """A file's content."""
        with self._opened(key) as file:
            return file.readall()

    def read_range(self, key: str, first: int, buffer: Buffer) -> None:
        """Fill the buffer from a file; nothing is read ahead."""
        with self._opened(key) as file, memoryview(buffer) as given:
            left = given.cast("B") if given.nbytes else given
            file.seek(first)
            while left.nbytes:
                count = file.readinto(left)
                if not count:
                    raise _lost(
                        f"{self.address}/{key}", f"is too short for its bytes from {first} on"
                    )
                left = left[count:]

    @contextmanager
    def stream(self, key: str, first: int, size: int) -> Iterator[ObjectReader]:
        """Read a file on from a place; at most a buffer is read ahead."""
        with io.BufferedReader(self._open(key)) as file:
            file.seek(first)
            yield _Reader(file, self._path(key), f"{self.address}/{key}", size)

    def size(self, key: str) -> int | None:
        """A file's size."""
        path = self._path(key)
        with storage_errors(path):
            return path.stat().st_size if path.is_file() else None

    def sha256(self, key: str) -> str:
        """Hash a file in bounded pieces."""
        with self._opened(key) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @contextmanager
    def write(self, folder: str, *, durable: bool = True) -> Iterator[ObjectWriter]:
        """Write a file in ``folder`` that is named by its SHA-256."""
        place = self._path(folder)
        with self._writing(place / "new", durable) as writer:
            yield writer
            writer.close()
            writer.target = place / writer.sha256

    @contextmanager
    def replace(self, key: str, *, durable: bool = True) -> Iterator[ObjectWriter]:
        """Write a file beside its place, and rename it."""
        with self._writing(self._path(key), durable) as writer:
            yield writer

    def copy(self, key: str, to: str) -> None:
        """One more name of the file, as it is never edited; a second file without links."""
        source, target = self._path(key), self._path(to)
        _make(target, self._root)
        with temporary_beside(target) as beside:
            with self._opened(key) as file:
                try:
                    os.link(source, beside)
                    os.fsync(file.fileno())
                except OSError:
                    with self.replace(to) as copied:
                        shutil.copyfileobj(file, copied, _PIECE_BYTES)
                    return
            with storage_errors(target):
                beside.replace(target)
                flush_folder(target.parent)

    def manifest(self, key: str) -> tuple[bytes, str] | None:
        """A file and its SHA-256, which is the tag."""
        path = self._path(key)
        with storage_errors(path):
            if not path.is_file():
                return None
            content = path.read_bytes()
        return content, hash_bytes(content)

    def commit(self, key: str, content: bytes, *, expected: str | None) -> str:
        """Compare and replace a file, alone in its folder."""
        path = self._path(key)
        _make(path, self._root)
        with storage_errors(path):
            lock = FileLock.of_folder(path.parent)
        with lock:
            found, tag = self.manifest(key) or (None, None)
            if found != content and tag != expected:
                raise CommitConflict(
                    f"{path} was committed by another one meanwhile",
                    remedy="run the same command again: it begins from what is there now",
                    path=str(path),
                    expected=expected,
                    found=tag,
                )
            write_bytes(path, content)
        return hash_bytes(content)

    def list_keys(self, folder: str = "") -> Iterator[str]:
        """Walk the folder; what killed writers left is no object. Memory: a folder's names.

        Links are followed, but not to a folder that the walk is in.
        """
        path = self._path(folder) if folder else self._root
        if path.is_dir():
            yield from self._walk(path)

    def discard(self, key: str) -> None:
        """Delete a file, or a folder after it has lost its name."""
        path = self._path(key)
        if path.is_dir():
            discard_directory(path)
        with storage_errors(path):
            if path.parent.is_dir():
                path.unlink(missing_ok=True)

    def link(self, key: str, other: PosixStore, name: str) -> bool:
        """Let ``key`` be one more name of an object of another folder: objects are never edited.

        Not a clause of the port: False where the disk has no links, and nothing is changed then.
        """
        target = self._path(key)
        _make(target, self._root)
        try:
            os.link(other._path(name), target)
        except OSError:
            return False
        return True

    def mark(self, key: str, now_ns: int) -> str | None:
        """What tells without reading that a file is as it was; None of one just written.

        A file gets its bytes before its name, and from then on links alone (which move the second
        of its times): so it is settled by the time of its bytes.
        """
        path = self._path(key)
        with storage_errors(path):
            if not path.is_file() or path.stat().st_mtime_ns >= now_ns - SETTLED_NS:
                return None
        return file_mark(path)

    def scratch(self, folder: str) -> Path:
        """Where a worker may keep, for a moment, as much as it writes below a folder.

        Not a clause of the port. It may not be there.
        """
        return self._path(folder)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise UsageError(
                f"{key!r} is no key of a store",
                remedy="join names by single slashes; none may be empty, '.' or '..', or hold what "
                "UTF-8 cannot",
                key=key,
            )
        if any(map(is_leftover, key.split("/"))):
            raise UsageError(
                f"{key!r} is no key of a store of files: they are named so while they are written",
                remedy="choose a name that does not end in .tmp or .old",
                key=key,
            )
        return self._root / key

    def _open(self, key: str) -> io.FileIO:
        path = self._path(key)
        with storage_errors(path):
            try:
                return io.FileIO(path)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as exc:
                raise _lost(f"{self.address}/{key}", "is missing") from exc

    @contextmanager
    def _opened(self, key: str) -> Iterator[io.FileIO]:
        with self._open(key) as file, storage_errors(self._path(key)):
            yield file

    @contextmanager
    def _writing(self, target: Path, durable: bool) -> Iterator[_Writer]:
        _make(target, self._root)
        with temporary_beside(target) as beside:
            with storage_errors(target):
                writer = _Writer(beside, target, durable=durable)
            with writer:
                yield writer
            with storage_errors(writer.target):
                writer.path.replace(writer.target)
                if durable:
                    flush_folder(writer.target.parent)
            key = writer.target.relative_to(self._root).as_posix()
            writer.stored = StoredObject(key, writer.size, writer.sha256)

    def _walk(self, folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
        with storage_errors(folder):
            known = folder.stat()
            if (here := (known.st_dev, known.st_ino)) in above:
                return
            found = {f"{e.name}/" if e.is_dir() else e.name: e.path for e in os.scandir(folder)}
        for name in sorted(found):
            if name.endswith("/"):
                if not is_leftover(name[:-1]):
                    yield from self._walk(Path(found[name]), above | {here})
            elif not is_leftover(name):
                yield Path(found[name]).relative_to(self._root).as_posix()


class _Reader:
    """Knows how much of its range is left."""

    def __init__(self, file: BinaryIO, path: Path, place: str, left: int) -> None:
        self.file, self.path, self.place, self.left = file, path, place, left

    def read(self, size: int) -> bytes:
        size = min(size, self.left)
        with storage_errors(self.path):
            content = self.file.read(size)
        if len(content) < size:
            raise _lost(self.place, f"is too short by {self.left - len(content)} bytes")
        self.left -= size
        return content


class _Writer(HashingFile):
    """Knows where it is written, where that goes, and then what it was."""

    stored: StoredObject

    def __init__(self, path: Path, target: Path, *, durable: bool) -> None:
        super().__init__(path, durable=durable)
        self.path, self.target = path, target

    def write(self, content: Any) -> int:
        with storage_errors(self.target):
            return super().write(content)

    def close(self) -> None:
        with storage_errors(self.target):
            super().close()


def _make(target: Path, root: Path) -> None:
    """Make the folder of an object, so that it outlives a power cut."""
    folder = target.parent
    if folder.is_dir():
        return
    with storage_errors(target):
        folder.mkdir(parents=True, exist_ok=True)
        for made in (folder, *folder.parents):
            flush_folder(made.parent)
            if made == root:
                break


def _lost(place: str, what: str) -> IntegrityError:
    return IntegrityError(f"{place} {what}", remedy=made_anew(place), path=place)
