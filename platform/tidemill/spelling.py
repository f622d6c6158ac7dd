"""How booleans, times, categories, gaps and numbers are written: one rule, wherever they come in.

A time is a day, or a day and a clock: ``2026-01-31``, ``2026-01-31 09:30``,
``2026-01-31T09:30:00.25Z``, ``2026-01-31T09:30:00+01:00``. Week dates, day numbers and offsets
that no clock shows are no times.

A category or class is a text. A number that is whole has no point (3 and 3.0 are ``3``), another
is the shortest text that reads back as it; a boolean is ``true`` or ``false``. A text stays as it
is: ``01`` and ``1`` are two, as are ``02134`` and 2134. Only where one of ``3`` and ``3.0`` is
known and the other is not, that one is meant: frames with gaps write whole numbers as ``3.0``. So
it is with ``true``, ``True`` and ``TRUE``, and with false: programs write them in their own way.

An event's id is a text, or a whole number, which has no point (3 and 3.0 are ``3``). A fraction, a
boolean, and a float so large that it stands for several whole numbers name nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "FALSE_TEXTS",
    "FIRST_MICROS",
    "LARGEST_WHOLE",
    "LAST_MICROS",
    "TRUE_TEXTS",
    "as_known",
    "categories",
    "category",
    "finer_than_micros",
    "fits_float32",
    "identifiers",
    "known_category",
    "missing_of",
    "moments",
    "one_spelling",
    "whole_micros",
]

TRUE_TEXTS = ("true", "t", "yes", "y", "1")
FALSE_TEXTS = ("false", "f", "no", "n", "0")
"""Booleans, in small letters or capitals; opposites in order."""

LARGEST_WHOLE = 2**53
"""Whole numbers up to here are the same as floats."""

FIRST_MICROS, LAST_MICROS = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Microseconds since 1970 of the years 1 to 9999."""

_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0+)?")

_MICROS = pa.timestamp("us")

_TRUTH_LENGTHS = (4, 5)

_FEW = 8
_HEAD = 1000
_POWERS = 10.0 ** np.arange(23)
_UNITS = tuple(10.0**decimals for decimals in (0, 1, 2, 3, 4, 6))

_MOMENT = (
    r"^(?P<day>\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))"
    r"(?:[ Tt](?P<hour>[01]\d|2[0-3])(?::(?P<minute>[0-5]\d)"
    r"(?::(?P<second>[0-5]\d)(?:[.,](?P<part>\d{1,6})\d*)?)?)?"
    r" ?(?P<zone>[Zz]|UTC|GMT|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?)?$"
)


def category(value: object) -> str:
    """The text of a category or class: of a text, a number or a boolean.

    >>> [category(value) for value in ("01", 3, 3.0, 0.5, True, Decimal("7.50"))]
    ['01', '3', '3', '0.5', 'true', '7.5']
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST_WHOLE:
        return str(int(value))
    if isinstance(value, Decimal):
        text = f"{value:f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text == "-0" else text
    return str(value)


def categories(values: pa.Array) -> pa.Array:
    """The same of an Arrow array: texts, numbers, booleans, or a dictionary of them.

    NaN and the infinities have no text: null.

    >>> categories(pa.array([3.0, 0.5, None])).to_pylist()
    ['3', '0.5', None]
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        return categories(values.dictionary).take(values.indices)
    if not pa.types.is_floating(kind) and not pa.types.is_decimal(kind):
        return values.cast(pa.string())
    numbers = (values.cast(pa.float32()) if kind == pa.float16() else values).dictionary_encode()
    found = numbers.dictionary
    if found.type == pa.float32():  # 0.1 is 0.1, and not what float64 makes of it
        found = found.cast(pa.string()).cast(pa.float64())
    texts = [category(n) if abs(n) < float("inf") else None for n in found.to_pylist()]
    return pa.array(texts, pa.string()).take(numbers.indices)


_HELD = {pa.float16(): 2**11, pa.float32(): 2**24, pa.float64(): LARGEST_WHOLE}
"""Below these a whole number is the only one that a float of the type stands for."""


def identifiers(values: pa.Array) -> pa.Array:
    """The texts of event ids: of texts, numbers, booleans, or a dictionary of them.

    What is no id is null.

    >>> identifiers(pa.array([3.0, 0.5, 2.0**60, None])).to_pylist()
    ['3', None, None, None]
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        return identifiers(values.dictionary).take(values.indices)
    if pa.types.is_boolean(kind):
        return pa.nulls(len(values), pa.string())
    if not pa.types.is_floating(kind):
        return values.cast(pa.string())
    numbers = values.cast(pa.float64())
    sound = pc.and_(pc.equal(numbers, pc.round(numbers)), pc.less(pc.abs(numbers), _HELD[kind]))
    whole = pc.if_else(pc.fill_null(sound, False), numbers, pa.scalar(None, pa.float64()))
    return whole.cast(pa.int64()).cast(pa.string())


def known_category(text: str, known: Container[Any]) -> str:
    """The known category that a text names; the text itself if it names none.

    >>> [known_category("3.0", known) for known in ({"3"}, {"3", "3.0"}, {"03"})]
    ['3', '3.0', '3.0']
    >>> [known_category("3", known) for known in ({"3.0"}, {"3.5"})]
    ['3.0', '3']
    >>> [known_category("true", known) for known in ({"True", "t"}, {"True", "TRUE"})]
    ['True', 'true']
    """
    if text in known:
        return text
    if whole := _WHOLE.fullmatch(text):
        return next((name for name in (whole[1], f"{whole[1]}.0") if name in known), text)
    if len(text) in _TRUTH_LENGTHS and text.lower() in ("true", "false"):
        others = [w for w in (text.lower(), text.capitalize(), text.upper()) if w in known]
        return others[0] if len(others) == 1 else text
    return text


def one_spelling(text: str) -> str:
    """The one spelling of a category where nothing is known to choose by.

    >>> [one_spelling(text) for text in ("3.0", "3", "03", "True", "x")]
    ['3', '3', '03', 'true', 'x']
    """
    if whole := _WHOLE.fullmatch(text):
        return whole[1]
    is_truth = len(text) in _TRUTH_LENGTHS and text.lower() in ("true", "false")
    return text.lower() if is_truth else text


def as_known(values: pa.Array, known: Container[Any]) -> pa.Array:
    """The same of a dictionary of texts, each of which is looked up once.

    >>> as_known(pa.array(["3", "4", None, "3.0"]).dictionary_encode(), {"3.0"}).to_pylist()
    ['3.0', '4', None, '3.0']
    """
    given = values.dictionary.to_pylist()
    texts = [text if text is None else known_category(text, known) for text in given]
    if texts == given:
        return values
    plain = pa.array(texts, values.type.value_type).take(values.indices)
    return plain.dictionary_encode().cast(values.type)


def missing_of(texts: pa.Array, missing_values: Collection[str]) -> pa.Array:
    """Which texts, blanks around them aside, mean 'missing'; (n,) of bool, null where null.

    >>> missing_of(pa.array(["NA", " NA ", "N", "", None]), ("NA",)).to_pylist()
    [True, True, False, False, None]
    """
    if not missing_values or not len(texts):
        return pc.if_else(pc.is_valid(texts), False, None)
    words = pa.array(sorted(missing_values), pa.string())
    absent = pc.is_in(pc.utf8_trim_whitespace(texts), value_set=words)
    return pc.if_else(pc.is_valid(texts), absent, None)


def _are_decimals(values: npt.NDArray[np.float64], unit: float) -> npt.NDArray[np.bool_]:
    """Decimals further apart than floats: the shortest text of the nearest is that decimal."""
    scaled = np.rint(values * unit)
    found: npt.NDArray[np.bool_] = scaled / unit == values
    found &= np.abs(scaled) < 2.0**23
    return found


def _may_be_short(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which may be decimals of nine digits, as many as the text of a float32 has; none is 0."""
    shift = 9 - np.floor(np.log10(np.abs(values)))
    known = np.abs(shift) < len(_POWERS)  # these powers are exact
    power = _POWERS[np.where(known, np.abs(shift), 0).astype(np.int64)]
    nearest = np.where(shift < 0, np.rint(values / power) * power, np.rint(values * power) / power)
    may: npt.NDArray[np.bool_] = ~known | (nearest == values)
    return may


def fits_float32(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Whether the shortest text of the nearest float32 is the number, (rows,) bool; NaN does.

    >>> fits_float32(np.array([0.1, 16777217.0, 1700000001.0, 2000000.25, 1e-50])).tolist()
    [True, False, False, False, False]
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow = values.astype(np.float32)
        fits: npt.NDArray[np.bool_] = np.isnan(values)
        if len(values) <= _FEW:  # one request's: without the cost of looking at all at once
            shortest = [float(str(number)) for number in narrow]
            fits |= (np.array(shortest, np.float64) == values) & np.isfinite(narrow)
            return fits
        # Most columns have so many decimals, or fewer, as their first numbers.
        head = values[:_HEAD]
        units = sorted(
            _UNITS, key=lambda unit: not (_are_decimals(head, unit) | fits[:_HEAD]).all()
        )
        fits |= _are_decimals(values, units[0])
        for unit in units[1:]:
            rest = np.flatnonzero(~fits)
            if not len(rest):
                return fits
            fits[rest] = _are_decimals(values[rest], unit)
        rest = np.flatnonzero(~fits & np.isfinite(narrow))
        rest = rest[_may_be_short(values[rest])]
    if len(rest):
        texts = pa.array(narrow[rest], pa.float32()).cast(pa.string())
        fits[rest] = texts.cast(pa.float64()).to_numpy(zero_copy_only=False) == values[rest]
    return fits


def moments(texts: pa.Array, kind: pa.DataType = _MICROS, *, bounded: bool = True) -> pa.Array:
    """ISO 8601 days and times, UTC; what is none is null.

    Parameters
    ----------
    texts : pyarrow.Array of string
        Without an offset, or with UTC or GMT for one, they are UTC; digits beyond the microsecond
        are cut off.
    kind : pyarrow.DataType
        A timestamp without a zone.
    bounded : bool
        Whether what lies outside the years 1 to 9999 is null too; else the caller bounds it.

    >>> found = moments(pa.array(["2026-01-31T09:30+01:00", "2024-W01-1"]))
    >>> [str(moment) for moment in found]
    ['2026-01-31 08:30:00', 'None']
    """
    for way in (pa.timestamp("us", "UTC"), kind):
        try:  # Arrow's own reader takes some of the same spellings and no others, much faster.
            found = texts.cast(way).cast(kind)
        except pa.ArrowInvalid:
            continue
        return _possible(found) if bounded else found
    found = _put_together(texts, kind)
    return _possible(found) if bounded else found


def finer_than_micros(texts: pa.Array) -> pa.Array:
    """Which texts of times have digits beyond the microsecond; they are cut off.

    >>> texts = ["2026-01-31T09:30:00.1234567Z", "2026-01-31T09:30:00.123456000", None]
    >>> finer_than_micros(pa.array(texts)).to_pylist()
    [True, False, None]
    """
    return pc.match_substring_regex(texts, r"[.,]\d{6}0*[1-9]")


def whole_micros(times: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Times of nanoseconds as microseconds, and which have digits beyond; those are cut off.

    Downwards, as of a text: before 1970 too.

    >>> micros, finer = whole_micros(pa.array([-1, 1_999, 3_000]).cast(pa.timestamp("ns")))
    >>> micros.cast("int64").to_pylist(), finer.to_pylist()
    ([-1, 1, 3], [True, True, False])
    """
    nanos = times.cast(pa.timestamp("ns")).cast(pa.int64())
    micros = pc.divide(nanos, 1000)
    rest = pc.subtract(nanos, pc.multiply(micros, 1000))
    micros = pc.subtract(micros, pc.less(rest, 0).cast(pa.int64()))
    return micros.cast(pa.timestamp("us")), pc.not_equal(rest, 0)


def _put_together(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    parts = pc.extract_regex(texts, _MOMENT)
    day, *clock, part, zone = (
        pc.struct_field(parts, [name])
        for name in ("day", "hour", "minute", "second", "part", "zone")
    )
    hour, minute, second = (pc.if_else(pc.equal(p, ""), "00", p) for p in clock)
    time = pc.binary_join_element_wise(hour, minute, second, ":")
    moment = pc.binary_join_element_wise(day, " ", time, ".", pc.utf8_rpad(part, 6, "0"), "")
    return pc.subtract(_cast(moment, kind), pc.cast(_offsets(zone), pa.duration("us")))


def _possible(moments: pa.Array) -> pa.Array:
    """Year 0, and what an offset leads out of the years that Python knows: null there."""
    ends = pc.min_max(moments.cast(pa.timestamp("us")).cast(pa.int64())).as_py()
    if ends["min"] is None or (ends["min"] >= FIRST_MICROS and ends["max"] <= LAST_MICROS):
        return moments
    micros = moments.cast(pa.timestamp("us")).cast(pa.int64())
    inside = pc.and_(pc.greater_equal(micros, FIRST_MICROS), pc.less_equal(micros, LAST_MICROS))
    return pc.if_else(inside, moments, pa.scalar(None, moments.type))


def _cast(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Days that no month has (the 30th of February) are null."""
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        days = texts.dictionary_encode()
    cells = []
    for text in days.dictionary:
        try:
            cells.append(text.cast(kind).value)
        except pa.ArrowInvalid:
            cells.append(None)
    return pa.array(cells, pa.int64()).cast(kind).take(days.indices)


def _offsets(zones: pa.Array) -> pa.Array:
    """Microseconds east of UTC."""
    names = zones.dictionary_encode()
    offsets = [_minutes(name) * 60_000_000 for name in names.dictionary.to_pylist()]
    return pa.array(offsets, pa.int64()).take(names.indices)


def _minutes(zone: str) -> int:
    if zone[:1] not in ("+", "-"):
        return 0
    digits = zone.replace(":", "")[1:]
    minutes = int(digits[:2]) * 60 + int(digits[2:4] or 0)
    return -minutes if zone[0] == "-" else minutes
