# ruff: noqa: S101 - these are tests
"""What every store must do where an object is read in part: ranges and streams."""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from collections.abc import Iterator
from itertools import repeat

import pytest

from tidemill.contracts import Store, StoredObject
from tidemill.errors import IntegrityError
from tidemill.storage import ObjectFile

__all__ = ["RangeClauses", "kept", "streamed"]

_MB = 1 << 20


class RangeClauses:
    """Of the contract of stores what is said of ranges; :class:`StoreContract` inherits it."""

    def test_a_range_is_exact(self, store: Store) -> None:
        """The bytes asked for fill the buffer, the first and the last ones too."""
        content = bytes(range(256)) * 300
        kept(store, "a", content)
        for first, size in ((0, 1), (0, len(content)), (1000, 66_000), (len(content) - 1, 1)):
            buffer = bytearray(size)
            store.read_range("a", first, buffer)
            assert buffer == content[first : first + size]
        store.read_range("a", len(content), bytearray())

    def test_a_range_beyond_the_end_is_refused(self, store: Store) -> None:
        """What is shorter than what is asked for is no answer."""
        kept(store, "a", b"123")
        for first, size in ((0, 4), (2, 2), (3, 1), (9, 1)):
            with pytest.raises(IntegrityError, match="a"):
                store.read_range("a", first, bytearray(size))

    def test_a_file_reads_what_is_asked_for(self, store: Store) -> None:
        """Through ``ObjectFile`` as from any file, from wherever one has gone to."""
        kept(store, "a", b"0123456789")
        file = ObjectFile(store, "a")
        assert (file.read(3), file.tell(), file.seek(-2, os.SEEK_END)) == (b"012", 3, 8)
        assert (file.read(), file.read()) == (b"89", b"")

    def test_readers_see_one_version(self, store: Store) -> None:
        """However often an object is replaced, a read and a range are of one version."""
        size, stop = _MB, threading.Event()
        kept(store, "a", bytes(size))
        writer = threading.Thread(target=_flip, args=(store, size, stop))
        writer.start()
        try:
            for _ in range(12):
                content, buffer = store.read("a"), bytearray(size - 1)
                store.read_range("a", 1, buffer)
                assert content.count(content[:1]) == size
                assert buffer.count(buffer[:1]) == size - 1
        finally:
            stop.set()
            writer.join()

    def test_a_stream_is_exact(self, store: Store) -> None:
        """Its reads are the range's bytes in order, each as many as asked for; others may be open.

        At the end there are none.
        """
        content = bytes(range(256)) * 9000
        kept(store, "a", content)
        for first, size in (
            (0, 0),
            (0, 1),
            (0, len(content)),
            (1000, 2_000_000),
            (len(content), 0),
        ):
            assert streamed(store, "a", first, size) == content[first : first + size]
        with store.stream("a", 5, 1_500_000) as one, store.stream("a", 0, 7) as two:
            assert (one.read(0), one.read(1), two.read(9)) == (b"", content[5:6], content[:7])
            assert one.read(1_200_000) == content[6:1_200_006]
            assert one.read(_MB) == content[1_200_006:1_500_005]
            assert (one.read(1), two.read(1)) == (b"", b"")

    def test_a_stream_beyond_the_end_is_refused(self, store: Store) -> None:
        """Who reads it to its end learns that the object is shorter."""
        kept(store, "a", b"123")
        for first, size in ((0, 4), (2, 2), (3, 1), (9, 1)):
            with pytest.raises(IntegrityError, match="a") as caught:
                streamed(store, "a", first, size)
            assert caught.value.remedy

    def test_a_stream_is_of_one_version(self, store: Store) -> None:
        """What replaces the object while it is read does not show: it is one request."""
        kept(store, "a", bytes(4 * _MB))
        with store.stream("a", 1, 4 * _MB - 1) as reader:
            begun = reader.read(9)
            kept(store, "a", b"\1" * 4 * _MB)
            assert begun + reader.read(4 * _MB) == bytes(4 * _MB - 1)
        assert streamed(store, "a", 0, 1) == b"\1"

    def test_a_stream_ends_with_its_block(self, store: Store) -> None:
        """Whoever leaves early leaves nothing open, after an error too."""
        kept(store, "a", bytes(4 * _MB))
        with pytest.raises(ZeroDivisionError), store.stream("a", 0, 4 * _MB) as reader:
            divmod(len(reader.read(9)), 0)
        with pytest.raises(ValueError, match="closed"):
            reader.read(1)

    def test_a_stream_holds_what_is_asked_for(self, store: Store) -> None:
        """However long the range is."""
        with store.replace("a") as writer:
            for part in repeat(bytes(_MB), 16):
                writer.write(part)
        gc.collect()
        tracemalloc.start()
        try:
            assert sum(map(len, _parts(store, "a", 1, 16 * _MB - 1, of=_MB))) == 16 * _MB - 1
            assert tracemalloc.get_traced_memory()[1] < 8 * _MB
        finally:
            tracemalloc.stop()


def kept(store: Store, key: str | None, content: bytes) -> StoredObject:
    """Write an object of that key; below ``folder``, named by its content, where that is None."""
    with store.write("folder") if key is None else store.replace(key) as writer:
        writer.write(content)
    return writer.stored


def streamed(store: Store, key: str, first: int, size: int) -> bytes:
    """A range of an object, through a stream."""
    return b"".join(_parts(store, key, first, size, of=70_000))


def _parts(store: Store, key: str, first: int, size: int, *, of: int) -> Iterator[bytes]:
    with store.stream(key, first, size) as reader:
        while part := reader.read(of):
            yield part


def _flip(store: Store, size: int, stop: threading.Event) -> None:
    while not stop.is_set():
        for turn in (0, 1):
            kept(store, "a", bytes([turn]) * size)
