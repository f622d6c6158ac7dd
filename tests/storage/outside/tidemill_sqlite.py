"""A package beside tidemill with a store of its own: one SQLite database, shared by processes."""

from __future__ import annotations

import hashlib
import io
import os
import re
import sqlite3
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import SpooledTemporaryFile, TemporaryDirectory

from tidemill.contracts import StoredObject
from tidemill.errors import CommitConflict, IntegrityError, StorageFailed, UsageError

__all__ = ["SqliteStore"]

_PART = 1 << 18
_KEY = re.compile(r"(?:(?!\.{1,2}(?:/|\Z))[^/\0\ud800-\udfff]+(?:/(?!\Z)|\Z))+")
_TABLES = """
    create table if not exists objects (key text primary key, size integer, sha256 text);
    create table if not exists parts
        (key text, number integer, body blob, primary key (key, number));
"""


class SqliteStore:
    """Keeps the contract of ``tidemill.contracts.Store``: objects are rows in parts of 256 KB."""

    def __init__(self, address):
        self.address = address
        self._file = Path(address.partition("://")[2])

    def read(self, key):
        with self._open(key) as database:
            self._row(database, key)
            return b"".join(body for (body,) in self._parts(database, key, 0, -1))

    def read_range(self, key, first, buffer):
        view, done = memoryview(buffer), 0
        with self._open(key) as database:
            size, _ = self._row(database, key)
            if first + len(view) > size:
                raise IntegrityError(f"{self._at(key)} is too short", remedy="make it again")
            skip = first % _PART
            for (body,) in self._parts(
                database, key, first // _PART, -(-(skip + len(view)) // _PART)
            ):
                taken = body[skip : skip + len(view) - done]
                view[done : done + len(taken)] = taken
                done, skip = done + len(taken), 0

    @contextmanager
    def stream(self, key, first, size):
        with self._open(key) as database:
            if first + size > self._row(database, key)[0]:
                raise IntegrityError(f"{self._at(key)} is too short", remedy="make it again")
            parts = self._parts(database, key, first // _PART, -1)
            with io.BufferedReader(_Reader(parts, first % _PART, size)) as reader:
                yield reader

    def size(self, key):
        with self._open(key) as database:
            return self._found(database, key)[0]

    def sha256(self, key):
        digest = hashlib.sha256()
        with self._open(key) as database:
            self._row(database, key)
            for (body,) in self._parts(database, key, 0, -1):
                digest.update(body)
        return digest.hexdigest()

    def write(self, folder, *, durable=True):
        return self._writing(folder, lambda digest: f"{folder}/{digest}")

    def replace(self, key, *, durable=True):
        return self._writing(key, lambda _: key)

    def copy(self, key, to):
        if not _KEY.fullmatch(to):
            raise UsageError(f"{to!r} is no key", remedy="join names by single slashes")
        with self._open(key, "immediate") as database:
            size, digest = self._row(database, key)
            parts = [body for (body,) in self._parts(database, key, 0, -1)]
            self._put(database, to, size, digest, parts)

    def manifest(self, key):
        with self._open(key) as database:
            _, tag = self._found(database, key)
            if tag is None:
                return None
            return b"".join(body for (body,) in self._parts(database, key, 0, -1)), tag

    def commit(self, key, content, *, expected):
        tag = hashlib.sha256(content).hexdigest()
        with self._open(key, "immediate") as database:
            _, found = self._found(database, key)
            if found not in (tag, expected):
                raise CommitConflict(f"{self._at(key)} was committed", remedy="begin again")
            if found is None and expected is not None:
                raise CommitConflict(f"{self._at(key)} is gone", remedy="begin again")
            self._put(database, key, len(content), tag, iter([content]))
        return tag

    def list_keys(self, folder=""):
        start = f"{folder}/" if folder else ""
        with self._open(folder or "all") as database:
            query = "select key from objects where substr(key, 1, ?) = ? order by key"
            yield from (key for (key,) in database.execute(query, (len(start), start)))

    def discard(self, key):
        with self._open(key, "immediate") as database:
            for table in ("parts", "objects"):
                where = "key = ? or substr(key, 1, ?) = ?"
                database.execute(
                    f"delete from {table} where {where}", (key, len(key) + 1, f"{key}/")
                )

    @contextmanager
    def _writing(self, key, name):
        with self._open(key), SpooledTemporaryFile(max_size=_PART) as file:
            writer = _Writer(file)
            yield writer
            digest, size = writer.digest.hexdigest(), file.tell()
            file.seek(0)
            with self._open(key, "immediate") as database:
                self._put(database, name(digest), size, digest, iter(lambda: file.read(_PART), b""))
        writer.stored = StoredObject(name(digest), size, digest)

    @contextmanager
    def _open(self, key, transaction="deferred"):
        if not _KEY.fullmatch(key):
            raise UsageError(f"{key!r} is no key", remedy="join names by single slashes")
        try:
            self._make(key)
            with closing(sqlite3.connect(self._file, timeout=60, isolation_level=None)) as database:
                database.execute(f"begin {transaction}")
                yield database
                database.execute("commit")
        except sqlite3.Error as exc:
            raise self._failed(key, exc) from exc

    def _make(self, key):
        """Makes the file whole, then names it: SQLite does not wait to change a journal's mode."""
        if self._file.exists():
            return
        try:
            with TemporaryDirectory(dir=self._file.parent) as folder:
                made = Path(folder, "new.db")
                with closing(sqlite3.connect(made)) as database:
                    database.execute("pragma journal_mode = wal")
                    database.executescript(_TABLES)
                with suppress(FileExistsError):
                    os.link(made, self._file)
        except OSError as exc:
            raise self._failed(key, exc) from exc

    def _failed(self, key, exc):
        said = f"{self._at(key)}: {exc}"
        return StorageFailed(said, remedy="look at the disk, and try again")

    def _at(self, key):
        return f"{key} in {self.address}"

    def _found(self, database, key):
        query = "select size, sha256 from objects where key = ?"
        return database.execute(query, (key,)).fetchone() or (None, None)

    def _row(self, database, key):
        found = self._found(database, key)
        if found[0] is None:
            raise IntegrityError(f"{self._at(key)} is missing", remedy="make it again")
        return found

    def _parts(self, database, key, first, count):
        query = "select body from parts where key = ? and number >= ? order by number limit ?"
        return database.execute(query, (key, first, count))

    def _put(self, database, key, size, digest, parts):
        query = "select key from objects where instr(key, ? || '/') = 1 or instr(?, key || '/') = 1"
        for (other,) in database.execute(query, (key, key)):
            said = f"{self._at(key)}: one of the two would be the folder of {other}"
            raise UsageError(said, remedy="take another key")
        database.execute("delete from parts where key = ?", (key,))
        rows = ((key, number, body) for number, body in enumerate(parts))
        database.executemany("insert into parts values (?, ?, ?)", rows)
        database.execute("replace into objects values (?, ?, ?)", (key, size, digest))


class _Reader(io.RawIOBase):
    def __init__(self, parts, skip, left):
        self.parts, self.left, self.body = parts, left, b""
        if left:
            self.body = next(parts)[0][skip:]

    def readable(self):
        return True

    def readinto(self, buffer):
        if self.left and not self.body:
            (self.body,) = next(self.parts)
        taken = self.body[: min(len(buffer), self.left)]
        buffer[: len(taken)] = taken
        self.body, self.left = self.body[len(taken) :], self.left - len(taken)
        return len(taken)


class _Writer:
    def __init__(self, file):
        self.file, self.digest = file, hashlib.sha256()

    def write(self, content):
        self.digest.update(content)
        return self.file.write(content)
