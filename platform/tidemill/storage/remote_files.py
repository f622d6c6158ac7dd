"""Files elsewhere, by their URLs: found, named by what their servers say, read through fsspec."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from tidemill.errors import StorageFailed, UsageError
from tidemill.storage.remote_clients import CLIENTS, file_system, refusal, translated

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ExactRanges", "RemoteFile", "RemoteRanges", "fits", "is_remote"]

_SCHEME = re.compile(rf"({'|'.join(CLIENTS)})://")
_MAGIC = re.compile(r"[*?[]")
_TAGS = ("ETag", "md5Hash", "etag", "Last-Modified")
"""What servers name a file's content by: S3 and HTTP, Google, Azure; HTTP without a tag."""
FIRST_BYTES, MOST_BYTES = 1 << 16, 1 << 22
"""How much is asked for at once: little of a file that is only looked at, then ever more."""


def is_remote(name: str) -> bool:
    """Whether it is the URL of a file, or of several, that some server has.

    >>> is_remote("s3://bucket/year=*/a.csv"), is_remote("data/raw"), is_remote("rows://host/table")
    (True, False, False)
    """
    return _SCHEME.match(name) is not None


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What lies at a URL: a file, a folder or what a glob names; read, and never written.

    Credentials are those that each client finds in its environment. Nothing is kept: what is said
    is what the server says now. Whatever it refuses is a ``StorageFailed`` that repeats no word of
    a signed address to which it may have sent us.

    Parameters
    ----------
    url : str
    """

    url: str

    def find(self, endings: Collection[str] = ()) -> dict[str, int]:
        """The files that are meant, as :meth:`SourceFiles.find` has them, each with its bytes.

        Memory: their addresses; of S3 no other keys are held.

        Raises
        ------
        UsageError
            If a glob is to be found where nothing can be listed.
        """
        with self._told() as fs:
            fixed, parts = self._parts()
            if not parts and (size := self._size_of_file(fs)) is not None:
                return {self.url: size}
            if self._http:
                if parts:
                    raise _no_listing(self.url)
                return {}
            try:
                found = dict(self._below(fs, fixed, parts))
            except FileNotFoundError:  # no such bucket, or folder
                found = {}
            if parts and not found and (size := self._size_of_file(fs)) is not None:
                return {self.url: size}
        if not parts:  # a folder
            wanted = {n: size for n, size in found.items() if _suffix(n) in endings}
            found = wanted or found
        return dict(sorted(found.items(), key=lambda item: item[0].split("/")))

    def is_folder(self) -> bool:
        """Whether files lie below it; a glob is none."""
        fixed, parts = self._parts()
        if parts or self._http:
            return False
        with self._told() as fs:
            return next(self._below(fs, fixed, (), hidden=True), None) is not None

    def is_file(self) -> bool:
        """Whether it is one."""
        with self._told() as fs:
            return self._size_of_file(fs) is not None

    def folders(self, address: str) -> str:
        """The folders of a file that this means, as :meth:`SourceFiles.folders` has them."""
        above, place = self._parts()[0].split("/"), RemoteFile(address)._path().split("/")[:-1]
        base = len(above) if place[: len(above)] == above else len(place)
        while base > _HOST and "=" in place[base - 1]:
            base -= 1
        return "/".join(place[base:]) or "."

    def size(self) -> int:
        """Bytes, as the server says.

        Raises
        ------
        StorageFailed
            If it does not say: nothing would show that the file is cut off.
        """
        return self._facts()[0]

    def etag(self, digest: str | None = None) -> str:
        """What names the content: a hash of what the server says of it, else of its bytes.

        Parameters
        ----------
        digest : str or None
            Their SHA-256 where all bytes have just been read; else they are read for it, if the
            server has no tag.
        """
        size, tag = self._facts()
        if tag:
            return hashlib.sha256(f"{size} {tag}".encode()).hexdigest()
        if digest is not None:
            return digest
        with self.opened() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @contextmanager
    def opened(self, first: int = 0) -> Iterator[io.BufferedReader[Any]]:
        """The file, to be read once from byte ``first`` on.

        Memory: some 8 MB. HTTP: one request, of any server; else ranges that become larger.
        """
        with self._told() as fs:
            path = fs._strip_protocol(self.url)
            if self._http:
                file = fs.open(path, block_size=0, size=1)  # a stream: the size is not asked for
            else:
                file = fs.open(path, cache_type="none")
                file.seek(first)
        try:
            ahead: _Stream = _Stream(self, file) if self._http else _Ahead(self, file)
            with io.BufferedReader(ahead, FIRST_BYTES) as reader:
                while self._http and first > 0:
                    first -= len(reader.read(min(first, MOST_BYTES))) or first
                yield reader
        finally:
            file.close()

    @contextmanager
    def ranges(self) -> Iterator[RemoteRanges]:
        """The file, of which exact ranges are read: ``size``, and ``read(first, size)``."""
        with self._told() as fs:
            file = fs.open(fs._strip_protocol(self.url), cache_type="none", block_size=MOST_BYTES)
        try:
            yield RemoteRanges(self, file, self.size() if file.size is None else file.size)
        finally:
            file.close()

    def name(self) -> str:
        """Its name, without a query: what tells its format."""
        path = unquote(urlsplit(self.url).path) if self._http else self.url
        return PurePosixPath(path).name

    @property
    def _http(self) -> bool:
        return self.url.startswith("http")

    def _path(self) -> str:
        """The URL without a query; a question mark elsewhere is a glob's, or a name's."""
        return self.url.partition("?")[0] if self._http else self.url

    def _parts(self) -> tuple[str, tuple[str, ...]]:
        """The URL up to its first part with a glob's sign, and the parts from there on."""
        parts = self._path().rstrip("/").split("/")
        fixed = list(takewhile(lambda part: not _MAGIC.search(part), parts))
        return "/".join(fixed), tuple(parts[len(fixed) :])

    def _facts(self) -> tuple[int, str]:
        with self._told() as fs:
            info = fs.info(fs._strip_protocol(self.url))
        if info.get("size") is None:
            raise StorageFailed(
                f"{self.url} cannot be read: its server does not say how long it is",
                remedy="fetch the file, and name that",
                path=self.url,
            )
        tag = next((str(info[name]) for name in _TAGS if info.get(name)), "")
        return int(info["size"]), tag.strip('"')

    def _size_of_file(self, fs: Any) -> int | None:
        """None where no file is."""
        try:
            info = fs.info(fs._strip_protocol(self.url))
        except FileNotFoundError as exc:
            if isinstance(refusal(exc), FileNotFoundError):
                return None
            raise
        if info["type"] != "file":
            return None
        return self._facts()[0] if info.get("size") is None else int(info["size"])

    def _below(
        self, fs: Any, fixed: str, parts: Sequence[str], *, hidden: bool = False
    ) -> Iterator[tuple[str, int]]:
        """The files below a folder that fit; each with its bytes."""
        if len(fixed.split("/")) < _HOST:
            raise UsageError(
                f"{self.url} names no bucket", remedy="name one: globs begin behind it"
            )
        place = fs._strip_protocol(fixed)
        prefix = _MAGIC.split(parts[0])[0] if parts else ""
        keys = _s3_keys if fixed.startswith("s3:") else _keys
        for path, size in keys(fs, place, prefix):
            inside = path.removeprefix(f"{place}/")
            if not inside or inside.endswith("/"):
                continue
            names = inside.split("/")
            seen = fits(names, parts) if parts else not any(n.startswith((".", "_")) for n in names)
            if hidden or seen:
                yield f"{fixed}/{inside}", size

    @contextmanager
    def _told(self) -> Iterator[Any]:
        """The file system; what goes wrong with it is told in our words."""
        with translated(self.url):
            yield file_system(self.url)


_HOST = 3
"""Parts of a URL up to the one that names the server, or the bucket."""


def fits(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a file's folders and name are what a glob means, as on a disk.

    >>> fits(["year=2024", "a.csv"], ["year=*", "*.csv"]), fits(["a", "b", "c"], ["**", "c"])
    (True, True)
    """
    if not names or not parts:
        return not names and not parts
    head, *rest = parts
    if head == "**":
        if not rest:
            return not any(name.startswith(".") for name in names)
        deeper = len(names) > 1 and not names[0].startswith(".") and fits(names[1:], parts)
        return fits(names, rest) or deeper
    if names[0].startswith(".") and (len(names) == 1 or not head.startswith(".")):
        return False
    return fnmatchcase(names[0], head) and fits(names[1:], rest)


class ExactRanges(Protocol):
    """What is read in exact ranges, for a process that knows no place but this machine's.

    ``size`` is its bytes.
    """

    size: int

    def read(self, first: int, size: int) -> bytes:
        """That many bytes from byte ``first`` on, or fewer at the end."""


class RemoteRanges:
    """Exact ranges of a file elsewhere: one request each.

    Parameters
    ----------
    place : RemoteFile
    file : file
        Opened by fsspec, without a cache.
    size : int
        Bytes.
    """

    def __init__(self, place: RemoteFile, file: Any, size: int) -> None:
        self._place, self._file, self.size = place, file, size

    def read(self, first: int, size: int) -> bytes:
        """That many bytes, or fewer at the end."""
        with translated(self._place.url):
            self._file.seek(first)
            content: bytes = self._file.read(max(0, min(size, self.size - first)))
        return content


class _Stream(io.RawIOBase):
    """A file that some server sends once, from its beginning."""

    def __init__(self, place: RemoteFile, file: Any) -> None:
        self._place, self._file = place, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        with translated(self._place.url), memoryview(buffer).cast("B") as view:
            content = self._file.read(len(view))
            view[: len(content)] = content
        return len(content)


class _Ahead(_Stream):
    """A file that is read in ranges, each twice as long as the one before."""

    def __init__(self, place: RemoteFile, file: Any) -> None:
        super().__init__(place, file)
        self._bytes, self._held = FIRST_BYTES, memoryview(b"")

    def readinto(self, buffer: Buffer) -> int:
        if not self._held:
            with translated(self._place.url):
                self._held = memoryview(self._file.read(self._bytes))
            self._bytes = min(2 * self._bytes, MOST_BYTES)
        with memoryview(buffer).cast("B") as view:
            taken = self._held[: len(view)]
            view[: len(taken)] = taken
        self._held = self._held[len(taken) :]
        return len(taken)


def _suffix(address: str) -> str:
    return PurePosixPath(address).suffix.lower()


def _s3_keys(fs: Any, place: str, prefix: str) -> Iterator[tuple[str, int]]:
    """All keys below a folder of S3, a page of the listing at a time."""
    bucket, _, folder = place.partition("/")
    more: dict[str, str] = {}
    begin = f"{folder}/{prefix}" if folder else prefix
    while True:
        page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=begin, **more)
        yield from ((f"{bucket}/{one['Key']}", one["Size"]) for one in page.get("Contents", ()))
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _keys(fs: Any, place: str, prefix: str) -> Iterator[tuple[str, int]]:
    """All files below a folder; memory is that of its listing."""
    del prefix
    yield from ((path, info["size"]) for path, info in fs.find(place, detail=True).items())


def _no_listing(url: str) -> UsageError:
    return UsageError(
        f"{url} is a glob, and servers of HTTP list no files",
        remedy="name one file; or copy the files to a folder or a bucket, and name that",
    )
