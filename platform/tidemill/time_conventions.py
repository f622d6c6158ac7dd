"""How a column writes times that are not ISO 8601: a format of ``strptime``.

``%d/%m/%Y``, ``%m/%d/%Y %I:%M %p``; years of two digits are 1969 to 2068, names of months and days
are English, and a weekday must be the date's. A zone is an offset (``%z``) or UTC and GMT by name
(``%Z``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain, product

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.spelling import moments

__all__ = ["TimeConvention", "find_time_conventions", "find_unread_zone", "time_regex"]

_DAYS = (
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d/%m/%y", "%m/%d/%y", "%y/%m/%d", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y"),
    *("%d-%b-%y", "%d %b %y", "%d/%b/%Y", "%d%b%Y", "%d %B %Y", "%d-%B-%Y", "%d. %B %Y"),
    *("%B %d, %Y", "%B %d %Y", "%b %d %Y", "%a, %d %b %Y", "%a %d %b %Y", "%A, %d %B %Y"),
    *("%a, %b %d, %Y", "%A, %B %d, %Y", "%Y-%m-%d", "%Y-%b-%d", "%d %b, %Y"),
)
_CLOCKS = (
    *(" %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p"),
    *("T%H:%M:%S", ", %H:%M", ", %H:%M:%S", ", %I:%M:%S %p", ":%H:%M:%S"),
)
_ZONES = ("", "%z", " %z", "%Z", " %Z")
# As the C library's ctime and date write times.
_WHOLE = ("%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %Z %Y")

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
class TimeConvention:
    """Days, or days and clocks, by a format of ``strptime``; without an offset they are UTC."""

    form: str

    plain = "datetime"

    def __str__(self) -> str:
        return self.form

    def read(self, texts: pa.Array) -> pa.Array:
        """ISO 8601 texts of the times; null where one is not written so.

        A day without the clock is its midnight, as among times of ISO 8601.

        >>> TimeConvention("%d/%m/%Y").read(pa.array(["31/12/2024", "2024-12-31"])).to_pylist()
        ['2024-12-31T00:00:00', None]
        >>> clock = TimeConvention("%d/%m/%y %I:%M %p")
        >>> clock.read(pa.array(["31/12/69 12:05 AM", "1/2/68 12:05 pm"])).to_pylist()
        ['1969-12-31T00:05:00', '2068-02-01T12:05:00']
        >>> mail = TimeConvention("%a, %d %b %Y %H:%M:%S %z")
        >>> mail.read(pa.array([f"{d}, 02 Jan 2006 15:04:05 -0700" for d in ("Mon", "Tue")]))[0]
        <pyarrow.StringScalar: '2006-01-02T15:04:05-0700'>
        """
        read = self._read(texts)
        day = _day_of(self.form)
        if day is None or read.null_count == texts.null_count:
            return read
        return pc.coalesce(read, TimeConvention(day)._read(texts))

    def _read(self, texts: pa.Array) -> pa.Array:
        found = pc.extract_regex(texts, time_regex(self.form))
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
    longest = pc.index(pc.utf8_length(words), pc.max(pc.utf8_length(words))).as_py()
    for form in _forms_of(words[longest].as_py()):  # it tells most formats apart at once
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


@cache
def time_regex(form: str) -> str:
    """The regular expression of a format, with a group for each directive.

    Raises
    ------
    KeyError, re.error
        If it is no format: of an unknown directive, or one that comes twice.
    """
    pieces = re.split(r"%(.)", form)
    # Like strptime: single figures may be filled up with a blank.
    literals = (re.escape(piece).replace(r"\ ", " +") for piece in pieces[::2])
    directives = [_DIRECTIVES[letter] for letter in pieces[1::2]]
    return "^" + "".join(a + b for a, b in zip(literals, [*directives, ""], strict=True)) + "$"


@cache
def _day_of(form: str) -> str | None:
    """The format without the clock behind it; None where none stands there."""
    clock = re.search("[ ,T:]+%[HI]", form)
    if clock is None or re.search("%[dmbBYyaA]", form[clock.end() :]):
        return None
    return form[: clock.start()]


@cache
def _pattern(form: str, *, whole: bool = True) -> re.Pattern[str]:
    regex = time_regex(form)
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
