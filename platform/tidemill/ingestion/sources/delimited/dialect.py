"""How delimited text is written: found once, from the head of the first file."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from tidemill.config import CsvFormat
from tidemill.contracts import Split
from tidemill.errors import ConfigError, SourceUnreadable
from tidemill.ingestion.sources.delimited.csv_dialect import CsvDialect
from tidemill.ingestion.sources.delimited.fields import cut_fields
from tidemill.ingestion.sources.delimited.head_layout import (
    HeadLine,
    comments_marked,
    common_width,
    find_layout,
)
from tidemill.ingestion.sources.delimited.records import cut_records
from tidemill.ingestion.sources.streams import line_blocks
from tidemill.storage import SourceFiles

__all__ = ["find_dialect", "find_encoding", "head_lines", "read_head", "said_of"]

_DELIMITERS = (",", ";", "\t", "|")
_HEAD_RECORDS = 200
_HEAD_BYTES = 1 << 18
# Of lines that are longer: a header says nothing without rows below it.
_HEAD_LINES = 16
_DECLARED = re.compile(rb'"?sep=([ -~\t])"?\r?\n', re.I)


def find_encoding(stated: str, head: bytes, path: str) -> str:
    """The text's encoding: as stated, unless a byte order mark says UTF-16 or UTF-8."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8"
    try:
        return codecs.lookup(stated).name.removesuffix("-sig")
    except LookupError as exc:
        raise ConfigError(
            f"dataset.csv.encoding {stated!r} is not an encoding",
            remedy="set dataset.csv.encoding to utf-8, latin-1 or utf-16",
            path=path,
        ) from exc


def find_dialect(stated: CsvFormat, encoding: str, head: bytes, path: str) -> CsvDialect:
    """Find how text is written from up to 200 records: what is stated wins.

    Of the possible dialects the one wins in which most records keep the rules of quoting and
    have one number of fields, above one.

    Parameters
    ----------
    head : bytes
        UTF-8, cut at a line end.

    Raises
    ------
    SourceUnreadable
        If the head is not valid text, or no row agrees with the header.
    ConfigError
        If the delimiter, quote, escape or comment is longer than one character.
    """
    _check_text(head, stated, path)
    _check_characters(stated)
    declared = _DECLARED.match(head)
    skip = stated.skip_lines if isinstance(stated.skip_lines, int) else int(bool(declared))
    base = CsvDialect(",", '"', encoding, header=False, skip_lines=skip)
    said = declared[1].decode() if declared else ""
    dialect = _best(_candidates(stated, base, said, head), head, path)
    lines = head_lines(head, dialect, path)
    dialect = replace(dialect, comment=_comment(stated, lines))
    if _all_spaced(lines) and dialect.delimiter != " ":
        dialect = replace(dialect, skip_blanks=True)
    lines = head_lines(head, dialect, path)
    if stated.delimiter == "auto" and dialect.delimiter == " ":
        _refuse_alignment(lines, path)
    layout = find_layout(
        lines,
        header=stated.header,
        skip=skip,
        titles=stated.skip_lines == "auto",
        trailing=stated.trailing_delimiter,
        path=path,
    )
    _refuse_two_meanings(stated, dialect, lines, path)
    return replace(
        dialect,
        header=layout.header,
        skip_lines=layout.skip_lines,
        trailing=layout.trailing,
    )


def said_of(dialect: CsvDialect) -> tuple[str, ...]:
    """What people should know of how text was found to be written."""
    above = "line is" if dialect.skip_lines == 1 else f"{dialect.skip_lines} lines are"
    found = {
        f"the first {above} left out: what follows is the header or a row "
        "(dataset.csv.skip_lines)": dialect.skip_lines,
        "blanks behind a delimiter are left out": dialect.skip_blanks,
        f"{dialect.quote} quotes (dataset.csv.quote)": dialect.quote not in ('"', ""),
        "a backslash before a quote makes it text (dataset.csv.escape)": dialect.escape,
        f"lines that begin with {dialect.comment} are comments and left out "
        "(dataset.csv.comment)": dialect.comment,
        "a blank is the delimiter (dataset.csv.delimiter)": dialect.delimiter == " ",
    }
    return tuple(text for text, holds in found.items() if holds)


def head_lines(head: bytes, dialect: CsvDialect, path: str) -> list[HeadLine]:
    """The first 200 records behind the lines to skip, as the reader would cut them."""
    whole = replace(dialect, header=False)
    block = next(cut_records(iter([head]), whole, batch_rows=_HEAD_RECORDS, path=path), None)
    if block is None:
        return []
    found = []
    for index in range(len(block.starts)):
        text = block.record(index).decode(errors="replace")
        if dialect.comment and text.startswith(dialect.comment):
            continue
        fields = cut_fields(text, dialect)
        found.append(HeadLine(block.line(index), text, None if fields is None else tuple(fields)))
    return found


def read_head(split: Split, files: SourceFiles, encoding: str) -> bytes:
    """Whole lines from the beginning of the text: some 256 KB, or 16 lines where they are long."""
    head, whole = bytearray(), True
    for block in line_blocks(split, files, encoding=encoding, whole=False)[0]:
        head += block
        if len(head) > _HEAD_BYTES and head.count(b"\n") >= _HEAD_LINES:
            whole = False
            break
    if whole and len(head) <= _HEAD_BYTES:
        return bytes(head)
    end = max(head.rfind(b"\n", 0, _HEAD_BYTES) + 1, _behind_lines(head, _HEAD_LINES))
    return bytes(head[:end] or head)


def _behind_lines(text: bytearray, lines: int) -> int:
    """Where so many lines end, or as many as there are."""
    end = 0
    for _ in range(lines):
        behind = text.find(b"\n", end) + 1
        if not behind:
            break
        end = behind
    return end


def _check_text(head: bytes, stated: CsvFormat, path: str) -> None:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = head.count(b"\n", 0, exc.start) + 1
        if line <= 1:
            raise SourceUnreadable(
                f"{path} is not UTF-8 text: byte {exc.start} of line {line} is "
                f"0x{head[exc.start]:02x}",
                remedy="set dataset.csv.encoding, for example to latin-1",
                path=path,
                position=exc.start,
            ) from exc
    if b"\0" in head[:4096] and stated.delimiter == "auto":
        raise SourceUnreadable(
            f"{path} is not text: it holds zero bytes",
            remedy="set dataset.csv.encoding, or take the file out of the source",
            path=path,
        )


def _check_characters(stated: CsvFormat) -> None:
    for name in ("delimiter", "quote", "escape", "comment"):
        value = getattr(stated, name)
        least = 1 if name == "delimiter" else 0
        if value != "auto" and not (least <= len(value.encode()) <= 1):
            raise ConfigError(
                f"dataset.csv.{name} is one ASCII character, or auto",
                remedy='write for example delimiter: ";" and quote: "\\""',
                setting=f"dataset.csv.{name}",
                value=value,
            )


def _candidates(
    stated: CsvFormat, base: CsvDialect, declared: str, head: bytes
) -> Iterator[CsvDialect]:
    """Dialects that the head gives reason to try; the first of equals wins."""
    if stated.delimiter != "auto":
        delimiters: Sequence[str] = (stated.delimiter,)
    else:
        delimiters = (declared,) if declared else (*_DELIMITERS, " ")
    for delimiter in delimiters:
        spaced = delimiter != " " and delimiter.encode() + b" " in head
        for quote in [stated.quote] if stated.quote != "auto" else _quotes(delimiter, head):
            escapes = [stated.escape] if stated.escape != "auto" else _escapes(quote, head)
            for escape, blanks in product(escapes, (False, True)[: 1 + spaced]):
                yield replace(
                    base, delimiter=delimiter, quote=quote, escape=escape, skip_blanks=blanks
                )


def _quotes(delimiter: str, head: bytes) -> list[str]:
    """A double quote; a single one, too, if whole fields stand in those and in no others."""
    d = re.escape(delimiter.encode())
    double = re.search(rb'(?:^|%b *|\n)"' % d, head)
    single = re.search(rb"(?:^|%b *|\n)'[^\n]*'(?:%b|\r?\n)" % (d, d), head)
    if not single or double:
        return ['"']
    return ["'", '"'] if _wrapped(delimiter, head) else ['"', "'"]


def _wrapped(delimiter: str, head: bytes) -> bool:
    """Whether every cell of some column stands in single quotes, below the header."""
    lines = [line for line in head.split(b"\n")[1:_HEAD_RECORDS] if line.strip()]
    columns = zip(*(line.split(delimiter.encode()) for line in lines), strict=False)
    return len(lines) > 1 and any(
        all(re.fullmatch(rb"'[^']*'", cell.strip()) for cell in column) for column in columns
    )


def _escapes(quote: str, head: bytes) -> list[str]:
    return ["", "\\"] if quote and b"\\" + quote.encode() in head else [""]


def _best(candidates: Iterator[CsvDialect], head: bytes, path: str) -> CsvDialect:
    """In which most records have one number of fields, above one; a blank separates at last."""
    best, best_score = None, 0.0
    for dialect in candidates:
        if dialect.delimiter == " " and best is not None and best_score > 0:
            continue
        lines = head_lines(head, dialect, path)
        width, times = common_width(lines)
        score = times / len(lines) * (1 + min(width, 50) / 1000) if width > 1 else 0.0
        if best is None or score > best_score:
            best, best_score = dialect, score
    assert best is not None, "there is always a delimiter to try"  # noqa: S101
    return best


def _comment(stated: CsvFormat, lines: Sequence[HeadLine]) -> str:
    """The stated character; or a hash, if only lines that are no rows begin with one."""
    if stated.comment != "auto":
        return stated.comment
    return "#" if comments_marked(lines, "#", header=stated.header in ("auto", True)) else ""


def _all_spaced(lines: Sequence[HeadLine]) -> bool:
    """Whether a blank stands behind every delimiter of the rows."""
    cells = [f for line in lines[1:] if line.fields is not None for f in line.fields[1:] if f]
    return bool(cells) and all(cell.startswith(" ") for cell in cells)


def _refuse_alignment(lines: Sequence[HeadLine], path: str) -> None:
    """Refuse columns that blanks fill up: an empty field and a filled-up one look alike."""
    for line in lines:
        if line.fields is not None and "" in line.fields[1:-1]:
            raise SourceUnreadable(
                f"{path}: line {line.line} has several blanks in a row, as columns have that are "
                f"aligned; which column a value stands in cannot be told: {line.text[:200]!r}",
                remedy="write the table with a delimiter, or set dataset.csv.delimiter: ' ' if "
                "every single blank separates two fields",
                path=path,
                line=line.line,
            )


def _refuse_two_meanings(
    stated: CsvFormat, dialect: CsvDialect, lines: Sequence[HeadLine], path: str
) -> None:
    """Refuse a found quote beside doubled ones of the other kind, which may be one or two."""
    if stated.quote != "auto" or dialect.quote in ('"', ""):
        return
    for line in lines:
        if '""' in line.text:
            raise SourceUnreadable(
                f'{path}: \' seems to quote, and line {line.line} has "", which may be one quote '
                f"or two: {line.text[:200]!r}",
                remedy='set dataset.csv.quote: "\'" if they are two; otherwise mend the file',
                path=path,
                line=line.line,
            )
