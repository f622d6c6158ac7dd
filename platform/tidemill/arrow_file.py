"""Arrow IPC of unknown origin, as a file or a stream: its record batches, found and made sound.

Imported by a script that imports no room of tidemill.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.asked_ranges import AskedFile, HeldBytes
from tidemill.parquet_pages import Damaged
from tidemill.schema import MOST_COLUMNS

__all__ = ["FEATHER_1", "FILE_MAGIC", "STREAM_MAGIC", "ArrowFile"]

FILE_MAGIC, STREAM_MAGIC, FEATHER_1 = b"ARROW1", b"\xff\xff\xff\xff", b"FEA1"
MAX_RATIO = 1000
MAX_COLUMN_BYTES, MAX_UNCHECKED_BYTES = 1 << 30, 1 << 26
"""Of a column in a batch: what it may open to where the file is smaller; what is never a bomb."""
BATCH_ROWS = 16_384
_MAX_METADATA = 1 << 26
_HEAD_BYTES = 1 << 12
"""Of a file elsewhere, asked for where a message begins: most are shorter."""
_RECORDS = 3
"""The kind of a message, as Arrow's format numbers them, that holds rows."""
_SMALLER = "if the file is what it should be, write it again in smaller record batches"


@dataclass(frozen=True, slots=True)
class _Piece:
    """A record batch with the dictionaries before it: where it lies, and its rows."""

    begin: int
    end: int
    rows: int


class ArrowFile:
    """A file of Arrow IPC whose messages have been gone through, without what they hold.

    Parameters
    ----------
    place : str or AskedFile
        A path; or a file elsewhere, of which whole record batches are asked for.

    Raises
    ------
    Damaged
        If it is cut off, contradicts itself, or promises more rows than its bytes can hold.

    Notes
    -----
    A file on this machine is mapped, so that of an uncompressed batch the columns that are read
    are held as they come. Of a compressed one they are held whole.
    """

    def __init__(self, place: str | AskedFile) -> None:
        self._place = place
        self._raw: Any
        if isinstance(place, AskedFile):
            self._size, self._raw = place.size, HeldBytes(place)
        else:
            self._raw = pa.memory_map(place)
            self._size = self._raw.size()
        self._stream = not self._bytes(0, 8).startswith(FILE_MAGIC)
        self._pieces = list(self._found())
        with self._reader([]) as reader:
            self._written: pa.Schema = reader.schema
            held = len(self._pieces) if self._stream else reader.num_record_batches
        if len(self._written) > MOST_COLUMNS:
            raise Damaged(f"{len(self._written):,} columns; at most {MOST_COLUMNS:,} are read")
        if held != len(self._pieces):
            raise Damaged(f"it has {len(self._pieces)} record batches, {held} by its footer")
        rows = [piece.rows for piece in self._pieces]
        if min(rows, default=0) < 0 or sum(rows) > 8 * MAX_RATIO * self._size:
            raise Damaged(f"it promises {sum(rows):,} rows, the file has {self._size >> 10} KB")
        # A stream is read from its begin on: all of it at once, or nothing.
        self.rows = [sum(rows)] if self._stream and rows else rows
        fields = [field.with_type(_plain(field.type)) for field in self._written]
        self.schema = pa.schema(fields)

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def told(self) -> dict[str, Any]:
        """What is known of it before rows are read."""
        whole = (field for field in self.schema if pa.types.is_integer(field.type))
        return {
            "schema": base64.b64encode(self.schema.serialize().to_pybytes()).decode(),
            "rows": self.rows,
            "largest": {field.name: 2.0**field.type.bit_width for field in whole},
            "checked": False,
        }

    def batches(
        self, groups: list[int], positions: list[int], most: int | None
    ) -> Iterator[pa.RecordBatch]:
        """Batches of some columns, all rows that the file promises of each record batch.

        It stops behind the batch that fills ``most`` rows.
        """
        told, kept = 0, sorted(set(positions))
        numbers = range(len(self._pieces)) if self._stream and groups else groups
        with self._reader(kept) as reader:
            for number in numbers:
                piece = self._pieces[number]
                if isinstance(self._place, AskedFile):
                    self._place.hold([(piece.begin, piece.end)])
                batch = reader.read_next_batch() if self._stream else reader.get_batch(number)
                if batch.num_rows != piece.rows:
                    raise Damaged(
                        f"record batch {number} has not the {piece.rows} rows it promises"
                    )
                columns = [self._sound(batch, kept.index(p), p, number) for p in positions]
                whole = pa.RecordBatch.from_arrays(columns, names=[str(p) for p in positions])
                for first in range(0, piece.rows, BATCH_ROWS):
                    some = whole.slice(first, BATCH_ROWS)
                    yield some
                    told += some.num_rows
                    if most is not None and told >= most:
                        return

    def _reader(self, columns: list[int]) -> Any:
        if isinstance(self._place, AskedFile):
            self._place.seek(0)
            source = pa.PythonFile(self._place, mode="r")
        else:
            source = pa.memory_map(self._place)
        options = pa.ipc.IpcReadOptions(included_fields=columns or None, use_threads=False)
        opened = pa.ipc.open_stream if self._stream else pa.ipc.open_file
        return opened(source, options=options)

    def _sound(self, batch: pa.RecordBatch, at: int, position: int, number: int) -> pa.Array:
        """A column within whose bounds its codes and offsets lie; texts may be no UTF-8."""
        field, wanted = self._written.field(position), self.schema.field(position).type
        try:
            values = _whole(batch.column(at), wanted)
        except pa.ArrowInvalid as exc:
            raise Damaged(f"column {field.name} of record batch {number}: {exc}") from exc
        opened, size = values.nbytes, self._size
        if opened > max(size, MAX_COLUMN_BYTES) or opened > max(
            MAX_RATIO * size, MAX_UNCHECKED_BYTES
        ):
            raise Damaged(
                f"column {field.name} of record batch {number} opens to {opened >> 20} MB, the "
                f"file has {size >> 10} KB",
                _SMALLER,
                opened=opened,
                size=size,
            )
        return values

    def _found(self) -> Iterator[_Piece]:
        """The record batches, in the order in which they lie."""
        end = self._size if self._stream else self._footer()
        at = begin = 0 if self._stream else 8
        while at + 4 <= end:
            mark, length = struct.unpack("<ii", self._bytes(at, 8).ljust(8, b"\0"))
            body = at + 8
            if mark != -1:  # as it was written before Arrow 0.15
                length, body = mark, at + 4
            if not length and body <= end:
                return
            if not 0 < length <= min(_MAX_METADATA, end - body):
                raise Damaged(f"the message at byte {at} is cut off, or none")
            kind, rows, size = _message(self._bytes(body, length), at)
            at = body + length + size
            if size < 0 or at > end:
                raise Damaged(f"it ends at byte {end}, in the midst of a message")
            if kind == _RECORDS:
                yield _Piece(begin, at, rows)
                begin = at
        if self._stream:
            raise Damaged(
                "it does not end as a stream of Arrow does",
                "if it is not cut off, write it again and close its writer",
            )

    def _footer(self) -> int:
        """Where the footer of a file begins."""
        tail = self._bytes(self._size - 10, 10) if self._size > 18 else b""
        length = int.from_bytes(tail[:4], "little", signed=True)
        if not tail.endswith(FILE_MAGIC) or not 0 < length <= self._size - 18:
            raise Damaged("it is cut off: its end is not that of an Arrow file")
        return self._size - 10 - length

    def _bytes(self, first: int, size: int) -> bytes:
        place = self._place
        if isinstance(place, AskedFile):
            held = place.within(first, size)
            if held is None or len(held) < size:
                place.hold([(first, first + max(size, _HEAD_BYTES))])
        self._raw.seek(first)
        found: bytes = self._raw.read(size)
        return found


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type as which values are handed on: as other formats have it."""
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_dictionary(kind):
        value = _plain(kind.value_type)
        texts = pa.types.is_string(value) or pa.types.is_large_string(value)
        return pa.dictionary(pa.int32(), pa.string()) if texts else value
    return kind


def _whole(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """The array in the wanted type, validated in full but for the encoding of its texts."""
    if pa.types.is_dictionary(values.type):
        values.indices.validate(full=True)
        words = _whole(values.dictionary, _plain(values.type.value_type))
        bounds = pc.min_max(values.indices)
        if len(values) > values.null_count and not (
            bounds["min"].as_py() >= 0 and bounds["max"].as_py() < len(words)
        ):
            raise pa.ArrowInvalid("a code stands for no entry of its dictionary")
        codes = values.indices.cast(pa.int32())
        if not pa.types.is_dictionary(wanted):
            return words.take(codes)
        if pa.types.is_large_string(words.type):
            words = _viewed(words.cast(pa.large_binary()).cast(pa.binary()), pa.string())
        return pa.DictionaryArray.from_arrays(codes, words)
    as_bytes = _BYTES_OF.get(values.type)
    if as_bytes is None:
        values.validate(full=True)
        return values
    raw = values.cast(as_bytes)
    raw.validate(full=True)
    return _viewed(raw.cast(pa.binary()), wanted) if wanted == pa.string() else values


_BYTES_OF = {
    pa.string(): pa.binary(),
    pa.large_string(): pa.large_binary(),
    pa.string_view(): pa.binary_view(),
}


def _viewed(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Bytes as texts, whatever they are."""
    return values.view(kind)


def _message(content: bytes, at: int) -> tuple[int, int, int]:
    """The kind of a message, the rows of a record batch, and the bytes of its body.

    As Message.fbs of Arrow's format lays it out, a table of FlatBuffers.
    """
    try:
        message = struct.unpack_from("<I", content, 0)[0]
        kind = _field(content, message, 1, "<B")
        header = _place(content, message, 2)
        rows = 0
        if kind == _RECORDS and header:
            batch = header + struct.unpack_from("<I", content, header)[0]
            rows = _field(content, batch, 0, "<q")
        return kind, rows, _field(content, message, 3, "<q")
    except struct.error as exc:
        raise Damaged(f"the message at byte {at} is none") from exc


def _field(content: bytes, table: int, number: int, form: str) -> int:
    place = _place(content, table, number)
    return int(struct.unpack_from(form, content, place)[0]) if place else 0


def _place(content: bytes, table: int, number: int) -> int:
    """Where a field of a table stands; 0: nowhere, it has its default."""
    fields = table - struct.unpack_from("<i", content, table)[0]
    (size,) = struct.unpack_from("<H", content, fields)
    if 4 + 2 * number >= size:
        return 0
    (offset,) = struct.unpack_from("<H", content, fields + 4 + 2 * number)
    return table + offset if offset else 0
