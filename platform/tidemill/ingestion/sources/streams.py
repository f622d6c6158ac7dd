"""A text file as bounded blocks: hashed as it lies, decompressed, recoded to UTF-8."""

from __future__ import annotations

import bz2
import codecs
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import Any, BinaryIO

import pyarrow as pa

from tidemill.contracts import Split
from tidemill.errors import SourceUnreadable
from tidemill.storage import SourceFiles

__all__ = ["first_bytes", "line_blocks", "text_blocks"]

BLOCK_BYTES = 1 << 22
# No honest table compresses better than this; a bomb of zeros reaches about 1,000.
MAX_RATIO = 400
MAX_UNCHECKED_BYTES = 1 << 27


_SAVED = "save its table as CSV or Parquet, and name that file"
_UNPACKED = "unpack it, and name the file that it holds"
_OTHERS = {
    b"PK\x03\x04": (
        "a ZIP archive (or an Excel workbook)",
        f"if it is a workbook, rename it to .xlsx; else {_UNPACKED}",
    ),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": (
        "an old Excel workbook",
        f"save it as .xlsx and name that file; or {_SAVED}",
    ),
    b"\xfd7zXZ\x00": ("compressed by xz", _UNPACKED),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", _UNPACKED),
    b"%PDF-": ("a PDF document", _SAVED),
    b"SQLite format 3\x00": (
        "an SQLite database",
        "name a table of it as the source: sqlite:///{file}#TABLE",
    ),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", _SAVED),
    b"ARROW1\x00\x00": ("an Arrow file", "set dataset.format: arrow"),
    b"Obj\x01": ("an Avro file", _SAVED),
}
"""Files that begin so are no text, whatever their names say; and what to do with them."""


class _HashingReader(io.RawIOBase):
    """Hashes what is read, so that a file which changed since the look is noticed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.position = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        content = self._file.read(size if size is not None else -1)
        self.digest.update(content)
        self.position += len(content)
        return content

    def readinto(self, buffer: Any) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


class _Bzip2:
    """Decompresses bzip2: one stream, or several behind each other as pbzip2 writes them.

    ``bz2.BZ2File`` would take what follows the first stream and is none for nothing.
    """

    def __init__(self, file: _HashingReader) -> None:
        self._file = file
        self._stream = bz2.BZ2Decompressor()
        self._rest = b""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; none at the end of the last stream."""
        while True:
            if self._stream.eof:
                self._rest = self._stream.unused_data or self._file.read(BLOCK_BYTES)
                if not self._rest:
                    return b""
                self._stream = bz2.BZ2Decompressor()
            elif self._stream.needs_input and not self._rest:
                self._rest = self._file.read(BLOCK_BYTES)
                if not self._rest:
                    raise EOFError("the stream has no end")
            given, self._rest = self._rest, b""
            block = self._stream.decompress(given, size)
            if block:
                return block


# Line feeds and carriage returns change places, so that none is lost.
_SWAPPED = bytes.maketrans(b"\r\n", b"\n\r")


def line_blocks(
    split: Split, files: SourceFiles, *, encoding: str, whole: bool = True, marks: bool = True
) -> tuple[Iterator[bytes], bool]:
    """:func:`text_blocks` with lines that end in a line feed, and whether they did not.

    If the first block has carriage returns and no line feed at all, both have changed places
    everywhere: in quoted cells, too.
    """
    blocks = text_blocks(split, files, encoding=encoding, whole=whole, marks=marks)
    first = next(blocks, b"")
    swapped = b"\r" in first and b"\n" not in first
    blocks = chain([first], blocks)
    return (block.translate(_SWAPPED) for block in blocks) if swapped else blocks, swapped


def first_bytes(split: Split, files: SourceFiles, size: int = 4) -> bytes:
    """The first bytes of the text, decompressed: by default, where a byte order mark would be."""
    with files.opened(split.address) as file:
        if split.compression == "none":
            return file.read(size)
        return next(_expanded(_HashingReader(file), split), b"")[:size]


def text_blocks(
    split: Split, files: SourceFiles, *, encoding: str, whole: bool = True, marks: bool = True
) -> Iterator[bytes]:
    """Yield the file's text as UTF-8 blocks of about 4 MB, without a byte order mark.

    Parameters
    ----------
    whole : bool
        Whether the file will be read to its end, and its digest compared.
    marks : bool
        Whether byte order marks behind the first are none of the text either: where names or
        objects begin it. In a first cell such a sign is data.

    Raises
    ------
    SourceUnreadable
        If the file is truncated or damaged, not in its encoding (UTF-16), expands beyond
        reason, or is not the file that was listed.

    StorageFailed
        If the disk refuses.

    Notes
    -----
    Memory: two blocks.
    """
    with files.opened(split.address) as file:
        reader = _HashingReader(file)
        yield from _recoded(_expanded(reader, split), split, encoding, marks=marks)
        if whole:
            while reader.read(BLOCK_BYTES):
                pass
            _compare(reader, split, files)


def _expanded(reader: _HashingReader, split: Split) -> Iterator[bytes]:
    stream: Any = reader
    if split.compression == "bzip2":
        stream = _Bzip2(reader)
    elif split.compression == "gzip":
        stream = gzip.GzipFile(fileobj=reader)
    elif split.compression == "zstd":
        stream = pa.CompressedInputStream(pa.PythonFile(reader, mode="r"), "zstd")
    expanded = 0
    while True:
        try:
            block = stream.read(BLOCK_BYTES)
        except (EOFError, gzip.BadGzipFile, zlib.error, pa.ArrowException, OSError) as exc:
            if split.compression == "none" or getattr(exc, "errno", None):
                raise  # the disk's word, not the decompressor's
            raise _unreadable(exc, split, reader.position, expanded) from exc
        if not block:
            return
        expanded += len(block)
        if expanded > MAX_UNCHECKED_BYTES and expanded > MAX_RATIO * max(reader.position, 1):
            raise SourceUnreadable(
                f"{split.address} expands more than {MAX_RATIO} times, as decompression bombs do",
                remedy="if the file is what it should be, decompress it and name the plain file",
                path=split.address,
                position=reader.position,
                expanded=expanded,
            )
        yield block


def _unreadable(exc: Exception, split: Split, position: int, expanded: int) -> SourceUnreadable:
    """Why compressed text cannot be opened, as far as the decompressor tells."""
    said = str(exc).splitlines()[0]
    fields = {"path": split.address, "position": position, "expanded": expanded}
    if "too much memory" in said:
        return SourceUnreadable(
            f"{split.address} was compressed with a window that takes too much memory to open",
            remedy="compress it again without --long, or decompress it and name the plain file",
            **fields,
        )
    with_dictionary = "decompress it with `zstd -d -D DICTIONARY FILE` and name the plain file"
    if "Dictionary mismatch" in said:
        return SourceUnreadable(
            f"{split.address} was compressed with a dictionary, which the file does not hold",
            remedy=with_dictionary,
            **fields,
        )
    # A file need not name its dictionary; without it nothing at all can be opened.
    maybe = split.compression == "zstd" and not expanded
    return SourceUnreadable(
        f"{split.address} is damaged or cut off: {said} (after {expanded} bytes of text, at byte "
        f"{position} of {split.bytes})",
        remedy="fetch the file again, or take it out of the source"
        + (f"; if a dictionary was used, {with_dictionary}" if maybe else ""),
        **fields,
    )


def _recoded(
    blocks: Iterator[bytes], split: Split, encoding: str, *, marks: bool
) -> Iterator[bytes]:
    first = next(blocks, b"")
    _refuse_others(first, split)
    if codecs.lookup(encoding).name == "utf-8":
        first = first.removeprefix(codecs.BOM_UTF8)
        yield _without_marks(first) if marks else first
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    position = 0
    try:
        for block in chain([first], blocks):
            text = decoder.decode(block).encode()
            yield _without_marks(text) if marks and not position else text
            position += len(block)
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as exc:
        raise SourceUnreadable(
            f"{split.address} is not {encoding} text: {exc} (in the block from byte {position})",
            remedy="set dataset.csv.encoding to the file's encoding",
            path=split.address,
            position=position,
            encoding=encoding,
        ) from exc


def _without_marks(text: bytes) -> bytes:
    """Without byte order marks; programs that add one to each other's files leave several."""
    while text.startswith(codecs.BOM_UTF8):
        text = text.removeprefix(codecs.BOM_UTF8)
    return text


def _refuse_others(first: bytes, split: Split) -> None:
    kind = next((kind for begin, kind in _OTHERS.items() if first.startswith(begin)), None)
    if kind is None:
        return
    said, remedy = kind
    if split.compression != "none":
        remedy = f"decompress it first; then {remedy}"
    raise SourceUnreadable(
        f"{split.address} is {said}, no text",
        remedy=remedy.replace("{file}", split.address),
        path=split.address,
    )


def _compare(reader: _HashingReader, split: Split, files: SourceFiles) -> None:
    found = files.etag(split.address, reader.digest.hexdigest())
    if found != split.etag:
        raise SourceUnreadable(
            f"{split.address} changed while it was in use: {found[:20]}..., "
            f"listed as {split.etag[:20]}...",
            remedy="run the same command again when nothing writes to the file",
            path=split.address,
            expected=split.etag,
            found=found,
        )
