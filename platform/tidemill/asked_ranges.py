"""A file whose bytes are asked for over a socket, by the process that parses it.

Imported by a script that imports no room of tidemill.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

__all__ = ["AskedFile", "HeldBytes"]

MOST_BYTES = 1 << 24
"""Asked for at once."""


class AskedFile:
    """A file to read from, exactly what is wanted of it; of some ranges once and for all.

    Parameters
    ----------
    channel : socket
        Takes ``FIRST SIZE``, a line, and gives the size, 8 bytes, and as many bytes.
    size : int
    """

    closed = False

    def __init__(self, channel: socket.socket, size: int) -> None:
        self._channel, self.size, self._at = channel, size, 0
        self._held: list[tuple[int, memoryview]] = []

    def hold(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Ask for these ranges (first, end) now, those side by side together; forget others."""
        joined: list[list[int]] = []
        for first, end in sorted(ranges):
            if joined and first <= joined[-1][1]:
                joined[-1][1] = max(joined[-1][1], end)
            else:
                joined.append([first, end])
        self._held = []  # before others are asked for: both would be held
        for first, end in joined:
            self._held.append((first, memoryview(self._asked(first, min(end, self.size)))))

    def within(self, first: int, size: int) -> memoryview | None:
        """So many bytes of a range that is held, or fewer at its end; None outside of all."""
        for begin, content in self._held:
            if begin <= first < begin + len(content):
                return content[first - begin :][:size]
        return None

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or fewer at the end of the file."""
        return bytes(self._taken(size))

    def read_buffer(self, size: int = -1) -> Any:
        """The same for pyarrow, without a copy where it is held."""
        return pa.py_buffer(self._taken(size))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; nothing is read."""
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence] + offset
        return self._at

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at

    def readable(self) -> bool:
        """True: it is for reading alone."""
        return True

    def seekable(self) -> bool:
        """True: each read is a range of its own."""
        return True

    def writable(self) -> bool:
        """False: no byte of it is changed."""
        return False

    def flush(self) -> None:
        """Nothing is written."""

    def close(self) -> None:
        """Forget what is held."""
        self._held = []

    def _taken(self, size: int) -> memoryview:
        first = self._at
        wanted = self.size - first if size < 0 else max(0, min(size, self.size - first))
        content = self.within(first, wanted)
        if content is None or len(content) < wanted:
            content = memoryview(self._asked(first, first + wanted))
        self._at = first + len(content)
        return content

    def _asked(self, first: int, end: int) -> bytearray:
        content = bytearray(max(0, end - first))
        for begin in range(0, len(content), MOST_BYTES):
            view = memoryview(content)[begin : begin + MOST_BYTES]
            self._channel.sendall(f"{first + begin} {len(view)}\n".encode())
            head = bytearray(8)
            self._fill(memoryview(head))
            if int.from_bytes(head, "big") != len(view):
                raise OSError(f"{len(view)} bytes from byte {first + begin} could not be had")
            self._fill(view)
        return content

    def _fill(self, view: memoryview) -> None:
        while view:
            taken = self._channel.recv_into(view)
            if not taken:
                raise OSError("nobody answers")
            view = view[taken:]


class HeldBytes:
    """The ranges that a file holds: what begins in one is not asked for again, to its end.

    Parameters
    ----------
    file : AskedFile
    """

    def __init__(self, file: AskedFile) -> None:
        self._file, self._at = file, 0

    def seek(self, offset: int) -> None:
        """Go to a place."""
        self._at = offset

    def read(self, size: int) -> bytes:
        """At most so many bytes."""
        content = self._file.within(self._at, size)
        if content is None:
            self._file.seek(self._at)
            return self._file.read(size)
        return bytes(content)

    def close(self) -> None:
        """The file forgets them."""
        self._file.close()
