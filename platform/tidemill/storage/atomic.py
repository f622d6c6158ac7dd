"""Writes that a crash leaves whole or absent: write beside, flush, rename, flush the folder."""

from __future__ import annotations

import errno
import glob
import json
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from tidemill.errors import IntegrityError, StorageFailed

__all__ = [
    "commit_directory",
    "discard_directory",
    "discard_file",
    "flush_folder",
    "fresh_directory",
    "is_leftover",
    "json_bytes",
    "read_file",
    "read_json",
    "replaced_file",
    "storage_errors",
    "sweep_others",
    "sweep_temporaries",
    "temporary_beside",
    "write_bytes",
    "write_json",
]

_REMEDIES = {
    errno.ENOSPC: "free some disk space and run the same command again",
    errno.EDQUOT: "free some of your disk quota and run the same command again",
    errno.EACCES: "make the folder writable and run the same command again",
    errno.EPERM: "make the folder writable and run the same command again",
    errno.EROFS: "make the file system writable and run the same command again",
}


_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{32}\.(tmp|old)")


@contextmanager
def storage_errors(path: Path | str) -> Iterator[None]:
    """Turn an OSError inside into a :class:`StorageFailed` that names ``path``."""
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise StorageFailed(
            f"{path}: {reason}",
            remedy=_REMEDIES.get(exc.errno or 0, "check the disk and run the same command again"),
            path=str(path),
            errno=exc.errno,
        ) from exc


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A new name for a file that is to be renamed to ``path``, or goes when the block ends.

    It is swept if its writer dies. A writer that outlives its killed parent for a moment does not
    write into a file that the next run has finished; to replace it by the same content does no
    harm.
    """
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def is_leftover(name: str) -> bool:
    """Whether a file or folder of that name is what a killed writer left, or one at work."""
    return _LEFTOVER.fullmatch(name) is not None


@contextmanager
def replaced_file(path: Path) -> Iterator[BinaryIO]:
    """A new file, open for writing, which takes the place of ``path`` when the block ends well.

    It is not flushed to the disk: for what a checksum covers, or can be made again.

    Raises
    ------
    StorageFailed
        If the disk refuses; ``path`` then still holds what it held before.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(path) as temporary:
            with temporary.open("wb") as file:
                yield file
            temporary.replace(path)


def write_bytes(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Replace ``path`` by ``content`` atomically and durably.

    Parameters
    ----------
    mode : int
        Permissions, less the umask; 0o600 for secrets: at no moment do others read them.

    Raises
    ------
    StorageFailed
        If the disk refuses; ``path`` then still holds what it held before.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(path) as temporary:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        flush_folder(path.parent)


def write_json(path: Path, document: Any) -> None:
    """Write ``document`` as canonical JSON (sorted keys), atomically."""
    write_bytes(path, json_bytes(document))


def json_bytes(document: Any) -> bytes:
    """``document`` as canonical JSON (sorted keys)."""
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def read_file(path: Path) -> bytes:
    """Read a small file of the workspace, whole.

    Raises
    ------
    IntegrityError
        If it is missing.
    StorageFailed
        If the disk refuses.
    """
    with storage_errors(path):
        try:
            return path.read_bytes()
        except FileNotFoundError as exc:
            raise IntegrityError(
                f"{path} is missing",
                remedy="run the stage that makes it again: tidemill run",
                path=str(path),
            ) from exc


def read_json(path: Path) -> Any:
    """Read a JSON file that tidemill wrote.

    Raises
    ------
    IntegrityError
        If the file is missing or not JSON.
    StorageFailed
        If the disk refuses.
    """
    content = read_file(path)
    try:
        return json.loads(content)
    except (RecursionError, ValueError) as exc:
        raise IntegrityError(
            f"{path} is not valid JSON: {exc}",
            remedy="delete it and run the stage that makes it again: tidemill run",
            path=str(path),
        ) from exc


def fresh_directory(path: Path) -> Path:
    """Return ``path`` as an existing, empty folder."""
    with storage_errors(path):
        discard_directory(path)
        path.mkdir(parents=True)
    return path


def discard_file(path: Path) -> None:
    """Delete a file or a link, if it is there."""
    with storage_errors(path):
        path.unlink(missing_ok=True)


def discard_directory(path: Path, *, beside: Path | None = None) -> None:
    """Delete a folder, if it is there, so that a crash never leaves half of it under its name.

    Parameters
    ----------
    beside : Path, optional
        Where half of it may lie after a crash, on the same file system; the folder's own by
        default. The next one of its name goes there too, and takes that along.
    """
    aside = (beside or path.parent) / path.name
    with storage_errors(path):
        _clear_graves(aside)
        if not path.exists() and not path.is_symlink():
            return
        grave = aside.with_name(f".{path.name}.{uuid.uuid4().hex}.old")
        path.rename(grave)
        _delete(grave)


def commit_directory(staged: Path, target: Path, *, beside: Path | None = None) -> None:
    """Put the finished folder ``staged`` in the place of ``target``.

    A crash leaves ``target`` as it was, absent, or new; never a mixture. From another disk the
    folder is copied beside its place first.

    Parameters
    ----------
    beside : Path, optional
        As for :func:`discard_directory`, of what gives way.

    Raises
    ------
    StorageFailed
        If the disk refuses; ``target`` then is what it was. Only where what gave way cannot be
        deleted it is new, and the error names what is left.
    """
    aside = (beside or target.parent) / target.name
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        for folder, _, files in os.walk(staged):
            for name in files:
                _flush_file(Path(folder, name))
            flush_folder(Path(folder))
        grave = _set_aside(target, aside)
        try:
            staged.rename(target)
        except OSError as exc:
            if grave is not None:
                grave.rename(target)
            near = target.with_name(f".{target.name}.staged")
            if exc.errno != errno.EXDEV or near == staged:
                raise
            discard_directory(near)
            shutil.copytree(staged, near, symlinks=True)
            commit_directory(near, target, beside=beside)
            shutil.rmtree(staged)
            return
        flush_folder(target.parent)
    if grave is not None:
        _delete(grave)


def _set_aside(target: Path, aside: Path) -> Path | None:
    """Let what lies in a place give way; where it lies then."""
    _clear_graves(aside)
    if not target.exists() and not target.is_symlink():
        return None
    grave = aside.with_name(f".{target.name}.{uuid.uuid4().hex}.old")
    target.rename(grave)
    return grave


def sweep_others(folder: Path, named: Collection[str]) -> None:
    """Delete what in a folder has none of these names; nobody may be writing there.

    Again, after a kill: goes on.
    """
    with storage_errors(folder):
        for path in list(folder.iterdir()):
            if path.name in named:
                continue
            if path.is_dir() and not path.is_symlink():
                discard_directory(path)
            else:
                path.unlink(missing_ok=True)  # half of a folder goes with the next of its name


def sweep_temporaries(folder: Path) -> None:
    """Delete what writers that were killed left below ``folder``; nobody may be writing there."""
    for place, _, files in os.walk(folder):
        for name in filter(is_leftover, files):
            path = Path(place, name)
            with storage_errors(path):
                path.unlink(missing_ok=True)


def _clear_graves(path: Path) -> None:
    # Left by a process that died between renaming a folder and deleting it.
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.old"):
        _delete(leftover)


def _delete(grave: Path) -> None:
    with storage_errors(grave):
        # A link goes; what it led to is somebody else's.
        if grave.is_symlink() or not grave.is_dir():
            grave.unlink()
        else:
            shutil.rmtree(grave)


def _flush_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(path: Path) -> None:
    """Let the names in a folder outlive a power cut."""
    _flush_file(path)
