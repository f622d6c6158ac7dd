"""The files that the user gave: the one place that knows how an address becomes bytes."""

from __future__ import annotations

import glob
import hashlib
import io
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from tidemill.errors import StorageFailed, nearest
from tidemill.storage.file_marks import SETTLED_NS, file_mark
from tidemill.storage.remote_files import ExactRanges, RemoteFile, is_remote

__all__ = ["SourceFiles"]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The user's own files by their addresses: nobody else lists, opens or asks about one.

    Names
        What the user writes: a file, a folder or a glob, relative to ``root``, absolute, or a URL
        of ``s3``, ``gs``, ``abfs``, ``http`` or ``https``.
    Addresses
        Of single files: texts with forward slashes, relative to ``root`` below it, else absolute,
        or URLs. What two files are called differs, whatever links lead to them. Any process with
        the same ``root`` reads the same by an address.
    Reading only
        Nothing here changes a file, or makes one.
    As it is now
        Nothing is kept: size, etag and bytes are those of the moment. That they belong together
        is for the reader to compare, by the etag.
    Errors
        Whatever the disk or the server refuses is a ``StorageFailed`` with the address and a
        remedy.
    Bounded
        Memory is that of a listing's names, or of one buffer of bytes.

    Parameters
    ----------
    root : Path
        The workspace, absolute.
    """

    root: Path

    def find(self, name: str, endings: Collection[str] = ()) -> dict[str, int]:
        """The addresses of all files that a name means, sorted by path, and the bytes of each.

        In a folder all below it, but for those below a name that begins with ``.`` or ``_``; of
        them only those that end so, if any does. A glob passes over names that begin with ``.``.
        """
        if is_remote(name):
            return RemoteFile(name).find(endings)
        place, root = self.root / name, self.root.resolve()
        with _read(name):
            found = (path.resolve() for path in _files(place, endings))
            return {_address(path, root): path.stat().st_size for path in found}

    def kind(self, name: str) -> Literal["file", "folder", "broken link", "device", "nothing"]:
        """What lies there; a glob is nothing."""
        if is_remote(name):
            remote = RemoteFile(name)
            return "file" if remote.is_file() else "folder" if remote.is_folder() else "nothing"
        place = self.root / name
        with _read(name):
            if place.is_file():
                return "file"
            if place.is_dir():
                return "folder"
            if not place.exists():
                return "broken link" if place.is_symlink() else "nothing"
        return "device"

    def similar(self, name: str, written: str) -> str | None:
        """What is there, and is ``name`` but for one part; as ``written``, which meant the same.

        No server is asked for it.
        """
        if is_remote(name):
            return None
        place = self.root / name
        parts = list(Path(written).parts)
        with _read(name):
            absent = [place, *place.parents]
            depth = next((i for i, path in enumerate(absent) if path.parent.is_dir()), len(absent))
            if depth >= len(parts):
                return None
            wrong = absent[depth]
            close = nearest(wrong.name, [path.name for path in wrong.parent.iterdir()])
            if close is None:
                return None
            if not wrong.with_name(close).joinpath(place.relative_to(wrong)).exists():
                return None
        parts[len(parts) - 1 - depth] = close
        return str(Path(*parts))

    def absolute(self, name: str) -> str:
        """What means the same from anywhere; ``SCHEME://...`` does as it is."""
        return name if _SCHEME.match(name) else str(self.root / name)

    def relative(self, name: str) -> str:
        """How what is called so from the working directory is called from ``root``."""
        if _SCHEME.match(name):
            return name
        path = Path(name).absolute()
        if path.is_relative_to(self.root):
            return path.relative_to(self.root).as_posix()
        # What stands above may be a link; the last part may be a glob.
        outside = path.parent.resolve() / path.name
        return Path(os.path.relpath(outside, self.root.resolve())).as_posix()

    def folders(self, name: str, address: str) -> str:
        """The folders of a file that ``name`` means, behind the part of it that is no glob.

        Folders called ``A=B`` right above belong to them: a part of a table is named by itself.
        """
        if is_remote(name):
            return RemoteFile(name).folders(address)
        fixed = [*takewhile(lambda part: not glob.has_magic(part), Path(name).parts)]
        base, place = self.root.joinpath(*fixed).resolve(), (self.root / address).resolve().parent
        base = base if place.is_relative_to(base) else place
        while "=" in base.name:
            base = base.parent
        return place.relative_to(base).as_posix()

    def same(self, one: str, other: str) -> bool:
        """Whether two addresses lead to one file, through whatever links; it need not be there."""
        if is_remote(one) or is_remote(other):
            return one == other
        return (self.root / one).resolve() == (self.root / other).resolve()

    def elsewhere(self, address: str) -> bool:
        """Whether some server has it, which is asked for bytes and for what names them."""
        return is_remote(address)

    def size(self, address: str) -> int:
        """Bytes of a file."""
        if is_remote(address):
            return RemoteFile(address).size()
        with _read(address):
            return (self.root / address).stat().st_size

    def etag(self, address: str, digest: str | None = None) -> str:
        """What names a file's content: the SHA-256 of its bytes; elsewhere what the server says.

        Parameters
        ----------
        digest : str or None
            That SHA-256, in hexadecimal, where all its bytes have just been read.
        """
        if is_remote(address):
            return RemoteFile(address).etag(digest)
        if digest is not None:
            return digest
        with self.opened(address) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def mark(self, address: str, now_ns: int) -> str | None:
        """What tells without reading that a file on a disk is as it was; None where nothing does.

        So it is of a file that changed just before ``now_ns`` (nanoseconds since 1970): the next
        change might bear the same time.
        """
        path = self.root / address
        if is_remote(address) or not path.is_file():
            return None
        found = file_mark(path)
        return found if path.stat().st_ctime_ns < now_ns - SETTLED_NS else None

    def named(self, address: str) -> str:
        """The file's own name, whose end tells its format."""
        return RemoteFile(address).name() if is_remote(address) else PurePosixPath(address).name

    @contextmanager
    def opened(self, address: str, first: int = 0) -> Iterator[io.BufferedReader[Any]]:
        """A file to read from byte ``first`` on; what the disk refuses inside is told as here."""
        if is_remote(address):
            with RemoteFile(address).opened(first) as stream:
                yield stream
            return
        with _read(address), (self.root / address).open("rb") as file:
            if first:
                file.seek(first)
            yield file

    @contextmanager
    def ranged(self, address: str) -> Iterator[Path | ExactRanges]:
        """For a process that knows nothing but paths: the file's, or elsewhere what reads it."""
        if is_remote(address):
            with RemoteFile(address).ranges() as found:
                yield found
            return
        yield self.root / address


@contextmanager
def _read(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StorageFailed(
            f"{name} cannot be read: {exc.strerror or exc}",
            remedy="check that the file is there and readable, and run the same command again",
            path=name,
        ) from exc


def _files(place: Path, endings: Collection[str]) -> list[Path]:
    if place.is_file():
        return [place]
    if place.is_dir():
        inside = sorted(_visible(place.rglob("*"), place))
        return [path for path in inside if path.suffix.lower() in endings] or inside
    found = (Path(name) for name in glob.glob(str(place), recursive=True))  # noqa: PTH207
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def _visible(paths: Iterator[Path], folder: Path) -> Iterator[Path]:
    for path in paths:
        if path.is_file() and not any(
            part.startswith((".", "_")) for part in path.relative_to(folder).parts
        ):
            yield path


def _address(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
