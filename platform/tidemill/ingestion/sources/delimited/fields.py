"""One record of delimited text: its fields, or why it has none. The one meaning of a line."""

from __future__ import annotations

import csv
import re
from functools import cache

from tidemill.ingestion.sources.delimited.csv_dialect import CsvDialect

__all__ = ["BROKEN", "INSIDE", "cut_fields", "flaw", "record_pattern"]

_MAX_FIELD = 1 << 24
BROKEN = "broken quoting"
INSIDE = "a quote inside an unquoted field (a separator may be missing before it)"
_CARRIAGE = "a carriage return inside an unquoted field"
_BACKSLASH = "broken quoting (a backslash before a quote: see dataset.csv.escape)"
_UNKNOWN = "an escape character before one that needs none"


@cache
def record_pattern(dialect: CsvDialect) -> str:
    """The regular expression of a record that keeps the rules of quoting (RFC 4180).

    A quote stands around a whole field or, doubled or escaped, in a quoted one; nowhere else.
    """
    d, q, e = (re.escape(c) for c in (dialect.delimiter, dialect.quote, dialect.escape))
    escaped = f"|{e}(?s:.)" if e else ""
    plain = f"(?:[^{q}{d}{e}\\r\\n]++{escaped})*+"
    quoted = f"{q}(?:[^{q}{e}]++|{q}{q}{escaped})*+{q}|" if q else ""
    blanks = " *+" if dialect.skip_blanks else ""
    field = f"{blanks}(?:{quoted}{plain})"
    return f"{field}(?:{d}{field})*+"


def cut_fields(record: str, dialect: CsvDialect) -> list[str] | None:
    """The fields of one record, or None if it breaks the rules; at least one.

    >>> comma = CsvDialect(",", '"', "utf-8", header=True, skip_blanks=True)
    >>> cut_fields('a, "b, ""c"" d"', comma)
    ['a', 'b, "c" d']
    >>> cut_fields('a,b"c"', comma) is None
    True
    """
    quoted = dialect.quote and dialect.quote in record
    escaped = dialect.escape and dialect.escape in record
    if not (quoted or escaped):
        if "\r" in record or "\n" in record:
            return None
        fields = record.split(dialect.delimiter)
        return [field.lstrip(" ") for field in fields] if dialect.skip_blanks else fields
    if _compiled(dialect).fullmatch(record) is None or (escaped and _unknown(record, dialect)):
        return None
    try:
        return _read(record, dialect)
    except csv.Error:  # a field beyond 16 MB
        return None


def flaw(record: str, dialect: CsvDialect) -> str:
    """Why :func:`cut_fields` finds no fields in a record."""
    if dialect.escape and _unknown(record, dialect):
        return _UNKNOWN
    try:
        _read(record, dialect)
    except csv.Error as error:
        if "new-line" in str(error):
            return _CARRIAGE
        if not dialect.escape and f"\\{dialect.quote}" in record:
            return _BACKSLASH
        return BROKEN
    return INSIDE


@cache
def _compiled(dialect: CsvDialect) -> re.Pattern[str]:
    return re.compile(record_pattern(dialect))


def _read(record: str, dialect: CsvDialect) -> list[str]:
    csv.field_size_limit(_MAX_FIELD)  # the default would refuse what PyArrow reads
    reader = csv.reader(
        re.split(r"(?<=\n)", record),
        delimiter=dialect.delimiter,
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        escapechar=dialect.escape or None,
        skipinitialspace=dialect.skip_blanks,
        strict=True,
    )
    return next(reader, []) or [""]


def _unknown(record: str, dialect: CsvDialect) -> bool:
    """Whether an escape stands before a character that some read as a sign and some as itself."""
    known = {dialect.escape, dialect.quote, dialect.delimiter, "\n"}
    pairs = re.findall(re.escape(dialect.escape) + "(?s:(.))", record)
    return not known.issuperset(pairs)
