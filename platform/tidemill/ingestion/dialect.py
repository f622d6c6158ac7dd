"""How delimited text is written: found once, from the head of the first file."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator

from tidemill.config import CsvFormat
from tidemill.errors import ConfigError, SourceUnreadable
from tidemill.ingestion.splits import CsvDialect

__all__ = ["find_dialect", "find_encoding", "parse_record", "second_names", "unique_names"]

_DELIMITERS = (",", ";", "\t", "|")
_HEAD_RECORDS = 200
_MAX_FIELD = 1 << 24
_NUMERIC = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|\d{4}-\d{2}-\d{2}.*|nan|inf", re.I)


def find_encoding(stated: str, head: bytes, path: str) -> str:
    """The text's encoding: as stated, unless a byte order mark says UTF-16."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        return codecs.lookup(stated).name
    except LookupError as exc:
        raise ConfigError(
            f"dataset.csv.encoding {stated!r} is not an encoding",
            remedy="set dataset.csv.encoding to utf-8, latin-1 or utf-16",
            path=path,
        ) from exc


def find_dialect(stated: CsvFormat, encoding: str, head: bytes, path: str) -> CsvDialect:
    """Resolve delimiter and header from up to 200 records.

    Parameters
    ----------
    head : bytes
        UTF-8, cut at a line end.

    Raises
    ------
    SourceUnreadable
        If the head is not valid text.
    ConfigError
        If the delimiter or quote is longer than one character.
    """
    try:
        text = head.decode("utf-8")
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
        text = head.decode("utf-8", errors="replace")
    if "\0" in text[:4096] and stated.delimiter == "auto":
        raise SourceUnreadable(
            f"{path} is not text: it holds zero bytes",
            remedy="set dataset.format or dataset.csv.encoding, or take the file out of the source",
            path=path,
        )
    delimiter = stated.delimiter
    if delimiter == "auto":
        delimiter = _find_delimiter(text, stated.quote)
    if len(delimiter.encode()) != 1 or len(stated.quote.encode()) > 1:
        raise ConfigError(
            "dataset.csv.delimiter and dataset.csv.quote are one ASCII character each",
            remedy='write for example delimiter: ";" and quote: "\\""',
            delimiter=delimiter,
            quote=stated.quote,
        )
    header = stated.header
    if header == "auto":
        header = _looks_like_header(_records(text, delimiter, stated.quote)[:_HEAD_RECORDS])
    return CsvDialect(delimiter, stated.quote, encoding, header is True)


def _find_delimiter(text: str, quote: str) -> str:
    """The candidate whose number of fields is most steady, and above one."""
    best, best_score = ",", 0.0
    for delimiter in _DELIMITERS:
        widths = Counter(len(r) for r in _records(text, delimiter, quote)[:_HEAD_RECORDS])
        if not widths:
            continue
        width, times = widths.most_common(1)[0]
        score = times / sum(widths.values()) * (1 + min(width, 50) / 1000) if width > 1 else 0.0
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _records(text: str, delimiter: str, quote: str) -> list[list[str]]:
    lines = text.splitlines(keepends=True)
    records: list[list[str]] = []
    try:
        for record in _reader(lines, delimiter, quote, strict=False):
            if record:
                records.append(record)
            if len(records) >= _HEAD_RECORDS:
                break
    except csv.Error:
        pass  # a NUL or a huge field: what was read so far decides
    return records


def _reader(
    lines: list[str], delimiter: str, quote: str, *, strict: bool, skip_spaces: bool = False
) -> Iterator[list[str]]:
    csv.field_size_limit(_MAX_FIELD)  # the default would refuse what PyArrow reads
    if not quote:
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=strict)
    return csv.reader(
        lines, delimiter=delimiter, quotechar=quote, strict=strict, skipinitialspace=skip_spaces
    )


def parse_record(
    record: str, delimiter: str, quote: str, *, width: int | None = None
) -> list[str] | None:
    """The fields of one record, or None if it breaks the rules of quoting.

    If there are not ``width`` fields, spaces before an opening quote are given up to have them.

    >>> parse_record('a, "b, c"', ",", '"', width=2)
    ['a', 'b, c']
    """
    found: list[str] | None = None
    for skip_spaces in (False, True):
        lines = re.split(r"(?<=\n)", record)
        try:
            parsed = list(_reader(lines, delimiter, quote, strict=True, skip_spaces=skip_spaces))
        except csv.Error:
            continue
        records = [fields for fields in parsed if fields] or [[]]
        if len(records) == 1:
            found = records[0] if found is None or len(records[0]) == width else found
            if width is None or len(found) == width:
                return found
    return found


def _looks_like_header(records: list[list[str]]) -> bool:
    """Whether the first record names columns: no number in it, and it differs from the rest."""
    if not records:
        return False
    first, rest = records[0], records[1:]
    if any(_NUMERIC.fullmatch(field.strip()) for field in first):
        return False
    if len({field.strip().lower() for field in first}) < len(first) or not all(first):
        # Repeated or empty names are rare in headers, and repeated words common in data.
        return not any(record == first for record in rest) and any(
            _NUMERIC.fullmatch(f.strip()) for record in rest for f in record
        )
    return not any(record == first for record in rest) or not rest


def unique_names(header: list[str]) -> list[str]:
    """Column names: stripped, never empty, never twice.

    >>> unique_names(["a", " a", "", "b"])
    ['a', 'a_2', 'column_3', 'b']
    """
    fields = (field.strip() for field in header)
    return second_names([f or f"column_{position}" for position, f in enumerate(fields, start=1)])


def second_names(names: list[str]) -> list[str]:
    """The same names, but for those that came before: they get a second name.

    A name that is there once keeps it.

    >>> second_names(["v", "v", "v_2", "v"])
    ['v', 'v_3', 'v_2', 'v_4']
    """
    given, taken = set(names), set[str]()
    found: list[str] = []
    for base in names:
        name, copy = base, 2
        while name in taken or (name != base and name in given):
            name, copy = f"{base}_{copy}", copy + 1
        taken.add(name)
        found.append(name)
    return found
