"""The store of a bucket: its objects are the bucket's own, over obstore."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    NotFoundError,
    PreconditionError,
)

from tidemill.contracts import ObjectReader, ObjectWriter, StoredObject
from tidemill.errors import CommitConflict, IntegrityError, UsageError
from tidemill.storage.bucket_client import asked_again, open_bucket
from tidemill.storage.bucket_refusals import refused_by, server_word
from tidemill.storage.lost_objects import made_anew

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ObjectStore"]

_KEY = re.compile(r"(?:(?!\.{1,2}(?:/|\Z))[^/\0\ud800-\udfff]+(?:/(?!\Z)|\Z))+")
_ODD = re.compile(r"[\x01-\x1f\x7f%]")
_PAGE = 1000
"""Keys that are listed at once."""
_PART, _PARTS = 8 << 20, 10_000
"""Bytes of a part of an upload, at least, and how many parts a server takes."""
_CHUNK = 1 << 20
"""Bytes of a stream that are asked of the connection at once."""
_AT_ONCE = 2
_TAKEN = (AlreadyExistsError, PreconditionError, NotFoundError, FileNotFoundError)


class ObjectStore:
    """Objects of a bucket, below a prefix; see :class:`tidemill.contracts.Store`.

    Credentials, region and endpoint come from the environment, as each provider names them
    (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ...), never from the address; where it has no key,
    from where boto3 finds one (a file, a profile, a role). What is written is kept in a temporary
    file until its hash is known, then sent. A request that fails for the server's or the network's
    sake is tried again, and a read that broke off goes on where it was, in the same version or not
    at all.

    Parameters
    ----------
    address : str
        ``s3://BUCKET/PREFIX``. The bucket must be there.
    patience_seconds : float
        For how long a request is tried again; a third of it is the silence after which it is.

    Raises
    ------
    UsageError
        If the address holds anything else, a secret for example; it is not repeated.
    StorageFailed
        If there are no credentials.

    Notes
    -----
    A commit asks the server to compare (``If-None-Match``, ``If-Match``); its tags are the
    server's. That no key is the folder of another is looked up before a write: of two writers at
    the same moment both may win. Memory: 1 MiB for each object that is read as a stream, and some
    24 MiB for each that is sent (of more than 80 GB three ten-thousandths of it). Disk: the object
    that is written, in the folder for temporary files.
    """

    def __init__(self, address: str, *, patience_seconds: float = 60) -> None:
        self.address = address.rstrip("/")
        self._folders: set[str] = set()
        self._again = partial(asked_again, patience_seconds=patience_seconds)
        self._bucket = open_bucket(self.address, dt.timedelta(seconds=patience_seconds))

    def read(self, key: str) -> bytes:
        """One request."""
        with self._asking(key):
            return bytes(self._bucket.get(_path(key)).bytes())

    def read_range(self, key: str, first: int, buffer: Buffer) -> None:
        """One request, for exactly these bytes."""
        with memoryview(buffer) as given:
            view = given.cast("B") if given.nbytes else given
            with self._asking(key, first):
                if not view.nbytes:
                    self._require_bytes(key, first, 0)
                    return
                found = self._bucket.get_range(_path(key), start=first, length=view.nbytes)
                if len(found) != view.nbytes:
                    raise self._short(key, first)
                view[:] = memoryview(found)

    @contextmanager
    def stream(self, key: str, first: int, size: int) -> Iterator[ObjectReader]:
        """One request; its parts are taken as they are read."""
        parts: Iterator[Any] = iter(())
        with self._asking(key, first):
            if size:
                options: Any = {"range": (first, first + size)}
                parts = iter(self._bucket.get(_path(key), options=options).stream(_CHUNK))
            else:
                self._require_bytes(key, first, 0)
        reader = _Reader(self, key, parts, size)
        try:
            yield reader
        finally:
            reader.closed = True

    def size(self, key: str) -> int | None:
        """One request for the head of an object."""
        return self._size(key)

    def mark(self, key: str, now_ns: int) -> str | None:
        """One such request: the server's tag, whenever it was given."""
        del now_ns  # of other bytes it is another, within a tick too
        return (self._head(key) or {}).get("e_tag")

    def sha256(self, key: str) -> str:
        """Hash an object as it streams by."""
        digest = hashlib.sha256()
        with self._asking(key):
            for part in self._bucket.get(_path(key)).stream(_CHUNK):
                digest.update(part)
        return digest.hexdigest()

    @contextmanager
    def write(self, folder: str, *, durable: bool = True) -> Iterator[ObjectWriter]:
        """Send an object that is named by its SHA-256 when it is whole."""
        del durable  # a server has what it has answered for
        _path(folder)
        with self._spooled(folder) as writer:
            yield writer
            writer.key = f"{folder}/{writer.digest.hexdigest()}"
            self._require_folders(writer.key)
            self._send(writer)

    @contextmanager
    def replace(self, key: str, *, durable: bool = True) -> Iterator[ObjectWriter]:
        """Send an object when it is whole."""
        del durable
        _path(key)
        with self._spooled(key) as writer:
            yield writer
            self._require_place(key)
            self._send(writer)

    def copy(self, key: str, to: str) -> None:
        """One request; the server's own limit (5 GB on Amazon's) holds."""
        self._require_place(to)
        with self._asking(key):
            self._again(partial(self._bucket.copy, _path(key), _path(to), overwrite=True))

    def manifest(self, key: str) -> tuple[bytes, str] | None:
        """One request; the tag is the server's."""

        def read() -> tuple[bytes, str]:
            found = self._bucket.get(_path(key))
            return bytes(found.bytes()), str(found.meta["e_tag"])

        with self._asking(key):
            try:
                # Also where the answer that there is none breaks off.
                return self._again(read)  # type: ignore[no-any-return]
            except (NotFoundError, FileNotFoundError):
                return None

    def commit(self, key: str, content: bytes, *, expected: str | None) -> str:
        """One request that the server compares; where its answer is lost the manifest is read."""
        path = _path(key)
        if expected is None:
            self._require_place(key)
        mode: Any = "create" if expected is None else {"e_tag": expected}
        with self._asking(key):
            try:
                put = self._bucket.put(path, content, mode=mode, use_multipart=False)
                return str(put["e_tag"])
            except (*_TAKEN, GenericError) as exc:
                found, tag = self.manifest(key) or (None, None)
                if found == content and tag is not None:
                    return tag
                if not isinstance(exc, _TAKEN):
                    raise
        raise CommitConflict(
            f"{self._at(key)} was committed by another one meanwhile",
            remedy="run the same command again: it begins from what is there now",
            path=self._at(key),
            expected=expected,
            found=tag,
        )

    def list_keys(self, folder: str = "") -> Iterator[str]:
        """As the server lists them, a page at a time.

        What a console leaves there for an empty folder, ``folder/``, is not in it.
        """
        place = _path(folder) if folder else None
        with self._asking(folder):
            for page in self._pages(place and f"{place}/"):
                yield from (_key(found["path"]) for found in page if found["path"] != place)

    def discard(self, key: str) -> None:
        """Delete an object, and those below it a page at a time."""
        path = _path(key)
        with self._asking(key):
            for page in self._pages(f"{path}/"):
                self._again(partial(self._bucket.delete, [found["path"] for found in page]))
            self._again(partial(self._bucket.delete, path))

    def _pages(self, prefix: str | None) -> Iterator[Any]:
        """What is listed, a request a page."""
        last = None

        def listed() -> Any:
            return next(iter(self._bucket.list(prefix, offset=last, chunk_size=_PAGE)), None)

        while page := self._again(listed):
            yield page
            last = page[-1]["path"]
            if len(page) < _PAGE:
                return

    def _size(self, key: str) -> int | None:
        head = self._head(key)
        return None if head is None else int(head["size"])

    def _head(self, key: str) -> Any:
        """What the server says of an object; None where there is none."""
        with self._asking(key):
            try:
                return self._bucket.head(_path(key))
            except (NotFoundError, FileNotFoundError):
                return None

    def _require_bytes(self, key: str, first: int, size: int) -> None:
        there = self._size(key)
        if there is None:
            raise self._missing(key)
        if there < first + size:
            raise self._short(key, first)

    def _require_place(self, key: str) -> None:
        """Refuse a key that is the folder of others."""
        self._require_folders(key)
        with self._asking(key):
            below = any(self._pages(f"{_path(key)}/"))
        if below:
            raise self._no_place(key, f"it is the folder of {key}/...")

    def _require_folders(self, key: str) -> None:
        """Refuse a key below an object."""
        names = key.split("/")[:-1]
        for count in range(1, len(names) + 1):
            folder = "/".join(names[:count])
            if folder not in self._folders:
                if self._size(folder) is not None:
                    raise self._no_place(key, f"{folder} is an object")
                self._folders.add(folder)

    @contextmanager
    def _spooled(self, key: str) -> Iterator[_Writer]:
        with self._asking(key), tempfile.NamedTemporaryFile(prefix="tidemill-") as file:
            yield _Writer(file, key)

    def _send(self, writer: _Writer) -> None:
        writer.file.flush()
        send = partial(
            self._bucket.put,
            _path(writer.key),
            Path(writer.file.name),
            chunk_size=part_bytes(writer.count),
            max_concurrency=_AT_ONCE,
        )
        try:
            send()
        except (NotFoundError, FileNotFoundError) as exc:
            if server_word(exc) == "NoSuchBucket":
                raise
            send()  # the parts were put together, and the answer was lost
        digest = writer.digest.hexdigest()
        writer.stored = StoredObject(writer.key, writer.count, digest)

    @contextmanager
    def _asking(self, key: str, first: int = 0) -> Iterator[None]:
        """What the server or the network refuses, in the words of the house."""
        try:
            yield
        except (NotFoundError, FileNotFoundError) as exc:
            if server_word(exc) == "NoSuchBucket":
                raise refused_by(self._at(key), exc) from exc
            raise self._missing(key) from exc
        except GenericError as exc:
            if "status code: 416 " in str(exc):
                raise self._short(key, first) from exc
            raise refused_by(self._at(key), exc) from exc
        except (BaseError, OSError) as exc:
            raise refused_by(self._at(key), exc) from exc

    def _at(self, key: str) -> str:
        return f"{self.address}/{key}"

    def _missing(self, key: str) -> IntegrityError:
        return IntegrityError(
            f"{self._at(key)} is missing",
            remedy=made_anew(key),
            path=self._at(key),
        )

    def _short(self, key: str, first: int) -> IntegrityError:
        return IntegrityError(
            f"{self._at(key)} is too short for its bytes from {first} on",
            remedy=made_anew(key),
            path=self._at(key),
        )

    def _no_place(self, key: str, why: str) -> UsageError:
        return UsageError(
            f"{self._at(key)} cannot be written: {why}", remedy="take another key", key=key
        )


class _Reader:
    """Takes the parts of a response as they are asked for."""

    def __init__(self, store: ObjectStore, key: str, parts: Iterator[Any], left: int) -> None:
        self._store, self._key, self._parts, self._left = store, key, parts, left
        self._part = memoryview(b"")
        self.closed = False

    def read(self, size: int) -> bytes:
        if self.closed:
            raise ValueError("the stream is closed")
        wanted = size = min(size, self._left)
        taken: list[memoryview] = []
        while wanted:
            if not self._part.nbytes:
                with self._store._asking(self._key):
                    part = next(self._parts, None)
                if part is None:
                    raise self._store._short(self._key, self._left)
                self._part = memoryview(part)
            taken.append(self._part[:wanted])
            self._part = self._part[wanted:]
            wanted -= taken[-1].nbytes
        self._left -= size
        return b"".join(taken)


class _Writer:
    """What is written, until it is sent."""

    stored: StoredObject

    def __init__(self, file: IO[bytes], key: str) -> None:
        self.file, self.key, self.count = file, key, 0
        self.digest = hashlib.sha256()

    def write(self, content: Buffer) -> int:
        with memoryview(content) as view:
            self.digest.update(view)
            self.file.write(view)
            self.count += view.nbytes
            return view.nbytes


def part_bytes(count: int) -> int:
    """Bytes of a part of an upload of ``count`` bytes.

    >>> part_bytes(5) >> 20, part_bytes(400 << 30)
    (8, 42949673)
    """
    return max(_PART, -(-count // _PARTS))


def _path(key: str) -> str:
    """The object's name in the bucket: servers and libraries stumble over control characters."""
    if not _KEY.fullmatch(key):
        raise UsageError(
            f"{key!r} is no key of a store",
            remedy="join names by single slashes; none may be empty, '.' or '..', or hold what "
            "UTF-8 cannot",
            key=key,
        )
    return _ODD.sub(lambda odd: f"%{ord(odd[0]):02x}", key)


def _key(path: str) -> str:
    return re.sub(r"%([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), path)
