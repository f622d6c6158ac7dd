"""Files as sources: which there are, what they begin with, and how they are compressed."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from tidemill.config import DatasetConfig
from tidemill.contracts import Compression, Split
from tidemill.errors import SourceEmpty, SourceMissing, SourceUnreadable, nearest
from tidemill.formats import FORMATS
from tidemill.ingestion.sources.streams import place_of, text_blocks
from tidemill.storage import hash_file

__all__ = ["FileSource", "compression_of", "format_of", "has_zstd_checksum", "said_of_unchecked"]

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_SKIPPED = b"\x2a\x4d\x18"
_COMPRESSED = (".gz", ".zst", ".zstd")
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
        self.dataset, self.root = dataset, root

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
        files = _files(self.root / source)
        if not files:
            raise _missing(source if given is None else given, self.root / source, named)
        filled = [path for path in files if path.stat().st_size]
        if not filled:
            raise SourceEmpty(
                f"{named} {(given or source)!r} holds no data: every file is empty",
                remedy=f"put data there, or let {named} name another file",
                source=source,
            )
        root = self.root.resolve()
        return tuple(_shown(path.resolve(), root) for path in filled)

    def split(self, address: str) -> list[Split]:
        """The file as one split, still without its number."""
        path = self.root / address
        compression = compression_of(path)
        checked = compression != "zstd" or has_zstd_checksum(path)
        size = path.stat().st_size
        split = Split(0, address, "", compression, size, self.etag(address), checked=checked)
        self.refuse_another(address, _head(split, self.root))
        return [split]

    def refuse_another(self, address: str, head: bytes) -> None:
        """Refuse a file that begins as files of this format never do.

        Raises
        ------
        SourceUnreadable
        """
        if self.magic and not head.startswith(self.magic):
            raise _other(address, f"does not begin with {self.magic[0].decode()}")
        for name, kind in FORMATS.items():
            if kind.magic and not isinstance(self, kind) and head.startswith(kind.magic):
                raise _other(address, f"begins as {name} does")

    def etag(self, address: str) -> str:
        """The sha256 of the file's bytes."""
        return hash_file(self.root / address)

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


def _visible(paths: Iterator[Path], folder: Path) -> Iterator[Path]:
    for path in paths:
        if path.is_file() and not any(
            part.startswith((".", "_")) for part in path.relative_to(folder).parts
        ):
            yield path


def _missing(source: str, place: Path, named: str) -> SourceMissing:
    if place.is_symlink() or place.exists():
        return _nothing_to_read(source, place, named)
    close = _nearest_path(source, place)
    hint = f"did you mean {close!r}? " if close else ""
    return SourceMissing(
        f"{named} {source!r} names no file ({place})",
        remedy=f"{hint}let {named} name a file, a folder or a glob",
        source=source,
        path=str(place),
        nearest=close,
    )


def _nearest_path(source: str, place: Path) -> str | None:
    """What could stand in the place of ``source``: one of its parts is another, and it is there."""
    written = Path(source)
    absent = [place, *place.parents]
    depth = next((i for i, path in enumerate(absent) if path.parent.is_dir()), len(absent))
    if depth >= len(written.parts):
        return None
    wrong = absent[depth]
    close = nearest(wrong.name, [path.name for path in wrong.parent.iterdir()])
    if close is None or not wrong.with_name(close).joinpath(place.relative_to(wrong)).exists():
        return None
    parts = list(written.parts)
    parts[len(parts) - 1 - depth] = close
    return str(Path(*parts))


def _nothing_to_read(source: str, place: Path, named: str) -> SourceMissing:
    """What is there, and is no file with data."""
    if place.is_dir():
        what = "is a folder without files (hidden ones do not count)"
    elif not place.exists():
        what = "is a link that leads to nothing"
    else:
        what = "is no file on a disk, but a pipe or a device, which cannot be read twice"
    return SourceMissing(
        f"{named} {source!r} {what}: {place}",
        remedy=f"let {named} name a file, a folder or a glob",
        source=source,
        path=str(place),
    )


def compression_of(path: Path) -> Compression:
    """How a file is compressed, by its first bytes."""
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith(_GZIP):
        return "gzip"
    # Some writers (pzstd) begin with a frame that readers skip (RFC 8878).
    skipped = head[1:] == _SKIPPED and head[0] >> 4 == 5
    return "zstd" if head == _ZSTD or skipped else "none"


def has_zstd_checksum(path: Path) -> bool:
    """Whether the first frame of a zstd file ends in a checksum of its content (RFC 8878)."""
    with path.open("rb") as file:
        head = file.read(5)
    return len(head) == 5 and head.startswith(_ZSTD) and bool(head[4] & 4)


def format_of(address: str, root: Path) -> str:
    """The format of a file: by what it begins with for sure, its name, or what it likely is.

    Text that tells nothing is of the first format of the table.
    """
    path = root / address
    head = _head(Split(0, address, "", compression_of(path), 0, ""), root)
    name = path.name.lower()
    for suffix in _COMPRESSED:
        name = name.removesuffix(suffix)
    suffix = Path(name).suffix
    begins = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    found = (
        *(one for one, kind in FORMATS.items() if kind.magic and head.startswith(kind.magic)),
        *(one for one, kind in FORMATS.items() if suffix in kind.suffixes),
        *(one for one, kind in FORMATS.items() if kind.likely and begins.startswith(kind.likely)),
        *FORMATS,
    )
    return found[0]


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


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if place.is_dir():
        inside = sorted(_visible(place.rglob("*"), place))
        known = {*_COMPRESSED, *(suffix for kind in FORMATS.values() for suffix in kind.suffixes)}
        return [path for path in inside if path.suffix.lower() in known - {_README}] or inside
    found = (Path(name) for name in glob.glob(str(place), recursive=True))  # noqa: PTH207
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _head(split: Split, root: Path) -> bytes:
    if split.compression == "none":
        with place_of(split, root).open("rb") as file:
            return file.read(_HEAD_BYTES)
    return next(text_blocks(split, root, encoding="utf-8", whole=False), b"")[:_HEAD_BYTES]


def _other(address: str, what: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"{address} is not of the format that it should have: it {what}",
        remedy="fetch the file again, take it out of the source, or set dataset.format",
        path=address,
    )
