"""Files as sources: which there are, what they begin with, and how they are compressed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from tidemill.config import DatasetConfig
from tidemill.contracts import Compression, Split
from tidemill.errors import SourceEmpty, SourceMissing, SourceUnreadable
from tidemill.formats import FORMATS
from tidemill.ingestion.sources.streams import text_blocks
from tidemill.storage import SourceFiles

__all__ = [
    "FileSource",
    "compression_of",
    "format_of",
    "has_zstd_checksum",
    "refuse_changed",
    "said_of_formats",
    "said_of_unchecked",
]

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# BZh9 may begin a header of CSV too: the sign of the first block, or of the end, belongs to it.
_BZIP2 = re.compile(rb"BZh[1-9](?:\x31\x41\x59\x26\x53\x59|\x17\x72\x45\x38\x50\x90)")
_SKIPPED = b"\x2a\x4d\x18"
_COMPRESSED = (".bz2", ".gz", ".zst", ".zstd")
_README = ".txt"
"""In a folder that holds one beside the data, only files of other kinds are meant."""
_HEAD_BYTES = 4096


class FileSource:
    """Files of one format, each a split; how they are read is what a format adds.

    Parameters
    ----------
    dataset : DatasetConfig
    root : Path
        The workspace: addresses are relative to it.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    magic: ClassVar[tuple[bytes, ...]] = ()
    likely: ClassVar[bytes] = b""
    typed: ClassVar[bool] = False
    scanned: ClassVar[int] = 1

    def __init__(self, dataset: DatasetConfig, root: Path) -> None:
        self.dataset, self.files = dataset, SourceFiles(root)

    def find(self, named: str, given: str | None = None) -> tuple[str, ...]:
        """The files that ``dataset.source`` names (a file, folder or glob), sorted by path.

        Empty files are left out; hidden files and, in a folder, files of other kinds too.

        Raises
        ------
        SourceMissing
            If it names no file; a similar name that is there is offered, as it would be written.
        SourceEmpty
            If all its files are empty.
        """
        source = self.dataset.source
        found = self.files.find(source, _endings())
        if not found:
            raise _missing(source, source if given is None else given, named, self.files)
        filled = tuple(address for address, size in found.items() if size)
        if not filled:
            raise SourceEmpty(
                f"{named} {(given or source)!r} holds no data: every file is empty",
                remedy=f"put data there, or let {named} name another file",
                source=source,
            )
        return filled

    def split(self, address: str) -> list[Split]:
        """The file as one split, still without its number."""
        split, head = _begun(address, self.files)
        self.refuse_another(address, head)
        return [replace(split, etag=self.etag(address))]

    def refuse_another(self, address: str, head: bytes) -> None:
        """Refuse a file that begins as files of this format never do.

        Raises
        ------
        SourceUnreadable
        """
        if self.magic and not head.startswith(self.magic):
            raise _other(address, f"does not begin with {self.magic[0].decode()}")
        for name, kind in FORMATS.usable().items():
            if kind.magic and not isinstance(self, kind) and head.startswith(kind.magic):
                raise _other(address, f"begins as {name} does")

    def etag(self, address: str) -> str:
        """The sha256 of the file's bytes; of a URL what its server says."""
        return self.files.etag(address)

    def said(self, splits: tuple[Split, ...], written: dict[str, Any] | None) -> tuple[str, ...]:
        """Nothing."""
        del splits, written
        return ()

    def unchecked(self, splits: tuple[Split, ...]) -> tuple[str, ...]:
        """What to say of files that were compressed without a checksum of their content."""
        return said_of_unchecked(splits, "zstd", "zstd --check")

    def setting_for(
        self, column: str, splits: tuple[Split, ...], written: dict[str, Any] | None
    ) -> str:
        """Nothing."""
        del column, splits, written
        return ""


def _missing(source: str, given: str, named: str, files: SourceFiles) -> SourceMissing:
    place, what = files.absolute(source), _NOTHING_TO_READ.get(files.kind(source))
    scheme, found, _ = given.partition("://")
    if found and not files.elsewhere(source):
        return SourceMissing(
            f"{named} {given!r}: nothing here reads addresses of {scheme}://",
            remedy=f"let {named} name a file, a folder or a glob; or install a package whose "
            "source reads such addresses, and set dataset.format to its name",
            source=given,
            path=place,
        )
    if what is not None:
        return SourceMissing(
            f"{named} {given!r} {what}: {place}",
            remedy=f"let {named} name a file, a folder or a glob",
            source=given,
            path=place,
        )
    close = files.similar(source, given)
    hint = f"did you mean {close!r}? " if close else ""
    return SourceMissing(
        f"{named} {given!r} names no file" + (f" ({place})" if place != given else ""),
        remedy=f"{hint}let {named} name a file, a folder or a glob",
        source=given,
        path=place,
        nearest=close,
    )


_NOTHING_TO_READ = {
    "folder": "is a folder without files (hidden ones do not count)",
    "broken link": "is a link that leads to nothing",
    "device": "is no file on a disk, but a pipe or a device, which cannot be read twice",
}


def compression_of(begin: bytes) -> Compression:
    """How a file is compressed, by its first ten bytes."""
    if _BZIP2.match(begin):
        return "bzip2"
    if begin.startswith(_GZIP):
        return "gzip"
    # Some writers (pzstd) begin with a frame that readers skip (RFC 8878).
    skipped = begin[1:4] == _SKIPPED and begin[0] >> 4 == 5
    return "zstd" if begin.startswith(_ZSTD) or skipped else "none"


def has_zstd_checksum(begin: bytes) -> bool:
    """Whether the first frame of a zstd file ends in a checksum of its content (RFC 8878).

    Its first five bytes tell.
    """
    return len(begin) >= 5 and begin.startswith(_ZSTD) and bool(begin[4] & 4)


def format_of(address: str, root: Path) -> str:
    """The format of a file: by what it begins with for sure, its name, or what it likely is.

    Text that tells nothing is of the first format of the table. Formats that cannot be used are
    passed over; :func:`said_of_formats` tells of them.
    """
    files, formats = SourceFiles(root), FORMATS.usable()
    _, head = _begun(address, files)
    name = files.named(address).lower()
    for suffix in _COMPRESSED:
        name = name.removesuffix(suffix)
    suffix = PurePosixPath(name).suffix
    begins = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    found = (
        *(one for one, kind in formats.items() if kind.magic and head.startswith(kind.magic)),
        *(one for one, kind in formats.items() if suffix in kind.suffixes),
        *(one for one, kind in formats.items() if kind.likely and begins.startswith(kind.likely)),
        *formats,
    )
    return found[0]


def refuse_changed(files: SourceFiles, address: str, etag: str) -> None:
    """Refuse a file that is not the one that was listed.

    Raises
    ------
    SourceUnreadable
    """
    if files.etag(address) != etag:
        raise SourceUnreadable(
            f"{address} is not the file that was listed: its content changed",
            remedy="run the same command again when nothing writes to the file",
            path=address,
            expected=etag,
        )


def said_of_formats(dataset: DatasetConfig) -> tuple[str, ...]:
    """What to say of formats of packages that cannot be used, where files tell their format."""
    if dataset.format != "auto":
        return ()
    return tuple(
        f"files of the format {name!r} are not recognised: {exc.message} ({exc.remedy})"
        for name, exc in FORMATS.unusable().items()
    )


def said_of_unchecked(splits: tuple[Split, ...], kind: str, how: str) -> tuple[str, ...]:
    """What to say of files without checksums: of which kind they are, and how to write them."""
    files = len({split.address for split in splits})
    bare = {split.address for split in splits if not split.checked}
    if not bare:
        return ()
    return (
        f"{len(bare):,} of {files:,} files are {kind} without checksums: a byte that changes "
        f"in one may be read as another value without a word ({how} writes them)",
    )


def _endings() -> set[str]:
    kinds = FORMATS.usable().values()
    return {*_COMPRESSED, *(ending for kind in kinds for ending in kind.suffixes)} - {_README}


def _begun(address: str, files: SourceFiles) -> tuple[Split, bytes]:
    """A file as a split without an etag, by what its first bytes say; and those, decompressed."""
    with files.opened(address) as file:
        begin = file.read(_HEAD_BYTES)
    compression = compression_of(begin)
    checked = compression != "zstd" or has_zstd_checksum(begin)
    split = Split(0, address, "", compression, files.size(address), "", checked=checked)
    if compression == "none":
        return split, begin
    blocks = text_blocks(split, files, encoding="utf-8", whole=False)
    return split, next(blocks, b"")[:_HEAD_BYTES]


def _other(address: str, what: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"{address} is not of the format that it should have: it {what}",
        remedy="fetch the file again, take it out of the source, or set dataset.format",
        path=address,
    )
