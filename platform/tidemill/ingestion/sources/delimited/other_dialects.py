"""Files of delimited text that are not written as the first of their source is."""

from __future__ import annotations

import codecs

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.config import CsvFormat
from tidemill.contracts import RawBatch, Split
from tidemill.errors import SourceUnreadable, TidemillError
from tidemill.ingestion.sources.delimited.csv_dialect import CsvDialect
from tidemill.ingestion.sources.delimited.dialect import (
    find_dialect,
    find_encoding,
    read_head,
    said_of,
)
from tidemill.ingestion.sources.streams import first_bytes
from tidemill.storage import SourceFiles

__all__ = ["reads_badly", "refuse_other_dialect", "refuse_other_encoding", "said_of_files"]

_AUTO = {"delimiter": "auto", "quote": "auto", "escape": "auto", "comment": "auto"}
_MOST_REJECTS = 0.5
_HEAD_BYTES = 1 << 18


def refuse_other_encoding(
    split: Split, files: SourceFiles, dialect: CsvDialect, stated: CsvFormat, first: str
) -> None:
    """Refuse a file whose byte order mark says another encoding than the first file has.

    Raises
    ------
    SourceUnreadable
    """
    encoding = find_encoding(stated.encoding, first_bytes(split, files), split.address)
    if encoding != dialect.encoding:
        raise _other(split, [("its encoding is", encoding, dialect.encoding)], first)


def refuse_other_dialect(
    split: Split, files: SourceFiles, dialect: CsvDialect, stated: CsvFormat, first: str
) -> None:
    """Refuse a file that reads badly because it is written otherwise than the first file.

    Raises
    ------
    SourceUnreadable
        With what differs; nothing is raised where nothing is found to.
    """
    head = read_head(split, files, dialect.encoding)
    try:
        own = find_dialect(stated.model_copy(update=_AUTO), dialect.encoding, head, split.address)
    except TidemillError:
        return  # what is wrong with the file itself is told where it is read
    found = [
        ("it separates by", own.delimiter, dialect.delimiter),
        ("the lines above its header are", own.skip_lines, dialect.skip_lines),
    ]
    if own.quote.encode() in head:
        found.append(("it quotes by", own.quote, dialect.quote))
    if own.escape:
        found.append(("its quotes are escaped by", own.escape, dialect.escape))
    if own.skip_blanks:
        found.append(("blanks behind its delimiters are left out", True, dialect.skip_blanks))
    if other := [said for said in found if said[1] != said[2]]:
        raise _other(split, other, first)


def said_of_files(
    splits: tuple[Split, ...], dialect: CsvDialect, files: SourceFiles
) -> tuple[str, ...]:
    """What people should know of how text was found to be written, and of a doubtful encoding."""
    encoding, said = dialect.encoding, said_of(dialect)
    if encoding.startswith("utf"):
        return said
    doubtful = [split.address for split in splits if _is_utf8(split, files)]
    if not doubtful:
        return said
    return (
        *said,
        f"{len(doubtful):,} of {len(splits):,} files are valid UTF-8, such as "
        f"{doubtful[0]}, and are read as {encoding} (dataset.csv.encoding)",
    )


def _is_utf8(split: Split, files: SourceFiles) -> bool:
    """Whether the head of a file has signs beyond ASCII, and is sound UTF-8."""
    head = first_bytes(split, files, _HEAD_BYTES)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return not head.isascii()


def reads_badly(batch: RawBatch, dialect: CsvDialect) -> bool:
    """Whether most records are no rows, or a whole column stands in quotes of another kind."""
    lines = len(batch.rows) + len(batch.rejects)
    if len(batch.rejects) > _MOST_REJECTS * lines:
        return True
    marks = [mark for mark in ("'", '"') if mark != dialect.quote]
    return any(_quoted(texts, mark) for texts in batch.columns.values() for mark in marks)


def _quoted(texts: pa.Array, mark: str) -> bool:
    """Whether every text begins and ends with a mark; the first tells of most that it does not."""
    present = texts.drop_null()
    if len(present) < 2 or not present[0].as_py().startswith(mark):
        return False
    inside = pc.match_substring_regex(present, rf"^{mark}[^{mark}]*{mark}$")
    return bool(pc.all(inside).as_py())


def _other(split: Split, found: list[tuple[str, object, object]], first: str) -> SourceUnreadable:
    said = ", ".join(f"{what} {own!r} (there {there!r})" for what, own, there in found)
    return SourceUnreadable(
        f"{split.address} is not written as {first} is, and all files of a source are read alike: "
        f"{said}",
        remedy=f"write {split.address} again as {first} is written, or take it out of the source",
        path=split.address,
        first=first,
        differs=tuple(what for what, _, _ in found),
    )
