"""Headers of Parquet's pages: what they say of checksums and values, beside the footer."""

from __future__ import annotations

from typing import Any, BinaryIO

import pyarrow.parquet as pq

__all__ = ["Damaged", "chunk_begin", "has_checksum", "page_values"]

_MAX_PAGE_HEADER = 1 << 24  # pyarrow's own limit
_DATA_PAGE, _DATA_PAGE_V2 = 0, 3

Fields = dict[int, Any]


class Damaged(Exception):
    """The file contradicts itself, or promises more than it can honestly hold."""

    def __init__(self, message: str, remedy: str = "", **fields: Any) -> None:
        super().__init__(message)
        self.told = {"message": message, "remedy": remedy, "fields": fields}


class _Page:
    """Thrift's compact protocol, as far as page headers need it."""

    def __init__(self, content: bytes) -> None:
        self.content, self.position = content, 0

    def struct(self) -> Fields:
        """The fields of a struct by their numbers."""
        found: Fields = {}
        number = 0
        while kind := self._byte():
            number = number + (kind >> 4) if kind >> 4 else _zigzag(self._varint())
            found[number] = self._value(kind & 15)
        return found

    def _value(self, kind: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind in (4, 5, 6):
            return _zigzag(self._varint())
        if kind == 12:
            return self.struct()
        if kind in (9, 10):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            # A truth in a list takes a byte; in a struct its kind says it.
            return [self._value(max(head & 15, 3)) for _ in range(count)]
        if kind not in (3, 7, 8):
            raise Damaged(f"a page header has a field of type {kind}")
        return self._skip({3: 1, 7: 8}.get(kind) or self._varint())

    def _skip(self, count: int) -> None:
        self.position += count
        if self.position > len(self.content):
            raise IndexError

    def _byte(self) -> int:
        self.position += 1
        return self.content[self.position - 1]

    def _varint(self) -> int:
        value = self._byte()
        if value < 128:
            return value
        value, shift = value & 127, 7
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise Damaged("a page header has a number of more than 64 bits")


def _zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def _page_header(file: BinaryIO, position: int) -> tuple[Fields, int]:
    """A page's header, and where the page's content begins."""
    size = 512
    while True:
        file.seek(position)
        content = file.read(size)
        page = _Page(content)
        try:
            return page.struct(), position + page.position
        except IndexError:
            if len(content) < size or size >= _MAX_PAGE_HEADER:
                raise Damaged(f"the page header at byte {position} does not end") from None
            size *= 16


def chunk_begin(chunk: pq.ColumnChunkMetaData) -> int:
    """The byte where a column chunk begins."""
    # A chunk without values may have a dictionary and no data page: the offset of that is then 0.
    offsets: list[int] = [chunk.dictionary_page_offset, chunk.data_page_offset]
    return min(filter(None, offsets), default=0)


def has_checksum(file: BinaryIO, chunk: pq.ColumnChunkMetaData) -> bool:
    """Whether the first page of a column chunk carries a checksum of its content."""
    return 4 in _page_header(file, chunk_begin(chunk))[0]


def page_values(file: BinaryIO, chunk: pq.ColumnChunkMetaData) -> int:
    """Values in the data pages of a column chunk, by the pages' own headers."""
    position, values = chunk_begin(chunk), 0
    end = position + chunk.total_compressed_size
    while position < end and values <= max(chunk.num_values, 0):
        header, content = _page_header(file, position)
        of_kind = {_DATA_PAGE: 5, _DATA_PAGE_V2: 8}.get(header.get(1, -1))
        if of_kind is not None:
            values += header.get(of_kind, {}).get(1, 0)
        position = content + max(header.get(3, 0), 0)
    return values
