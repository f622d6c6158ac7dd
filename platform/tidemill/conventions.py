"""How a column writes numbers and times that are not plain: named by an example or a format.

A number's convention is 1234.5 as the column would write it: ``1.234,5``, ``1234,5``, ``$1,234.5``,
``1234.5%``, ``1 234,5 €``. The unit is left aside (5% is 5); the mark of thousands stands between
groups of three digits or not at all. A time's is a format of ``strptime``: ``%d/%m/%Y``,
``%m/%d/%Y %I:%M %p``; years of two digits are 1969 to 2068, names of months and days are English,
and a weekday must be the date's. A zone is an offset (``%z``) or UTC and GMT by name (``%Z``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import chain, product

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.spelling import moments

__all__ = [
    "Convention",
    "NumberConvention",
    "TimeConvention",
    "find_number_conventions",
    "find_time_conventions",
    "find_unread_zone",
    "may_be_grouped",
    "parse_convention",
]

_DAYS = (
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d/%m/%y", "%m/%d/%y", "%y/%m/%d", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y"),
    *("%d-%b-%y", "%d %b %y", "%d/%b/%Y", "%d%b%Y", "%d %B %Y", "%d-%B-%Y", "%d. %B %Y"),
    *("%B %d, %Y", "%B %d %Y", "%b %d %Y", "%a, %d %b %Y", "%a %d %b %Y", "%A, %d %B %Y"),
    *("%a, %b %d, %Y", "%A, %B %d, %Y"),
)
_CLOCKS = (
    *(" %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p"),
    *("T%H:%M:%S", ", %H:%M", ", %H:%M:%S", ", %I:%M:%S %p", ":%H:%M:%S"),
)
_ZONES = ("", "%z", " %z", "%Z", " %Z")
# As the C library's ctime and date write times.
_WHOLE = ("%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %Z %Y")

_THOUSANDS = (",", ".", " ", "\u00a0", "\u202f", "'", "\u2019")
_CURRENCIES = "[$€£¥₹₽₩₺]|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|BRL"
_EXAMPLE = re.compile(r"(?P<prefix>\D*)1(?P<thousands>\D?)234(?P<decimal>[.,])5(?P<suffix>\D*)")
_GROUPED = re.compile(r"^-?(0|[1-9]\d{0,2}(\.\d{3})?)$")
_SPLIT = (
    rf"^-?(?P<prefix>(?:(?:{_CURRENCIES})[ \x{{a0}}]?)?)-?"
    rf"(?P<body>\d(?:[\d.,' \x{{a0}}\x{{202f}}\x{{2019}}]*\d)?)"
    rf"(?P<suffix>(?:[ \x{{a0}}]?(?:%|{_CURRENCIES}))?)$"
)

_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NO_ZONES = ("AM", "PM", "UTC", "GMT")
_DIRECTIVES = {
    "d": r"(?P<d>\d{1,2})",
    "m": r"(?P<m>\d{1,2})",
    "b": r"(?P<b>[A-Za-z]{3})",
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "H": r"(?P<H>\d{1,2})",
    "I": r"(?P<I>\d{1,2})",
    "M": r"(?P<M>\d{2})",
    "S": r"(?P<S>\d{2})",
    "f": r"(?P<f>\d{1,6})",
    "p": r"(?P<p>[AaPp][Mm])",
    "B": r"(?P<B>[A-Za-z]{3,9})",
    "a": r"(?P<a>[A-Za-z]{3})",
    "A": r"(?P<A>[A-Za-z]{6,9})",
    "z": r"(?P<z>[Zz]|[+-]\d{2}:?\d{2})",
    "Z": r"(?P<Z>UTC|GMT)",
}


@dataclass(frozen=True, slots=True)
class NumberConvention:
    """Numbers with a decimal mark, perhaps one between thousands, and a unit.

    Parameters
    ----------
    prefix, suffix : str
        The unit before or behind, with its blank; a minus stands before either.
    thousands, decimal : str
        ``thousands`` is empty where nothing stands between groups.
    """

    prefix: str
    thousands: str
    decimal: str
    suffix: str

    plain = "number"

    def __str__(self) -> str:
        return f"{self.prefix}1{self.thousands}234{self.decimal}5{self.suffix}"

    def read(self, texts: pa.Array) -> pa.Array:
        """Plain texts of the numbers (1234.5); null where one is not written so.

        >>> german = NumberConvention("", ".", ",", "")
        >>> german.read(pa.array(["1.234,5", "12,5", "1.5"])).to_pylist()
        ['1234.5', '12.5', None]
        """
        groups = rf"|[1-9]\d{{0,2}}(?:{_re2(self.thousands)}\d{{3}})+" if self.thousands else ""
        found = pc.extract_regex(
            texts,
            rf"^(?P<minus>-?){_re2(self.prefix)}(?P<inner>-?)(?P<whole>0|[1-9]\d*{groups})"
            rf"(?P<mark>{_re2(self.decimal)}?)(?P<fraction>\d*){_re2(self.suffix)}$",
        )
        minus, inner, whole, mark, fraction = (
            pc.struct_field(found, [name])
            for name in ("minus", "inner", "whole", "mark", "fraction")
        )
        if self.thousands:
            whole = pc.replace_substring(whole, self.thousands, "")
        point = pc.if_else(pc.equal(mark, ""), "", ".")
        sound = pc.and_(
            pc.equal(pc.equal(mark, ""), pc.equal(fraction, "")),
            pc.invert(pc.and_(pc.equal(minus, "-"), pc.equal(inner, "-"))),
        )
        sign = pc.binary_join_element_wise(minus, inner, "")
        joined = pc.binary_join_element_wise(sign, whole, point, fraction, "")
        return pc.if_else(sound, joined, pa.scalar(None, pa.string()))

    def write(self, number: str) -> str:
        """The text of a plain number in this convention.

        >>> [NumberConvention("$", ".", ",", "").write(number) for number in ("-1.234", "1e-07")]
        ['-$1,234', '$0,0000001']
        """
        digits = f"{Decimal(number):f}"
        minus, plain = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
        return f"{minus}{self.prefix}{plain.replace('.', self.decimal)}{self.suffix}"


@dataclass(frozen=True, slots=True)
class TimeConvention:
    """Days, or days and clocks, by a format of ``strptime``; without an offset they are UTC."""

    form: str

    plain = "datetime"

    def __str__(self) -> str:
        return self.form

    def read(self, texts: pa.Array) -> pa.Array:
        """ISO 8601 texts of the times; null where one is not written so.

        >>> TimeConvention("%d/%m/%Y").read(pa.array(["31/12/2024", "2024-12-31"])).to_pylist()
        ['2024-12-31T00:00:00', None]
        >>> clock = TimeConvention("%d/%m/%y %I:%M %p")
        >>> clock.read(pa.array(["31/12/69 12:05 AM", "1/2/68 12:05 pm"])).to_pylist()
        ['1969-12-31T00:05:00', '2068-02-01T12:05:00']
        >>> mail = TimeConvention("%a, %d %b %Y %H:%M:%S %z")
        >>> mail.read(pa.array([f"{d}, 02 Jan 2006 15:04:05 -0700" for d in ("Mon", "Tue")]))[0]
        <pyarrow.StringScalar: '2006-01-02T15:04:05-0700'>
        """
        found = pc.extract_regex(texts, _time_regex(self.form))
        part = {f.name: pc.struct_field(found, [f.name]) for f in found.type}
        year, month = part.get("Y"), part.get("m")
        if year is None:
            old = pc.greater_equal(part["y"], "69")
            year = pc.binary_join_element_wise(pc.if_else(old, "19", "20"), part["y"], "")
        if month is None:
            month = pc.add(_place(part, "b", "B", _MONTHS), 1).cast(pa.string())
        zero = pc.if_else(pc.is_valid(year), "00", pa.scalar(None, pa.string()))
        day = pc.binary_join_element_wise(year, _two(month), _two(part["d"]), "-")
        if {"a", "A"} & part.keys():
            same = pc.equal(_place(part, "a", "A", _WEEKDAYS), pc.day_of_week(moments(day)))
            day = pc.if_else(same, day, pa.scalar(None, pa.string()))
        clock = pc.binary_join_element_wise(
            _hour(part, zero), part.get("M", zero), part.get("S", zero), ":"
        )
        moment = pc.binary_join_element_wise(day, clock, "T")
        if "f" in part:
            moment = pc.binary_join_element_wise(moment, part["f"], ".")
        return pc.binary_join_element_wise(moment, part["z"], "") if "z" in part else moment


Convention = NumberConvention | TimeConvention


def parse_convention(text: str) -> Convention | None:
    """The convention that a text of params.yaml names; None if it names none.

    >>> [str(parse_convention(text)) for text in ("1.234,5", "%d.%m.%Y", "1234.5%", "comma")]
    ['1.234,5', '%d.%m.%Y', '1234.5%', 'None']
    """
    example = _EXAMPLE.fullmatch(text.strip())
    if example:
        if example["thousands"] == example["decimal"] or (example["thousands"] or ",") not in (
            _THOUSANDS
        ):
            return None
        return NumberConvention(**example.groupdict())
    try:
        regex = _time_regex(text)
    except (KeyError, re.error):
        return None
    groups = re.compile(regex).groupindex
    whole = ("d" in groups) and ({"m", "b", "B"} & set(groups)) and ({"Y", "y"} & set(groups))
    twelve = ("I" in groups) == ("p" in groups)
    return TimeConvention(text) if whole and twelve else None


def find_number_conventions(words: pa.Array) -> tuple[NumberConvention, ...]:
    """The conventions that every text keeps and that differ in what the texts are worth.

    Parameters
    ----------
    words : pyarrow.Array of string
        The different texts of a column, without blanks around them.

    >>> [str(c) for c in find_number_conventions(pa.array(["$0.50", "-$1,200.00"]))]
    ['$1,234.5']
    >>> [str(c) for c in find_number_conventions(pa.array(["1,234", "5"]))]
    ['1,234.5', '1234,5']
    """
    if not len(words) or not any(map(str.isdigit, words[0].as_py())):
        return ()
    unit = _unit(words)
    if unit is None or _digits_in_groups(words):
        return ()
    prefix, suffix = unit
    seen = "".join(mark for mark in _THOUSANDS if pc.any(pc.match_substring(words, mark)).as_py())
    found: dict[tuple[str | None, ...], NumberConvention] = {}
    for decimal, thousands in product(".,", ("", *seen)):
        if decimal == thousands:
            continue
        convention = NumberConvention(prefix, thousands, decimal, suffix)
        read = convention.read(words)
        if not read.null_count and not _unused(thousands, words, convention):
            found.setdefault(tuple(read.to_pylist()), convention)
    return tuple(sorted(found.values(), key=lambda c: (c.decimal == ",", c.thousands)))


def may_be_grouped(words: pa.Array) -> bool:
    """Whether plain numbers are as well whole ones with a point between thousands: 1.234.

    >>> [may_be_grouped(pa.array(w)) for w in (["1.234", "12"], ["1.234", "0.512"], ["12"])]
    [True, False, False]
    """
    # Thousands as NumberConvention reads them, of which 1.234.567 would be no plain number.
    if not len(words) or not _GROUPED.match(words[0].as_py()):
        return False
    every = pc.all(pc.match_substring_regex(words, _GROUPED.pattern))
    return bool(every.as_py() and pc.any(pc.match_substring(words, ".")).as_py())


def find_time_conventions(words: pa.Array) -> tuple[TimeConvention, ...]:
    """The formats that every text keeps; of May, which is short and long, the short one.

    >>> [str(c) for c in find_time_conventions(pa.array(["01/02/2024", "03/04/2024"]))]
    ['%d/%m/%Y', '%m/%d/%Y']
    >>> [str(c) for c in find_time_conventions(pa.array(["31.12.2024 23:59"]))]
    ['%d.%m.%Y %H:%M']
    """
    if not len(words):
        return ()
    found: dict[str, TimeConvention] = {}
    for form in _forms_of(words[0].as_py()):  # it tells most formats apart at once
        read = moments(TimeConvention(form).read(words))
        if not read.null_count:
            found.setdefault(form.replace("%B", "%b"), TimeConvention(form))
    fitting = tuple(found.values())
    if len(fitting) > 1 and not _begin_with_years(words):
        return tuple(each for each in fitting if not each.form.startswith("%y"))
    return fitting


def _begin_with_years(words: pa.Array) -> bool:
    """Whether what comes first differs less than what comes last, as years do beside days."""
    parts = pc.extract_regex(words, r"^(?P<first>\d+)/\d+/(?P<last>\d+)")
    first, last = (pc.count_distinct(pc.struct_field(parts, [n])) for n in ("first", "last"))
    return bool(first.as_py() < last.as_py())


def find_unread_zone(words: pa.Array) -> str | None:
    """The word behind the first of texts that would be times without such, but UTC and GMT.

    Of EST or IST nobody can say which offset is meant.

    >>> find_unread_zone(pa.array(["2024-01-02 10:00 EST", "2024-07-02 10:00 UTC"]))
    'EST'
    """
    parts = pc.extract_regex(words, r"^(?P<time>.*\d) ?(?P<zone>[A-Z]{2,5})$")
    if not len(words) or parts.null_count:
        return None
    times, zones = (pc.struct_field(parts, [name]) for name in ("time", "zone"))
    unread = zones.filter(pc.invert(pc.is_in(zones, value_set=pa.array(_NO_ZONES))))
    if not len(unread) or (moments(times).null_count and not find_time_conventions(times)):
        return None
    found: str = unread[0].as_py()
    return found


def _forms_of(text: str) -> Iterator[str]:
    """The formats that a text keeps, by its looks."""
    days = (day for day in _DAYS if _pattern(day, whole=False).match(text))
    clocks = [clock + zone for clock, zone in product(_CLOCKS, _ZONES)]
    forms = chain(_WHOLE, (day + clock for day, clock in product(days, ["", *clocks])))
    return (form for form in forms if _pattern(form).match(text))


def _place(part: dict[str, pa.Array], short: str, long: str, names: tuple[str, ...]) -> pa.Array:
    """Where each name stands among the English ones, of which the short have three letters."""
    known = [name[:3] for name in names] if short in part else names
    written = part[short] if short in part else part[long]
    return pc.index_in(pc.utf8_lower(written), value_set=pa.array(known))


def _unused(thousands: str, words: pa.Array, convention: NumberConvention) -> bool:
    """Whether nothing shows that this mark stands between thousands."""
    if not thousands:
        return False
    return (
        not NumberConvention(convention.prefix, "", convention.decimal, convention.suffix)
        .read(words)
        .null_count
    )


def _unit(words: pa.Array) -> tuple[str, str] | None:
    """What stands before and behind all numbers; None where that differs, or is none known."""
    parts = pc.extract_regex(words, _SPLIT)
    ends = [pc.unique(pc.struct_field(parts, [name])) for name in ("prefix", "suffix")]
    if any(len(end) != 1 or end.null_count for end in ends):
        return None
    return ends[0][0].as_py(), ends[1][0].as_py()


def _digits_in_groups(words: pa.Array) -> bool:
    """Whether all are alike, groups of digits (555 123 456): names of something, not amounts."""
    grouped = pc.all(pc.match_substring_regex(words, r"^\d+(?:[^\d,]\d+){2,}$")).as_py()
    return bool(grouped and len(words) > 1 and len(pc.unique(pc.utf8_length(words))) == 1)


def _re2(text: str) -> str:
    return "".join(rf"\x{{{ord(character):x}}}" for character in text)


@cache
def _time_regex(form: str) -> str:
    pieces = re.split(r"%(.)", form)
    # Like strptime: single figures may be filled up with a blank.
    literals = (re.escape(piece).replace(r"\ ", " +") for piece in pieces[::2])
    directives = [_DIRECTIVES[letter] for letter in pieces[1::2]]
    return "^" + "".join(a + b for a, b in zip(literals, [*directives, ""], strict=True)) + "$"


@cache
def _pattern(form: str, *, whole: bool = True) -> re.Pattern[str]:
    regex = _time_regex(form)
    return re.compile(regex if whole else regex.removesuffix("$"))


def _two(numbers: pa.Array) -> pa.Array:
    return pc.utf8_lpad(numbers, 2, "0")


def _hour(part: dict[str, pa.Array], zero: pa.Array) -> pa.Array:
    if "I" not in part:
        return _two(part.get("H", zero))
    hour = part["I"].cast(pa.int64())
    inside = pc.and_(pc.greater_equal(hour, 1), pc.less_equal(hour, 12))
    afternoon = pc.equal(pc.utf8_lower(part["p"]), "pm")
    hour = pc.add(pc.if_else(pc.equal(hour, 12), 0, hour), pc.if_else(afternoon, 12, 0))
    hour = pc.if_else(inside, hour, pa.scalar(None, pa.int64()))
    return _two(hour.cast(pa.string()))
