"""How large an Arrow message opens to, read from its header before anything is decompressed.

An Arrow stream is a run of messages; each has a flatbuffer header and a body of buffers. Where a
body is compressed, each buffer begins with its length once opened (int64, -1: not compressed).
Layout: format/Message.fbs of Apache Arrow; flatbuffers' internals of google/flatbuffers.
"""

from __future__ import annotations

import struct
from typing import Any

__all__ = ["declared_bytes"]

_DICTIONARY, _BATCH = 2, 3  # MessageHeader


class _Table:
    """A flatbuffer table: fields by number, each read bounds-checked (struct.error beyond)."""

    def __init__(self, data: bytes, position: int) -> None:
        if not 0 <= position < len(data):
            raise ValueError("a flatbuffer offset points outside the message")
        self._data, self._at = data, position
        (back,) = struct.unpack_from("<i", data, position)
        self._vtable = position - back
        if not 0 <= self._vtable < len(data):
            raise ValueError("a flatbuffer table lies outside the message")
        (self._size,) = struct.unpack_from("<H", data, self._vtable)

    def _place(self, number: int) -> int | None:
        entry = 4 + 2 * number
        if entry + 2 > self._size:
            return None
        (offset,) = struct.unpack_from("<H", self._data, self._vtable + entry)
        return self._at + offset if offset else None

    def byte(self, number: int) -> int:
        place = self._place(number)
        return 0 if place is None else int(struct.unpack_from("<B", self._data, place)[0])

    def _target(self, number: int) -> int | None:
        place = self._place(number)
        if place is None:
            return None
        return place + int(struct.unpack_from("<I", self._data, place)[0])

    def table(self, number: int) -> _Table | None:
        target = self._target(number)
        return None if target is None else _Table(self._data, target)

    def pairs(self, number: int) -> list[tuple[int, int]]:
        """A vector of structs of two int64."""
        target = self._target(number)
        if target is None:
            return []
        (count,) = struct.unpack_from("<I", self._data, target)
        if target + 4 + 16 * count > len(self._data):
            raise ValueError("a flatbuffer vector is longer than the message")
        return list(struct.iter_unpack("<qq", self._data[target + 4 : target + 4 + 16 * count]))


def declared_bytes(metadata: Any, body: Any) -> int:
    """Bytes of a message's buffers once decompressed, as the message itself declares them.

    Parameters
    ----------
    metadata, body : pyarrow.Buffer
        Of a ``pyarrow.ipc.Message``.

    Raises
    ------
    ValueError, struct.error
        If the header is malformed.

    Notes
    -----
    A decompressor is told these lengths and fails where the data open to more.
    """
    data = metadata.to_pybytes()
    message = _Table(data, struct.unpack_from("<I", data, 0)[0])
    kind, header = message.byte(1), message.table(2)
    if header is None or kind not in (_DICTIONARY, _BATCH):
        return 0
    batch = header.table(1) if kind == _DICTIONARY else header
    if batch is None:
        return 0
    buffers = batch.pairs(2)
    if batch.table(3) is None:
        return sum(max(length, 0) for _, length in buffers)
    content = memoryview(body) if body is not None else memoryview(b"")
    return sum(_opened(content, offset, length) for offset, length in buffers)


def _opened(content: memoryview, offset: int, length: int) -> int:
    if length <= 0:
        return 0
    if offset < 0 or length < 8 or offset + length > len(content):
        raise ValueError("a buffer lies outside the message")
    (declared,) = struct.unpack_from("<q", content, offset)
    if declared < -1:
        raise ValueError("a buffer declares a negative length")
    return length if declared == -1 else int(declared)
