"""Texts of numbers: what each is worth, and which are codes that a number would not give back.

The *style* of a column says how its numbers are spelled, so that no two of its texts are one
number: ``shortest`` (no zero at the end of a fraction: 0.5, 12, 1e-07), ``decimals N`` (every
fraction has N digits: 1.10, 2.50) or ``digits N`` (N significant digits: 0.100, 12.5). A zero
fraction counts for nothing: frames with gaps write 3 as 3.0. Everywhere a leading plus, a leading
zero, and an exponent without a sign among whole numbers (1e5) are codes, and so are whole numbers
that float64 does not hold, underflow and overflow. ``exact`` asks for no more than that: numbers
that the format itself calls so have no spelling of their own.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.spelling import LARGEST_WHOLE

__all__ = [
    "EXACT",
    "SHORTEST",
    "WHOLE",
    "clean_numbers",
    "doubtful_texts",
    "inexact",
    "is_style",
    "mask_of",
    "numbers_of",
    "one_number",
    "strays",
    "style_of",
]

SHORTEST = "shortest"
EXACT = "exact"
WHOLE = r"^[+-]?\d+(\.0*)?$"
"""Whole numbers, written out."""

_STYLE = re.compile(r"(?:shortest|exact|(?:decimals|digits) [0-9]{1,3})?")

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_PARTS = (
    r"^(?P<sign>[+-]?)(?P<whole>\d*)(?P<point>\.?)(?P<fraction>\d*)"
    r"(?P<mark>[eE]?)(?P<up>[+-]?)(?P<exponent>\d*)$"
)
_NAMES = ("sign", "whole", "point", "fraction", "mark", "up", "exponent")
_MAX_DIGITS = 400

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def numbers_of(texts: pa.Array) -> pa.Array:
    """The float64 values of texts without blanks around them; null where one is no number.

    >>> numbers_of(pa.array(["1.50", "+3", "1e400", "nan", "x", None])).to_pylist()
    [1.5, 3.0, None, None, None, None]
    """
    values = clean_numbers(texts)
    if values is not None:
        return values
    sound = pc.match_substring_regex(texts, _NUMBER)
    values = pc.if_else(sound, texts, pa.scalar(None, texts.type)).cast(pa.float64())
    lost = pc.or_(pc.invert(pc.is_finite(values)), _underflows(texts, values))
    return pc.if_else(lost, pa.scalar(None, pa.float64()), values)


def clean_numbers(texts: pa.Array) -> pa.Array | None:
    """The float64 values of texts that are all numbers; None if one is not, or has no value."""
    try:
        values = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    finite = pc.all(pc.is_finite(values), skip_nulls=True).as_py() is not False
    return values if finite and not pc.any(_underflows(texts, values)).as_py() else None


def _underflows(texts: pa.Array, values: pa.Array) -> pa.Array:
    """Which are so small that float64 makes nothing of them; the shortest such is 1e-324."""
    doubtful = pc.and_(pc.equal(values, 0.0), pc.greater(pc.binary_length(texts), 5))
    if not pc.any(doubtful).as_py():
        return doubtful
    return pc.and_(doubtful, pc.match_substring_regex(texts, "^[^eE]*[1-9]"))


def style_of(words: pa.Array, *, exact: bool = True) -> str | None:
    """How a column spells its numbers; None if it holds codes.

    Parameters
    ----------
    words : pyarrow.Array of string
        The different texts of numbers, without blanks around them.
    exact : bool
        Whether whole numbers that float64 does not hold are codes (keys are kept as int64).

    >>> style_of(pa.array(["0.5", "1.0", "3", "1e-07"])), style_of(pa.array(["1.10", "2.00"]))
    ('shortest', 'decimals 2')
    >>> [style_of(pa.array(w)) for w in (["02134", "7"], ["1.10", "1.1"], ["1e5", "3"])]
    [None, None, None]
    """
    quick = _plain_style(words)
    if quick is not None:
        return quick
    parts = _parts(words)
    style = _style(parts)
    if style is None or _strange(words, parts, style, whole=_all_whole(parts), exact=exact).any():
        return None
    return None if one_number(words) else style


def is_style(text: str) -> bool:
    """Whether :func:`strays` knows a style; the empty one, too.

    >>> [is_style(text) for text in ("shortest", "decimals 2", "", "decimals")]
    [True, True, True, False]
    """
    return _STYLE.fullmatch(text) is not None


def _plain_style(words: pa.Array) -> str | None:
    """The style of words of which none is doubtful: most columns, without taking one apart."""
    values = clean_numbers(words)
    if values is None or pc.any(pc.starts_with(words, ".")).as_py():
        return None
    floats = _floats(values)
    if not doubtful_texts(words, floats, SHORTEST).any():
        return SHORTEST
    broken = np.flatnonzero(floats != np.floor(floats))
    if not len(broken):
        return None
    decimals = len(words[int(broken[0])].as_py().partition(".")[2])
    style = f"decimals {decimals}"
    return None if doubtful_texts(words, floats, style).any() else style


def one_number(words: pa.Array) -> tuple[str, str] | None:
    """Two texts that would become one number, spelled out or not; None if no two would.

    >>> one_number(pa.array(["02134", "7", "2134"])), one_number(pa.array(["3", "3.0", "-0.0"]))
    (('02134', '2134'), None)
    """
    plain = pc.replace_substring_regex(words, r"^([+-]?\d+)\.0*$", r"\1")
    plain = pc.unique(pc.if_else(pc.equal(plain, "-0"), "0", plain))
    values = numbers_of(plain).to_numpy(zero_copy_only=False)
    order = np.argsort(values, kind="stable")
    for place in np.flatnonzero(values[order][1:] == values[order][:-1]).tolist():
        first, second = (plain[i].as_py() for i in sorted(order[[place, place + 1]].tolist()))
        # Long whole numbers that differ are not one number: float64 does not hold them.
        if not (first.isdigit() and second.isdigit()) or int(first) == int(second):
            return first, second
    return None


def strays(
    texts: pa.Array, values: pa.Array, style: str, *, whole: bool, exact: bool = True
) -> Mask:
    """Which texts are codes in a column of this style, (rows,) bool.

    Parameters
    ----------
    texts, values : pyarrow.Array
        Of string, and what :func:`numbers_of` made of them.
    style : str
        From :func:`style_of`; empty: none is.
    whole : bool
        Whether the column's numbers are whole.

    Notes
    -----
    O(rows) memory. Almost every text is cleared by a look at its first and last bytes; the others
    are taken apart.
    """
    if not style or not len(texts):
        return np.zeros(len(texts), np.bool_)
    doubtful = doubtful_texts(texts, _floats(values), style)
    rows = np.flatnonzero(doubtful & mask_of(pc.is_valid(values)))
    found = np.zeros(len(texts), np.bool_)
    if len(rows):
        some = texts.take(pa.array(rows))
        found[rows] = _strange(some, _parts(some), style, whole=whole, exact=exact)
    return found


def doubtful_texts(texts: pa.Array, values: Floats, style: str) -> Mask:
    """Which texts may be codes, by their first and last bytes; never misses one.

    Parameters
    ----------
    texts, values : (rows,) pyarrow.Array of string, (rows,) float64
        What each is worth; NaN where it is no number.
    style : str

    >>> doubtful_texts(pa.array(["0.5", "007", "1.10"]), np.array([0.5, 7, 1.1]), SHORTEST).tolist()
    [False, True, True]
    """
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :][: len(texts) + 1]
    begin, data = int(offsets[0]), texts.buffers()[2]
    held = np.frombuffer(data, np.uint8)[begin : offsets[-1]] if data is not None else np.empty(0)
    starts, ends = (offsets[:-1] - begin).astype(np.int64), (offsets[1:] - begin).astype(np.int64)
    length = ends - starts
    held = np.concatenate([held.astype(np.uint8), np.zeros(2, np.uint8)])
    starts = starts + ((held[starts] == _byte("-")) & (length > 0))
    long = ends - starts > 1
    doubtful: Mask = long & (held[starts] == _byte("0")) & _digit(held[starts + 1])
    signs = np.flatnonzero((held == _byte("+")) | (held == _byte("e")) | (held == _byte("E")))
    if len(signs):
        doubtful[np.searchsorted(ends, signs, side="right")] = True
    with np.errstate(invalid="ignore"):
        broken: Mask = long & (values != np.floor(values))
        doubtful |= np.abs(values) >= LARGEST_WHOLE
    if style == SHORTEST:
        broken &= held[ends - 1] == _byte("0")
    elif style == EXACT:
        return doubtful
    elif style.startswith("decimals"):
        point = ends - int(style.split()[1]) - 1
        broken &= (point < starts) | (held[point] != _byte("."))
    doubtful |= broken
    return doubtful


def _strange(
    texts: pa.Array, parts: dict[str, pa.Array], style: str, *, whole: bool, exact: bool
) -> Mask:
    digits = pc.binary_length(parts["whole"])
    found = mask_of(pc.equal(parts["sign"], "+"))
    found |= mask_of(pc.and_(pc.greater(digits, 1), pc.starts_with(parts["whole"], "0")))
    exponent = mask_of(pc.not_equal(parts["mark"], ""))
    if whole:
        found |= exponent & mask_of(pc.equal(parts["up"], ""))
    if exact:
        found |= inexact(texts, numbers_of(texts))
    return found | _of_other_length(parts, style)


def inexact(texts: pa.Array, values: pa.Array) -> Mask:
    """Whole numbers, written out, that are not what float64 makes of them; (rows,) bool.

    >>> texts = pa.array(["9007199254740993", "9007199254740992", "1e400", None])
    >>> inexact(texts, numbers_of(texts)).tolist()
    [True, False, False, False]
    """
    found, floats = np.zeros(len(texts), np.bool_), _floats(values)
    with np.errstate(invalid="ignore"):
        large = np.flatnonzero(np.abs(floats) >= LARGEST_WHOLE)
    for row in large.tolist():
        whole, _, fraction = texts[row].as_py().partition(".")
        if whole.lstrip("+-").isdigit() and not fraction.strip("0"):
            found[row] = len(whole) > _MAX_DIGITS or int(whole) != int(floats[row])
    return found


def _of_other_length(parts: dict[str, pa.Array], style: str) -> Mask:
    """Fractions of which one more or one less zero at the end would be the same number."""
    nonzero, zeros = _fractions(parts)
    if style == SHORTEST:
        return nonzero & zeros
    if style == EXACT:
        return np.zeros(len(nonzero), np.bool_)
    kind, number = style.split()
    length = _length(parts, kind)
    other: Mask = nonzero & ((length < int(number)) | (zeros & (length != int(number))))
    return other


def _style(parts: dict[str, pa.Array]) -> str | None:
    nonzero, zeros = _fractions(parts)
    if not (nonzero & zeros).any():
        return SHORTEST
    for kind in ("decimals", "digits"):
        lengths = np.unique(_length(parts, kind)[nonzero])
        if len(lengths) == 1:
            return f"{kind} {lengths[0]}"
    return None


def _length(parts: dict[str, pa.Array], kind: str) -> npt.NDArray[np.int64]:
    digits = parts["fraction"]
    if kind == "digits":
        joined = pc.binary_join_element_wise(parts["whole"], digits, "")
        digits = pc.utf8_ltrim(joined, "0")
    length: npt.NDArray[np.int64] = pc.binary_length(digits).to_numpy(zero_copy_only=False)
    return length


def _fractions(parts: dict[str, pa.Array]) -> tuple[Mask, Mask]:
    """Which fractions are not zero, and which end in one."""
    fraction = parts["fraction"]
    return (
        mask_of(pc.match_substring_regex(fraction, "[1-9]")),
        mask_of(pc.ends_with(fraction, "0")),
    )


def _all_whole(parts: dict[str, pa.Array]) -> bool:
    """Whether no number, exponents left aside, has a fraction."""
    nonzero, _ = _fractions(parts)
    pointed = nonzero | mask_of(
        pc.and_(pc.not_equal(parts["point"], ""), pc.not_equal(parts["mark"], ""))
    )
    return not pointed.any()


def _parts(texts: pa.Array) -> dict[str, pa.Array]:
    found = pc.extract_regex(texts, _PARTS)
    return {name: pc.struct_field(found, [name]) for name in _NAMES}


def _floats(values: pa.Array) -> Floats:
    floats: Floats = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return floats


def _digit(codes: npt.NDArray[np.uint8]) -> Mask:
    digits: Mask = (codes >= _byte("0")) & (codes <= _byte("9"))
    return digits


def _byte(character: str) -> int:
    return ord(character)


def mask_of(values: pa.Array) -> Mask:
    """Booleans; a missing one is False."""
    mask: Mask = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return mask
