"""Which files dataset.source names, and of what format they are."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from tidemill.config import DatasetConfig
from tidemill.errors import SourceEmpty, SourceMissing, SourceUnreadable, nearest
from tidemill.ingestion.sources.splits import Compression, Format

__all__ = ["compression_of", "find_files", "format_of", "has_zstd_checksum"]

_GZIP, _ZSTD, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
_ENCRYPTED, _SKIPPED = b"PARE", b"\x2a\x4d\x18"
_JSON_SUFFIXES = {".jsonl", ".ndjson", ".jsonlines", ".json"}
_TEXT_SUFFIXES = {".csv", ".tsv", ".txt", ".psv", ".data"}
# In a folder that holds a README beside the data, only files of these are meant.
_KNOWN = {*_JSON_SUFFIXES, *_TEXT_SUFFIXES, ".parquet", ".pq", ".gz", ".zst", ".zstd"} - {".txt"}


def find_files(
    dataset: DatasetConfig,
    root: Path,
    named: str = "dataset.source",
    given: str | None = None,
) -> tuple[Path, ...]:
    """Return the files that ``dataset.source`` names (a file, folder or glob), sorted by path.

    Empty files are left out; hidden files and, in a folder, files of other kinds too. ``named`` is
    what the reader calls the setting that says so, ``given`` what he wrote there, if another text
    stands in the settings.

    Raises
    ------
    SourceMissing
        If it names no file; a similar name that is there is offered, as it would be written.
    SourceEmpty
        If all its files are empty.
    """
    place = root / dataset.source
    if place.is_file():
        files = [place]
    elif place.is_dir():
        inside = sorted(_visible(place.rglob("*"), place))
        files = [path for path in inside if path.suffix.lower() in _KNOWN] or inside
    else:
        found = (Path(name) for name in glob.glob(str(place), recursive=True))  # noqa: PTH207
        files = sorted(path for path in found if path.is_file() and not path.name.startswith("."))
    if not files:
        raise _missing(dataset.source if given is None else given, place, named)
    filled = tuple(path for path in files if path.stat().st_size)
    if not filled:
        raise SourceEmpty(
            f"{named} {(given or dataset.source)!r} holds no data: every file is empty",
            remedy=f"put data there, or let {named} name another file",
            source=dataset.source,
        )
    return filled


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


def format_of(path: Path, stated: str, head: bytes) -> Format:
    """The format: as stated, by the name, or by the first bytes of the text.

    Raises
    ------
    SourceUnreadable
        If the statement or the name and the content contradict each other.
    """
    if head.startswith(_ENCRYPTED):
        raise SourceUnreadable(
            f"{path} is encrypted Parquet", remedy="decrypt it: no keys are known here"
        )
    is_parquet = head.startswith(_PARQUET)
    name = path.name.lower()
    for suffix in (".gz", ".zst", ".zstd"):
        name = name.removesuffix(suffix)
    suffix = Path(name).suffix
    if stated == "parquet" or (stated == "auto" and suffix in (".parquet", ".pq")):
        if not is_parquet:
            raise _not_a(path, "Parquet (it does not begin with PAR1)")
        return "parquet"
    if is_parquet and stated == "auto":
        return "parquet"
    if is_parquet:
        raise _not_a(path, f"{stated} text (it is Parquet)")
    if stated in ("csv", "jsonl"):
        return "csv" if stated == "csv" else "jsonl"
    if suffix in _JSON_SUFFIXES or (
        suffix not in _TEXT_SUFFIXES and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    ):
        return "jsonl"
    return "csv"


def _not_a(path: Path, what: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"{path} is not {what}",
        remedy="fetch the file again, take it out of the source, or set dataset.format",
        path=str(path),
    )
