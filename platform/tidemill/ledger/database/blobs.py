"""Rows and partials as compressed bytes that notice damage: checksum, size, zstd."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.errors import IntegrityError

__all__ = [
    "pack_bytes",
    "pack_numbers",
    "pack_table",
    "unpack_bytes",
    "unpack_numbers",
    "unpack_table",
]

_HEADER = struct.Struct("<IQ")  # crc32 of what follows the header, size of what is compressed
_LEVEL = 1
_MAX_BYTES = 1 << 32


def pack_bytes(content: bytes | pa.Buffer) -> bytes:
    """Compress; :func:`unpack_bytes` reads it back.

    >>> unpack_bytes(pack_bytes(b"tide" * 9)) == b"tide" * 9
    True
    """
    size = content.size if isinstance(content, pa.Buffer) else len(content)
    body = pa.Codec("zstd", compression_level=_LEVEL).compress(content, asbytes=True)
    return _HEADER.pack(zlib.crc32(body), size) + bytes(body)


def unpack_bytes(blob: bytes) -> bytes:
    """What :func:`pack_bytes` packed.

    Raises
    ------
    IntegrityError
        If the bytes are not what was written.
    """
    return bytes(_unpacked(blob))


def pack_numbers(numbers: npt.NDArray[np.int64]) -> bytes:
    """Whole numbers; :func:`unpack_numbers` reads them back."""
    return pack_bytes(numbers.astype("<i8").tobytes())


def unpack_numbers(blob: bytes | None) -> npt.NDArray[np.int64] | None:
    """What :func:`pack_numbers` packed; None stays None."""
    return None if blob is None else np.frombuffer(unpack_bytes(blob), "<i8").astype(np.int64)


def pack_table(table: pa.Table) -> bytes:
    """A table as a compressed Arrow stream, schema and dictionaries included."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for batch in table.combine_chunks().to_batches():
            writer.write_batch(batch)
    return pack_bytes(sink.getvalue())


def unpack_table(blob: bytes) -> pa.Table:
    """What :func:`pack_table` packed.

    Raises
    ------
    IntegrityError
        If the bytes are not what was written.
    """
    with pa.ipc.open_stream(_unpacked(blob)) as reader:
        return reader.read_all()


def _unpacked(blob: bytes) -> pa.Buffer:
    body = memoryview(blob)[_HEADER.size :]
    if len(blob) >= _HEADER.size:
        checksum, size = _HEADER.unpack_from(blob)
        if zlib.crc32(body) == checksum and size < _MAX_BYTES:
            return pa.Codec("zstd").decompress(pa.py_buffer(body), decompressed_size=size)
    raise IntegrityError(
        "stored rows or partials are damaged: their checksum differs",
        remedy="restore the store from a backup",
    )
