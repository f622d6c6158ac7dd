"""For each clause of the contract of stores one that breaks it.

A contract suite that a bad store passes is none: :data:`BAD_STORES` names, for each test of
``StoreContract``, a store that must fail it. Each opens from an address of its own, so that other
processes meet the same one.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from tidemill.errors import CommitConflict, IntegrityError, StorageFailed
from tidemill.storage import ObjectFile, hash_bytes, write_bytes
from tidemill.storage.posix import PosixStore

__all__ = ["BAD_STORES", "bad_store"]


class _ForgetsItsAddress(PosixStore):
    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = f"file://{self._root}"


class _HashesKeys(PosixStore):
    def sha256(self, key: str) -> str:
        return hash_bytes(key.encode())


class _NumbersObjects(PosixStore):
    @contextmanager
    def write(self, folder: str, **told: Any) -> Iterator[Any]:
        with self.replace(f"{folder}/{uuid4().hex}", **told) as writer:
            yield writer


class _ReadsBlocks(PosixStore):
    """Reads from where a sector begins."""

    def read_range(self, key: str, first: int, buffer: Any) -> None:
        super().read_range(key, first - first % 512, buffer)


class _PadsRanges(PosixStore):
    def read_range(self, key: str, first: int, buffer: Any) -> None:
        content = self.read(key)[first : first + len(buffer)]
        buffer[:] = content + bytes(len(buffer) - len(content))


class _StreamsPackets(PosixStore):
    """A read gives what has come so far."""

    @contextmanager
    def stream(self, key: str, first: int, size: int) -> Iterator[Any]:
        with super().stream(key, first, size) as reader:
            yield _Packets(reader)


class _Packets:
    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def read(self, size: int) -> bytes:
        return bytes(self._reader.read(min(size, 4096)))


class _StreamsWhatIsThere(PosixStore):
    """Ends where the object ends."""

    @contextmanager
    def stream(self, key: str, first: int, size: int) -> Iterator[Any]:
        there = max(0, (self.size(key) or 0) - first)
        with super().stream(key, first, min(size, there)) as reader:
            yield reader


class _StreamsRequests(PosixStore):
    """Asks for a range whenever something is read."""

    @contextmanager
    def stream(self, key: str, first: int, size: int) -> Iterator[Any]:  # noqa: ARG002 - read asks
        with ObjectFile(self, key) as file:
            file.seek(first)
            yield file


class _StreamsOn(PosixStore):
    """Leaves what it has opened to whoever tidies up."""

    @contextmanager
    def stream(self, key: str, first: int, size: int) -> Iterator[Any]:
        yield io.BytesIO(self.read(key)[first : first + size])


class _StreamsFromMemory(PosixStore):
    """Fetches the range before it is asked for."""

    @contextmanager
    def stream(self, key: str, first: int, size: int) -> Iterator[Any]:
        content = bytearray(size)
        self.read_range(key, first, content)
        with io.BytesIO(content) as reader:
            yield reader


class _EmptyIfAbsent(PosixStore):
    def read(self, key: str) -> bytes:
        try:
            return super().read(key)
        except IntegrityError:
            return b""


class _LetsErrorsThrough(PosixStore):
    def commit(self, key: str, content: bytes, *, expected: str | None) -> str:
        try:
            return super().commit(key, content, expected=expected)
        except StorageFailed as error:
            raise OSError(str(error)) from error


class _TrustsKeys(PosixStore):
    def _path(self, key: str) -> Path:
        return self._root / key


class _KeepsFlat(PosixStore):
    """Takes a slash for a letter, as a bucket does."""

    def _path(self, key: str) -> Path:
        return super()._path(key.replace("/", "%2F"))


class _WritesInPlace(PosixStore):
    @contextmanager
    def replace(self, key: str, **told: Any) -> Iterator[Any]:
        with super().replace(key, **told) as writer:
            writer.path.rename(writer.target)  # type: ignore[attr-defined]
            writer.path = writer.target  # type: ignore[attr-defined]
            yield writer


class _KeepsHalves(PosixStore):
    """Keeps what was written before an error."""

    @contextmanager
    def replace(self, key: str, **told: Any) -> Iterator[Any]:
        failed = None
        with super().replace(key, **told) as writer:
            try:
                yield writer
            except Exception as error:
                failed = error
        if failed is not None:
            raise failed


class _ReadsTwice(PosixStore):
    """Asks for an object in two requests."""

    def read(self, key: str) -> bytes:
        size = self.size(key) or 0
        parts = [bytearray(size // 2), bytearray(size - size // 2)]
        for number, part in enumerate(parts):
            self.read_range(key, number * len(parts[0]), part)
            time.sleep(0.01)
        return b"".join(parts)


class _FirstWins(PosixStore):
    @contextmanager
    def replace(self, key: str, **told: Any) -> Iterator[Any]:
        before = self.manifest(key)
        with super().replace(key, **told) as writer:
            yield writer
            if self.manifest(key) != before:
                writer.target = self._root / "late"  # type: ignore[attr-defined]


class _MovesWhatItCopies(PosixStore):
    def copy(self, key: str, to: str) -> None:
        super().copy(key, to)
        self.discard(key)


class _CommitsAnyway(PosixStore):
    def commit(self, key: str, content: bytes, **told: Any) -> str:
        _, told["expected"] = self.manifest(key) or (b"", None)
        return super().commit(key, content, **told)


class _ForgetsWhatItSaid(PosixStore):
    """Takes a commit that comes again for another one's."""

    def commit(self, key: str, content: bytes, *, expected: str | None) -> str:
        _, tag = self.manifest(key) or (b"", None)
        if tag != expected:
            raise CommitConflict("it was committed", remedy="begin again")
        return super().commit(key, content, expected=expected)


class _LooksThenWrites(PosixStore):
    """Compares, and then, a moment later, replaces."""

    def commit(self, key: str, content: bytes, *, expected: str | None) -> str:
        _, tag = self.manifest(key) or (b"", None)
        if tag != expected:
            raise CommitConflict("it was committed", remedy="begin again")
        time.sleep(0.01)
        write_bytes(self._path(key), content)
        return hash_bytes(content)


class _KeepsToItself(PosixStore):
    """Lies in a folder of its process."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._root = self._root / str(os.getpid())


class _ListsBackwards(PosixStore):
    def list_keys(self, folder: str = "") -> Iterator[str]:
        return iter(list(super().list_keys(folder))[::-1])


class _DiscardsByPrefix(PosixStore):
    def discard(self, key: str) -> None:
        for each in list(self.list_keys()):
            if each.startswith(key):
                super().discard(each)


class _HoldsAll(PosixStore):
    def sha256(self, key: str) -> str:
        return hash_bytes(self.read(key))


class _OneAtATime(PosixStore):
    """Keeps what belongs to a writer in the store."""

    @contextmanager
    def replace(self, key: str, **told: Any) -> Iterator[Any]:
        self._now = key
        time.sleep(0.002)
        with super().replace(self._now, **told) as writer:
            yield writer


class _HashesOnce(PosixStore):
    """Remembers hashes by key."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._known: dict[str, str] = {}

    def sha256(self, key: str) -> str:
        if key not in self._known:
            self._known[key] = super().sha256(key)
        return self._known[key]


BAD_STORES: dict[str, type[PosixStore]] = {
    "test_it_is_a_store": _ForgetsItsAddress,
    "test_what_is_written_is_read": _HashesKeys,
    "test_content_names_an_object": _NumbersObjects,
    "test_a_range_is_exact": _ReadsBlocks,
    "test_a_range_beyond_the_end_is_refused": _PadsRanges,
    "test_a_file_reads_what_is_asked_for": _ReadsBlocks,
    "test_a_stream_is_exact": _StreamsPackets,
    "test_a_stream_beyond_the_end_is_refused": _StreamsWhatIsThere,
    "test_a_stream_is_of_one_version": _StreamsRequests,
    "test_a_stream_ends_with_its_block": _StreamsOn,
    "test_a_stream_holds_what_is_asked_for": _StreamsFromMemory,
    "test_what_is_absent_is_told": _EmptyIfAbsent,
    "test_what_the_medium_refuses_is_told": _LetsErrorsThrough,
    "test_no_key_leaves_the_store": _TrustsKeys,
    "test_no_key_is_the_folder_of_another": _KeepsFlat,
    "test_nothing_is_seen_before_the_end": _WritesInPlace,
    "test_an_error_leaves_nothing": _KeepsHalves,
    "test_readers_see_one_version": _ReadsTwice,
    "test_the_last_writer_wins": _FirstWins,
    "test_a_copy_is_the_same": _MovesWhatItCopies,
    "test_a_commit_compares": _CommitsAnyway,
    "test_a_commit_again_is_no_conflict": _ForgetsWhatItSaid,
    "test_one_of_many_commits": _LooksThenWrites,
    "test_another_process_takes_part": _KeepsToItself,
    "test_a_killed_writer_leaves_nothing": _WritesInPlace,
    "test_keys_are_listed_in_order": _ListsBackwards,
    "test_a_discard_takes_all_below": _DiscardsByPrefix,
    "test_memory_is_bounded": _HoldsAll,
    "test_threads_may_use_it_at_once": _OneAtATime,
    "test_receipts_tell_what_is_finished": _HashesOnce,
}
"""By the test of the contract suite that it fails."""


def bad_store(clause: str, folder: Path) -> PosixStore:
    """The store that must fail the test ``clause``, below a folder."""
    kind = BAD_STORES[clause]
    return kind(f"{kind.__module__}:{kind.__name__}://{folder}")
