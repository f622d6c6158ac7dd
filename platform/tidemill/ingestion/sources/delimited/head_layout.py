"""What the first lines of delimited text are: titles, a header, rows; from how they agree."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tidemill.errors import SourceUnreadable

__all__ = [
    "HeadLine",
    "Layout",
    "comments_marked",
    "common_width",
    "find_layout",
]

_NUMERIC = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|\d{4}-\d{2}-\d{2}.*|nan|inf", re.I)
_NO_NAMES = {"", "na", "nan", "null", "none", "n/a", "?", "-", "unknown"}
_YEARS = range(1800, 2201)
_AGREE = 0.9
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class HeadLine:
    """One record of the head: its line in the file, its text, its fields if it has any."""

    line: int
    text: str
    fields: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file begins: lines to skip, whether a header follows, whether rows trail."""

    skip_lines: int
    header: bool
    trailing: bool = False


def common_width(lines: Sequence[HeadLine]) -> tuple[int, int]:
    """The most common number of fields, and how many records have it; (0, 0) of none."""
    widths = Counter(len(line.fields) for line in lines if line.fields is not None)
    return widths.most_common(1)[0] if widths else (0, 0)


def find_layout(
    lines: Sequence[HeadLine],
    *,
    header: object,
    skip: int,
    titles: bool,
    trailing: bool,
    path: str,
) -> Layout:
    """Where the header is, or that there is none.

    Parameters
    ----------
    lines : sequence of HeadLine
        The first records.
    header : "auto", bool or names
        As stated.
    skip : int
        Lines above the first record that are skipped already.
    titles : bool
        Whether to look for titles above the header.
    trailing : bool
        Whether rows may end in a delimiter that the header does not have.

    Raises
    ------
    SourceUnreadable
        If no row agrees with the header, and no line below is one.
    """
    rows = [line for line in lines if line.fields is not None]
    if not rows or rows[0] is not lines[0]:
        return Layout(skip, header in ("auto", True))  # told where the header is read
    common, _ = common_width(rows[1:] or rows)
    at = 0
    if titles and header in ("auto", True):
        at = _titles(rows, common, path, stated=header is True)
    first, below = rows[at], rows[at + 1 :]
    skip = first.line - 1 if at else skip
    if header == "auto":
        header = _looks_like_header(_fields(first), [_fields(row) for row in below])
    if header is True:
        trails = _trails(below, len(_fields(first)))
        if below and not any(len(_fields(row)) == len(_fields(first)) for row in below):
            if not (trails and trailing):
                raise _disagree(first, below, path, trails=trails)
            return Layout(skip, header=True, trailing=True)
        return Layout(skip, header=True)
    named = len(header) if isinstance(header, tuple) else 0
    return Layout(skip, header=False, trailing=trailing and _trails(rows, named))


def comments_marked(lines: Sequence[HeadLine], mark: str, *, header: bool) -> bool:
    """Whether lines that begin with ``mark`` are comments: some have another width than rows.

    ``header`` says that a header is expected: then one without the mark must follow them, for it
    may be marked itself.
    """
    marked = [line for line in lines if line.text.startswith(mark)]
    plain = [line for line in lines if not line.text.startswith(mark)]
    common, _ = common_width(plain)
    if common < 2 or not marked:
        return False
    above = [line for line in marked if line.line < plain[0].line]
    fitting = [line for line in marked if len(_fields(line)) == common]
    if any(line not in above for line in fitting) or len(fitting) == len(marked):
        return False
    return not (above and header) or _names(_fields(plain[0]), (), proven=False)


def _titles(rows: Sequence[HeadLine], common: int, path: str, *, stated: bool) -> int:
    """How many records stand above the header."""
    titles = 0
    while titles < len(rows) - 2 and _is_title(_fields(rows[titles]), common):
        titles += 1
    if not titles:
        return 1 if _groups(rows) else 0
    odd = all(len(_fields(row)) != common for row in rows[:titles])
    named, below = _fields(rows[titles]), [_fields(row) for row in rows[titles + 1 :]]
    if _names(named, below, proven=not odd):
        return titles
    if stated or (not odd and len(_fields(rows[0])) < 3):
        return 0
    line = rows[titles].line
    raise SourceUnreadable(
        f"{path}: {_said(titles)} no header, and line {line} is a row: "
        f"{_shown(rows[: titles + 1])}",
        remedy=f"set dataset.csv.skip_lines: {line - 1} and dataset.csv.header: false (or the "
        "list of names)",
        path=path,
        line=line,
    )


def _said(titles: int) -> str:
    return "line 1 is" if titles == 1 else "the first lines are"


def _is_title(fields: Sequence[str], common: int) -> bool:
    """Whether a record says at most one thing where the rows say several."""
    held = [field for field in fields if field.strip()]
    if common < 2 or len(held) > 1:
        return False
    # Names with another delimiter are a header that does not agree, not a title.
    return not any(held and held[0].count(d) == common - 1 for d in ",;\t|")


def _groups(rows: Sequence[HeadLine]) -> bool:
    """Whether the first record names groups of columns, and the second the columns."""
    if len(rows) < 3 or len(_fields(rows[0])) != len(_fields(rows[1])):
        return False
    held = [field.strip() for field in _fields(rows[0]) if field.strip()]
    missing = len(_fields(rows[0])) - len(set(held))
    if missing < 2 or any(_NUMERIC.fullmatch(field) for field in held):
        return False
    below = [_fields(row) for row in rows[2:]]
    return _names(_fields(rows[1]), below, proven=True)


def _names(fields: Sequence[str], below: Sequence[Sequence[str]], *, proven: bool) -> bool:
    """Whether fields are names; if ``proven``, one of them stands over numbers."""
    words = [field.strip() for field in fields]
    if len(set(words)) < len(words) or not _NO_NAMES.isdisjoint(w.lower() for w in words):
        return False
    numbers = [word for word in words if _NUMERIC.fullmatch(word)]
    if numbers and not _counts_columns(words, numbers, below):
        return False
    return not proven or _over_numbers(words, below)


def _over_numbers(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a word of ``first`` stands over a column of numbers."""
    agreeing = [row for row in below if len(row) == len(first)]
    for place, word in enumerate(first):
        cells = [row[place].strip() for row in agreeing if row[place].strip()]
        if word.lower() in _NO_NAMES or _NUMERIC.fullmatch(word) or not cells:
            continue
        if sum(bool(_NUMERIC.fullmatch(c)) for c in cells) >= _AGREE * len(cells):
            return True
    return False


def _looks_like_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether the first record names columns.

    No number is in it, but for years and counted columns, and it differs from the rest.
    """
    words = [field.strip() for field in first]
    numbers = [word for word in words if _NUMERIC.fullmatch(word)]
    if numbers:
        return _counts_columns(words, numbers, rest)
    others = [record for record in rest if tuple(record) != tuple(first)]
    if len(others) < len(rest):
        return _over_numbers(words, others)  # joined files; or a row that comes twice
    if len({word.lower() for word in words}) < len(words) or not all(first):
        # Repeated or empty names are rare in headers, and repeated words common in data.
        return any(_NUMERIC.fullmatch(field.strip()) for record in rest for field in record)
    return True


def _counts_columns(
    words: Sequence[str], numbers: Sequence[str], rest: Sequence[Sequence[str]]
) -> bool:
    """Whether numbers among the names are years, or count the columns."""
    if len(set(words)) < len(words) or not rest or not all(n.isdecimal() for n in numbers):
        return False
    values = [int(number) for number in numbers]
    counted = _is_run(values)
    if _over_numbers(words, rest):
        return counted or all(value in _YEARS for value in values)
    whole = len(values) == len(words) > 2 and counted and values[0] == 0
    return whole and not any(
        all(f.isdecimal() for f in row) and _is_run([int(f) for f in row]) for row in rest
    )


def _is_run(values: Sequence[int]) -> bool:
    return len(values) > 1 and all(b - a == 1 for a, b in pairwise(values))


def _trails(rows: Sequence[HeadLine], width: int) -> bool:
    """Whether rows have one field more than names, and it is empty."""
    longer = [row for row in rows if len(_fields(row)) == width + 1]
    fitting = any(len(_fields(row)) == width for row in rows)
    return bool(longer) and not fitting and all(_fields(row)[-1] == "" for row in longer)


def _header_below(below: Sequence[HeadLine], common: int) -> int:
    """The line before one that names columns over numbers, or 0: what could be skipped."""
    for at, line in enumerate(below[:20]):
        following = [_fields(row) for row in below[at + 1 :]]
        if len(_fields(line)) == common and _names(_fields(line), following, proven=True):
            return line.line - 1
    return 0


def _disagree(
    first: HeadLine, below: Sequence[HeadLine], path: str, *, trails: bool
) -> SourceUnreadable:
    names = len(_fields(first))
    common, rows = common_width(below)
    which = " (the last is empty)" if trails else ""
    complete = (
        "set dataset.csv.trailing_delimiter: true if the header lacks no name; otherwise "
        if trails
        else ""
    )
    above = _header_below(below, common)
    if above:
        complete = (
            f"set dataset.csv.skip_lines: {above} if line {above + 1} is the header; otherwise "
        )
    return SourceUnreadable(
        f"{path}: line {first.line} has {names} fields, and no row below has as many: {rows} of "
        f"the first {len(below)} have {common}{which}. {_shown([first, *below[:2]])}",
        remedy=f"{complete}mend line {first.line}, or set dataset.csv.skip_lines: {first.line} "
        f"and dataset.csv.header to the list of the {common} names",
        path=path,
        line=first.line,
        names=names,
        fields=common,
    )


def _shown(lines: Sequence[HeadLine]) -> str:
    return "; ".join(f"line {line.line}: {line.text[:_SHOWN]!r}" for line in lines[:3])


def _fields(line: HeadLine) -> tuple[str, ...]:
    return line.fields or ()
