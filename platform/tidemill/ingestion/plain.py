"""The plain type of a column of texts, and the words in which a column says true and false."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.ingestion.casting import cast_texts
from tidemill.ingestion.splits import SourceColumn
from tidemill.spelling import FALSE_TEXTS, TRUE_TEXTS

__all__ = ["column_of_texts", "plain_type_of_texts"]

# Dirty cells do not make a number a text, as long as they are few...
_MIN_SOUND = 0.9
# ... and slips of the pen: a word that comes again and again is a value of its own.
_MAX_SLIP = 0.005
# A code beside so few numbers or times is one more category; beside more, a category each
# would lose what they measure.
_FEW_VALUES = 20
_OPPOSITES = dict(zip(TRUE_TEXTS, FALSE_TEXTS, strict=True))

Mask = npt.NDArray[np.bool_]


def column_of_texts(name: str, texts: pa.Array, null_values: tuple[str, ...]) -> SourceColumn:
    """The column of a sample of texts, (rows,) of string."""
    words, counts = _words(texts, null_values)
    return SourceColumn(name, _plain_type(words, counts), _spellings(words, counts))


def plain_type_of_texts(texts: pa.Array, null_values: tuple[str, ...]) -> str:
    """The plain type that at least nine in ten of the texts have.

    A further word that is frequent makes booleans, and numbers or times of which there are few
    different ones, texts: it is a category, not a slip.

    >>> plain_type_of_texts(pa.array(["1", "2", "", "3"]), ("",))
    'integer'
    >>> plain_type_of_texts(pa.array(["yes", "no"] * 10 + ["yess"]), ())
    'boolean'
    >>> plain_type_of_texts(pa.array(["yes", "no"] * 10 + ["maybe"] * 2), ())
    'text'
    """
    return _plain_type(*_words(texts, null_values))


def _words(texts: pa.Array, null_values: tuple[str, ...]) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """The different texts that are not missing, trimmed, and how often each occurs."""
    trimmed = pc.utf8_trim_whitespace(texts.drop_null())
    missing = pc.is_in(trimmed, value_set=pa.array([*null_values, ""], pa.string()))
    counted = pc.value_counts(trimmed.filter(pc.invert(missing)))
    return counted.field("values"), counted.field("counts").to_numpy()


def _plain_type(words: pa.Array, counts: npt.NDArray[np.int64]) -> str:
    least = _MIN_SOUND * counts.sum()
    if not len(words):
        return "text"
    if counts[_stated(words)].sum() >= least:
        sound = _sound(words, pa.bool_())
        return "text" if _has_code(words, counts, ~sound) else "boolean"
    for kind, plain in ((pa.float64(), "number"), (pa.timestamp("us"), "datetime")):
        sound = _sound(words, kind)
        if counts[sound].sum() < least:
            continue
        if sound.sum() <= _FEW_VALUES and _has_code(words, counts, ~sound):
            return "text"
        whole = plain == "number" and _sound(words, pa.int64()).sum() == sound.sum()
        return "integer" if whole else plain
    return "text"


def _stated(words: pa.Array) -> Mask:
    """Which words say true or false; a column of 0 and 1 holds numbers."""
    known = pa.array([w for w in (*TRUE_TEXTS, *FALSE_TEXTS) if w not in "01"])
    return _mask(pc.is_in(pc.utf8_lower(words), value_set=known))


def _sound(words: pa.Array, kind: pa.DataType) -> Mask:
    return _mask(pc.is_valid(cast_texts(words, kind, ())[0]))


def _has_code(words: pa.Array, counts: npt.NDArray[np.int64], unfit: Mask) -> bool:
    """Whether one of the unfit words, in whatever case, is no slip."""
    often: dict[str, int] = {}
    for word, count in zip(
        pc.utf8_lower(words.filter(pa.array(unfit))).to_pylist(), counts[unfit], strict=True
    ):
        often[word] = often.get(word, 0) + int(count)
    return max(often.values(), default=0) > max(1.0, _MAX_SLIP * float(counts.sum()))


def _spellings(words: pa.Array, counts: npt.NDArray[np.int64]) -> tuple[str, str] | None:
    """The most frequent words for false and for true, if most texts say one or the other."""
    stated = _stated(words)
    if 2 * counts[stated].sum() <= counts.sum():
        return None
    said: dict[bool, tuple[int, str]] = {}
    for word, count in sorted(
        zip(words.filter(pa.array(stated)).to_pylist(), counts[stated].tolist(), strict=True)
    ):
        truth = word.lower() in TRUE_TEXTS
        if count > said.get(truth, (0, ""))[0]:
            said[truth] = (count, word)
    return _spelling(False, said), _spelling(True, said)


def _spelling(truth: bool, said: dict[bool, tuple[int, str]]) -> str:
    if truth in said:
        return said[truth][1]
    other = said[not truth][1]
    pairs = _OPPOSITES if not truth else {no: yes for yes, no in _OPPOSITES.items()}
    word = pairs[other.lower()]
    if other.isupper():
        return word.upper()
    return word.capitalize() if other[0].isupper() else word


def _mask(values: pa.Array) -> Mask:
    mask: Mask = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return mask
