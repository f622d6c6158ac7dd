"""How a column of texts is read, found from a sample: its plain type, words, style, convention.

One rule for the cells of CSV, the strings of JSON and the texts of Parquet. Only what the format
itself declares to be text (a quoted number in JSON, a number in a Parquet column of texts) is no
number by itself; ``dataset.types`` says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.casting import booleans_of
from tidemill.config import DatasetConfig
from tidemill.conventions import (
    Convention,
    find_number_conventions,
    may_be_grouped,
    parse_convention,
)
from tidemill.errors import ConfigError
from tidemill.ingestion.sources.categories import said_of_blanks
from tidemill.numbers import (
    SHORTEST,
    WHOLE,
    clean_numbers,
    mask_of,
    numbers_of,
    one_number,
    strays,
    style_of,
)
from tidemill.schema import ColumnType, SourceColumn
from tidemill.spelling import FALSE_TEXTS, TRUE_TEXTS, missing_of, moments
from tidemill.time_conventions import find_time_conventions, find_unread_zone

__all__ = ["Stated", "column_of_texts"]

# Dirty cells do not make a number a text, as long as they are few...
_MIN_SOUND = 0.9
# ... and slips of the pen: a word that comes again and again is a value of its own.
_MAX_SLIP = 0.005
# A code beside so few numbers or times is one more category; beside more, a category each
# would lose what they measure.
_FEW_VALUES = 20
_OPPOSITES = dict(zip(TRUE_TEXTS, FALSE_TEXTS, strict=True))
_GROUPS = "1.234,5"
# Digits, of other scripts too.
_FIGURES = r"[\d\pN]"
_TIME_SHAPE = r"^\d{4}-\d{2}-\d{2}([ Tt][\d:.,]+ ?([Zz]|UTC|GMT|[+-][\d:]+)?)?$"

Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stated:
    """What params.yaml says of a column, or of all.

    Parameters
    ----------
    missing : tuple of str
        ``dataset.missing_values``.
    type : ColumnType or None
        ``dataset.types``; it wins.
    convention : str or None
        ``dataset.conventions``.
    key : bool
        Whether the column is ``dataset.key``: whole numbers are kept as int64 then.
    """

    missing: tuple[str, ...] = ()
    type: ColumnType | None = None
    convention: str | None = None
    key: bool = False

    @classmethod
    def of(cls, dataset: DatasetConfig, name: str) -> Stated:
        """What the dataset section says of the column."""
        return cls(
            missing=dataset.missing_values,
            type=dataset.types.get(name),
            convention=dataset.conventions.get(name),
            key=name == dataset.key,
        )


def column_of_texts(
    name: str, texts: pa.Array, stated: Stated, *, declared: Mask | bool | None = None
) -> SourceColumn:
    """How to read the column of a sample.

    Nine in ten of the texts decide. A further word that is frequent makes booleans, and numbers
    or times of which there are few different ones, texts: it is a category, not a slip. Numbers of
    which one would lose its spelling are texts: codes. A convention is one that every text keeps.

    Parameters
    ----------
    texts : (rows,) pyarrow.Array of string, or of a dictionary of strings
    declared : (rows,) bool, bool for all, or None
        Which are texts by the format's own word, and not numbers; None where it has no such word.

    >>> [column_of_texts("a", pa.array(t), Stated(("",))).type
    ...     for t in (["1", "2", "", "3"], ["02134", "7"], ["yes", "no"], ["1", "x"])]
    ['integer', 'text', 'boolean', 'text']
    >>> column_of_texts("a", pa.array(["13/01/2024", "01/02/2024"]), Stated()).convention
    '%d/%m/%Y'
    """
    words, counts, missing = _words(texts, stated.missing)
    found = SourceColumn("", "text")
    if stated.type not in (ColumnType.CATEGORICAL, ColumnType.TEXT):
        finder = _Finder(name, words, counts, stated, _is_declared(texts, declared, counts))
        found = finder.stated() if stated.type or stated.convention else finder.found()
    blanks = said_of_blanks(name, texts, stated.missing) if found.type == "text" else ""
    note = "; ".join(filter(None, [found.note, blanks]))
    return replace(found, name=name, missing=missing, note=note)


@dataclass(frozen=True, slots=True)
class _Finder:
    """The different texts of a sample and how often each occurs."""

    name: str
    words: pa.Array
    counts: Counts
    said: Stated
    declared: bool | None

    def stated(self) -> SourceColumn:
        """What params.yaml says, filled up with what the texts say."""
        kind = self.said.type
        convention = self._convention(kind)
        if kind is None or kind is ColumnType.IGNORED:
            if convention is None:
                return self.found()
            return SourceColumn("", convention.plain, convention=str(convention))
        if kind is ColumnType.NUMERIC:
            sound = mask_of(pc.is_valid(numbers_of(self.words)))
            whole = convention is None and self._are_whole(sound)
            plain = "integer" if whole else "number"
        else:
            plain = kind.value
        words = _spellings(self.words, self.counts) if plain == "boolean" else None
        if convention is not None:
            return SourceColumn("", plain, words, convention=str(convention))
        asked = kind is ColumnType.NUMERIC
        note = self._points(self.words.filter(pa.array(sound))) if asked else ""
        return SourceColumn("", plain, words, note=note)

    def found(self) -> SourceColumn:
        """What the texts say."""
        words, counts = self.words, self.counts
        if len(words) and clean_numbers(words) is not None:
            return self._numbers(np.ones(len(words), np.bool_))
        spellings = _spellings(words, counts)
        text = SourceColumn("", "text", spellings)
        if not len(words):
            return text
        least = _MIN_SOUND * counts.sum()
        if counts[_said(words)].sum() >= least:
            sound = mask_of(pc.is_valid(booleans_of(words)))
            if self._has_code(~sound):
                return text
            return replace(text, type="boolean", note=_one_truth(self.name, words))
        if not pc.any(pc.match_substring_regex(words, _FIGURES)).as_py():
            return text  # no number and no time, whatever the convention
        sound = mask_of(pc.is_valid(numbers_of(words)))
        times = mask_of(pc.or_kleene(pc.is_valid(moments(words)), _shaped(words)))
        if not (sound.all() or times.all()):
            unusual = self._unusual()
            if unusual is not None:
                return replace(unusual, words=spellings)
        if counts[sound].sum() >= least:
            return replace(self._numbers(sound), words=spellings)
        if counts[times].sum() >= least and not (
            times.sum() <= _FEW_VALUES and self._has_code(~times)
        ):
            return SourceColumn("", "datetime", spellings)
        return text

    def _numbers(self, sound: Mask) -> SourceColumn:
        text = SourceColumn("", "text")
        if sound.sum() <= _FEW_VALUES and self._has_code(~sound):
            return text
        numbers = self.words.filter(pa.array(sound))
        style = self._style(numbers)
        if style is None:
            return replace(text, note=_codes(numbers))
        if self.said.key and _beyond_int64(numbers):
            return replace(text, note="keys beyond 64 bits are texts")
        if self.declared:
            return replace(text, note="numbers that the source writes as texts")
        plain = "integer" if self._are_whole(sound) else "number"
        return SourceColumn("", plain, style=style, note=self._points(numbers))

    def _points(self, numbers: pa.Array) -> str:
        """What to say where a point may stand between thousands; JSON's and Parquet's never do."""
        if self.declared is False or not may_be_grouped(numbers):
            return ""
        line = json.dumps({self.name: _GROUPS}, ensure_ascii=False)
        shown = next(word for word in numbers.to_pylist() if "." in word)
        return (
            f"{shown!r} and all others may have a point for decimals, as they are read, or between "
            f"thousands: dataset.conventions: {line} reads thousands"
        )

    def _style(self, numbers: pa.Array) -> str | None:
        exact = not self.said.key
        if self.declared is not False:
            return style_of(numbers, exact=exact)
        # The format's own numbers come in their shortest spelling.
        values = numbers_of(numbers)
        codes = strays(numbers, values, SHORTEST, whole=False, exact=exact)
        return None if codes.any() else SHORTEST

    def _unusual(self) -> SourceColumn | None:
        """The one convention that all texts keep, or text where several would fit."""
        for find in (find_time_conventions, find_number_conventions):
            fitting: tuple[Convention, ...] = find(self.words)
            if len(fitting) == 1:
                (convention,) = fitting
                return SourceColumn(
                    "",
                    convention.plain,
                    convention=str(convention),
                    note=f"read as {str(convention)!r} (dataset.conventions)",
                )
            if fitting:
                note = f"{_either(self.words, fitting)}: say which in dataset.conventions"
                return SourceColumn("", "text", note=note)
        zone = find_unread_zone(self.words)
        if zone is not None:
            note = f"times of the zone {zone!r}, which has no one offset: write UTC or offsets"
            return SourceColumn("", "text", note=note)
        return None

    def _convention(self, kind: ColumnType | None) -> Convention | None:
        """As params.yaml says, or the one that fits where the plain way does not."""
        if self.said.convention is not None:
            convention = parse_convention(self.said.convention)
            plain = {ColumnType.NUMERIC: "number", ColumnType.DATETIME: "datetime"}
            if convention is None or (kind in plain and plain[kind] != convention.plain):
                wanted = plain.get(kind, "") if kind else ""
                raise ConfigError(
                    f"dataset.conventions.{self.name}: {self.said.convention!r} is no convention "
                    f"of {wanted or 'numbers or times'}",
                    remedy="write 1234.5 as the column does ('1.234,5'), or a format of strptime "
                    "('%d/%m/%Y')",
                    column=self.name,
                    convention=self.said.convention,
                )
            return convention
        fitting: tuple[Convention, ...] = ()
        if kind is ColumnType.NUMERIC and numbers_of(self.words).null_count:
            fitting = find_number_conventions(self.words)
        elif kind is ColumnType.DATETIME and moments(self.words).null_count:
            fitting = find_time_conventions(self.words)
        if len(fitting) > 1:
            raise self._undecided(fitting)
        return fitting[0] if fitting else None

    def _undecided(self, fitting: Sequence[Convention]) -> ConfigError:
        lines = " or ".join(
            f"{{{json.dumps(self.name)}: {json.dumps(str(c), ensure_ascii=False)}}}"
            for c in fitting
        )
        return ConfigError(
            f"the column {self.name!r}: {_either(self.words, fitting)}",
            remedy=f"say which in params.yaml, dataset.conventions: {lines}",
            column=self.name,
            conventions=[str(convention) for convention in fitting],
        )

    def _are_whole(self, sound: Mask) -> bool:
        whole = mask_of(pc.match_substring_regex(self.words, WHOLE))
        return bool(sound.any() and (whole | ~sound).all())

    def _has_code(self, unfit: Mask) -> bool:
        """Whether one of the unfit words, in whatever case, is no slip."""
        often: dict[str, int] = {}
        for word, count in zip(
            pc.utf8_lower(self.words.filter(pa.array(unfit))).to_pylist(),
            self.counts[unfit],
            strict=True,
        ):
            often[word] = often.get(word, 0) + int(count)
        return max(often.values(), default=0) > max(1.0, _MAX_SLIP * float(self.counts.sum()))


def _beyond_int64(numbers: pa.Array) -> bool:
    return bool(pc.any(pc.greater_equal(pc.abs(numbers_of(numbers)), 2.0**63)).as_py())


def _either(words: pa.Array, fitting: Sequence[Convention]) -> str:
    return f"{words[0].as_py()!r} can be {' or '.join(repr(str(each)) for each in fitting)}"


def _words(
    texts: pa.Array, missing_values: Collection[str]
) -> tuple[pa.Array, Counts, tuple[tuple[str, int], ...]]:
    """The different texts that are not missing, trimmed; how often each occurs; the missing."""
    encoded = texts if pa.types.is_dictionary(texts.type) else texts.dictionary_encode()
    found = encoded.indices.drop_null().to_numpy(zero_copy_only=False)
    times = np.bincount(found, minlength=len(encoded.dictionary)).astype(np.int64)
    trimmed = pc.utf8_trim_whitespace(encoded.dictionary.cast(pa.string())).dictionary_encode()
    words, codes = trimmed.dictionary, trimmed.indices.to_numpy(zero_copy_only=False)
    counts = np.bincount(codes, times, len(words)).astype(np.int64)
    words, counts = words.filter(pa.array(counts > 0)), counts[counts > 0]
    missing = mask_of(missing_of(words, {*missing_values, ""}))
    absent = zip(words.filter(pa.array(missing)).to_pylist(), counts[missing].tolist(), strict=True)
    return words.filter(pa.array(~missing)), counts[~missing], tuple(sorted(absent))


def _is_declared(texts: pa.Array, declared: Mask | bool | None, counts: Counts) -> bool | None:
    """Whether the format says of more than a slip that its numbers are texts."""
    if declared is None or isinstance(declared, bool):
        return declared
    trimmed = pc.utf8_trim_whitespace(texts)
    quoted = mask_of(pc.is_valid(numbers_of(trimmed))) & declared
    return bool(quoted.sum() > (1 - _MIN_SOUND) * counts.sum())


def _codes(numbers: pa.Array) -> str:
    same = one_number(numbers)
    if same is not None:
        return f"codes: {same[0]!r} and {same[1]!r} would be one number"
    shown = next(
        (n for n in numbers.to_pylist() if style_of(pa.array([n])) != SHORTEST),
        numbers[0].as_py(),
    )
    return f"codes: as a number {shown!r} would lose how it is written"


def _one_truth(name: str, words: pa.Array) -> str:
    """What to say where yes or no is spelled in several ways, which become one."""
    truths = booleans_of(words)
    said: dict[bool, list[str]] = {True: [], False: []}
    for word, truth in zip(words.to_pylist(), truths.to_pylist(), strict=True):
        if truth is not None:
            said[truth].append(word)
    mixed = [" and ".join(map(repr, sorted(same))) for same in said.values() if len(same) > 1]
    if not mixed:
        return ""
    keeps = f"dataset.types: {{{json.dumps(name)}: categorical}} keeps them apart"
    return f"{', '.join(mixed)} are read as one ({keeps})"


def _said(words: pa.Array) -> Mask:
    """Which words say true or false; a column of 0 and 1 holds numbers."""
    known = pa.array([w for w in (*TRUE_TEXTS, *FALSE_TEXTS) if w not in "01"])
    return mask_of(pc.is_in(pc.utf8_lower(words), value_set=known))


def _shaped(words: pa.Array) -> pa.Array:
    """Which are written as times are, with a clock or offset that may not exist."""
    return pc.match_substring_regex(words, _TIME_SHAPE)


def _spellings(words: pa.Array, counts: Counts) -> tuple[str, str] | None:
    """The most frequent words for false and for true, if most texts say one or the other."""
    stated = _said(words)
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
