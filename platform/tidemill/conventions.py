"""How a column writes numbers and times that are not plain: named by an example or a format.

A number's convention is 1234.5 as the column would write it: ``1.234,5``, ``1234,5``, ``$1,234.5``,
``1234.5%``, ``1 234,5 €``. The unit is left aside (5% is 5); the mark of thousands stands between
groups of three digits or not at all. A time's is in :mod:`tidemill.time_conventions`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from itertools import product

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.time_conventions import TimeConvention, time_regex

__all__ = [
    "Convention",
    "NumberConvention",
    "find_number_conventions",
    "may_be_grouped",
    "parse_convention",
]

_THOUSANDS = (",", ".", " ", "\u00a0", "\u202f", "'", "\u2019")
_CURRENCIES = "[$€£¥₹₽₩₺]|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|BRL"
_EXAMPLE = re.compile(r"(?P<prefix>\D*)1(?P<thousands>\D?)234(?P<decimal>[.,])5(?P<suffix>\D*)")
_GROUPED = re.compile(r"^-?(0|[1-9]\d{0,2}(\.\d{3})?)$")
_SPLIT = (
    rf"^-?(?P<prefix>(?:(?:{_CURRENCIES})[ \x{{a0}}]?)?)-?"
    rf"(?P<body>\d(?:[\d.,' \x{{a0}}\x{{202f}}\x{{2019}}]*\d)?)"
    rf"(?P<suffix>(?:[ \x{{a0}}]?(?:%|{_CURRENCIES}))?)$"
)


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
        regex = time_regex(text)
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
