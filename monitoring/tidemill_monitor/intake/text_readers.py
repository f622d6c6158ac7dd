"""Readers of texts and of class labels."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.cells import decoded_type
from tidemill.spelling import (
    LARGEST_WHOLE,
    as_known,
    categories,
    category,
    identifiers,
    missing_of,
)
from tidemill_monitor.intake.column_readers import (
    NONE,
    Faulty,
    Read,
    is_text,
    kind_of,
    search,
    wrong_type,
)
from tidemill_monitor.intake.row_faults import Fault

__all__ = ["ClassCells", "IdCells", "TextCells"]

MAX_TEXT = 1024
_FEW = 64
_TAKEN = (str, int, bool, float)
_FINITE = "must be finite"
_NO_ID = "must be a text or a whole number (larger ones than 2^53 as texts), not "


class TextCells:
    """Texts of bounded length without character 0.

    Numbers and booleans are taken as texts (:mod:`tidemill.spelling`): categories often are such.

    Parameters
    ----------
    missing_values : collection of str
        Texts that mean 'missing', as in the table that was learnt from.
    """

    def __init__(
        self,
        name: str,
        kind: Any,
        *,
        min_length: int = 0,
        max_length: int = MAX_TEXT,
        missing_values: Collection[str] = (),
    ) -> None:
        self.name, self.kind = name, kind
        self._min, self._max = min_length, max_length
        self._missing = frozenset(missing_values)

    def read(self, values: Sequence[Any]) -> Read:
        """JSON texts."""
        kinds = set(map(type, values))
        if kinds <= {str, int, bool, NONE}:
            if not kinds <= {str, NONE}:
                values = [_label(value) for value in values]
            try:
                array = pa.array(values, pa.string())
            except UnicodeEncodeError:
                pass  # a lone surrogate: say where
            else:
                return self._checked(array)

        def cell(value: Any) -> str | None:
            if type(value) not in _TAKEN:
                raise Faulty("type", f"must be a text, not {kind_of(value)}")
            if type(value) is float and not math.isfinite(value):
                raise Faulty("not_finite", _FINITE)
            label = _label(value)
            try:
                str(label).encode()
            except UnicodeEncodeError:
                raise Faulty("text", "must be valid Unicode: it holds a lone surrogate") from None
            return label

        found, faults = search(self.name, values, cell)
        array, more = self._checked(pa.array(found, pa.string()))
        return array, [*faults, *more]

    def read_arrow(self, values: Any) -> Read:
        """Strings of 32-bit or 64-bit offsets, numbers, booleans, dictionaries of them."""
        kind = values.type
        if pa.types.is_null(kind):
            return self._checked(values.cast(pa.string()))
        if pa.types.is_dictionary(kind) and is_text(kind.value_type):
            return self._checked_codes(values)
        if self._has_text(decoded_type(kind)):
            texts = categories(values)
            lost = texts.null_count > values.null_count
            array, faults = self._checked(texts)
            return array, [*faults, *(self._infinite(values) if lost else ())]
        if not is_text(kind):
            return wrong_type(self.name, values, self.kind, "texts")
        try:
            return self._checked(values.cast(pa.string()))
        except pa.ArrowInvalid:  # more text than 32-bit offsets hold
            return wrong_type(self.name, values, self.kind, "texts of less than 2 GB")

    def _has_text(self, kind: Any) -> bool:
        """Whether a number or boolean, which has a text (a decimal's would be of any scale)."""
        number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
        return bool(number or pa.types.is_boolean(kind))

    def _infinite(self, values: Any) -> list[Fault]:
        """NaN is a missing value, as everywhere in tidemill; an infinite number is a fault."""
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if not pa.types.is_floating(values.type):
            return []
        odd = pc.fill_null(pc.is_inf(values), False).to_numpy(zero_copy_only=False)
        fault = Fault(self.name, "not_finite", _FINITE, np.flatnonzero(odd))
        return [fault] if odd.any() else []

    def _present(self, texts: Any) -> Any:
        """The texts without those that mean 'missing'."""
        absent = missing_of(texts, self._missing)
        if not (self._missing and pc.any(absent).as_py()):
            return texts
        return pc.if_else(absent, pa.scalar(None, pa.string()), texts)

    def _checked(self, texts: Any) -> Read:
        texts = self._present(texts)
        encoded = texts.dictionary_encode() if pa.types.is_dictionary(self.kind) else None
        if self._are_clean(texts if encoded is None else encoded.dictionary):
            return texts if encoded is None else encoded, []
        bad = self._faulty(texts)
        faults = [self._fault(np.flatnonzero(bad))] if bad.any() else []
        texts = pc.if_else(pa.array(bad), None, texts)
        return texts if encoded is None else texts.dictionary_encode(), faults

    def _are_clean(self, texts: Any) -> bool:
        """Whether nothing is wrong with any of the texts; False may be a false alarm."""
        if len(texts) <= _FEW:
            return all(
                text is None or (self._min <= len(text) <= self._max // 4 and "\0" not in text)
                for text in texts.to_pylist()
            )
        sizes = pc.min_max(pc.binary_length(texts)).as_py()
        if sizes["min"] is None:
            return True
        fits = self._min <= sizes["min"] and sizes["max"] <= self._max
        return bool(fits and not pc.any(pc.match_substring(texts, "\0")).as_py())

    def _checked_codes(self, values: Any) -> Read:
        labels = values.dictionary
        bad_label = self._faulty(labels)
        codes = pc.fill_null(values.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        missing = codes < 0
        bad = np.append(bad_label, False)[codes] & ~missing
        # Shortened before anything is spelled out: one long text may stand for many rows.
        safe = self._present(pc.if_else(pa.array(bad_label), None, labels.cast(pa.string())))
        texts = (
            safe.take(pa.array(codes, mask=missing))
            if len(labels)
            else pa.nulls(len(values), pa.string())
        )
        array = texts.dictionary_encode() if pa.types.is_dictionary(self.kind) else texts
        return array, [self._fault(np.flatnonzero(bad))] if bad.any() else []

    def _faulty(self, texts: Any) -> npt.NDArray[np.bool_]:
        if len(texts) == 0:
            return np.zeros(0, np.bool_)
        size = pc.binary_length(texts)
        long = pc.or_(pc.greater(size, self._max), pc.less(size, self._min))
        odd = pc.match_substring(texts, "\0")
        found: npt.NDArray[np.bool_] = pc.fill_null(pc.or_(long, odd), False).to_numpy(
            zero_copy_only=False
        )
        return found

    def _fault(self, rows: npt.NDArray[np.int64]) -> Fault:
        detail = f"must have {self._min} to {self._max} bytes and no character 0"
        return Fault(self.name, "text", detail, rows)


class IdCells:
    """Event ids: texts, and whole numbers as texts, by the rule of :mod:`tidemill.spelling`."""

    def __init__(self, name: str, max_length: int) -> None:
        self.name = name
        self._texts = TextCells(name, pa.string(), min_length=1, max_length=max_length)

    def read(self, values: Sequence[Any]) -> Read:
        """JSON texts and numbers."""
        kinds = set(map(type, values))
        if kinds <= {str, NONE} or (kinds <= {str, int, NONE} and all(map(_fits_64_bits, values))):
            return self._texts.read(values)
        found, faults = search(self.name, values, _identifier)
        texts, more = self._texts.read(found)
        return texts, [*faults, *more]

    def read_arrow(self, values: Any) -> Read:
        """Strings, whole numbers, floats that are whole; dictionaries of them."""
        kind = decoded_type(values.type)
        if pa.types.is_boolean(kind):
            return wrong_type(self.name, values, pa.string(), "texts or whole numbers")
        if not pa.types.is_floating(kind):
            return self._texts.read_arrow(values)
        if kind != values.type:
            values = values.dictionary_decode()
        texts = identifiers(values)
        given = pc.and_(pc.is_valid(values), pc.invert(pc.is_nan(values)))
        bad = pc.and_(pc.fill_null(given, False), pc.is_null(texts))
        infinite = pc.fill_null(pc.is_inf(values), False).to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(bad.to_numpy(zero_copy_only=False) & ~infinite)
        faults = [Fault(self.name, "type", f"{_NO_ID}another {kind}", rows)] if len(rows) else []
        if infinite.any():
            faults.append(Fault(self.name, "not_finite", _FINITE, np.flatnonzero(infinite)))
        return texts, faults


def _fits_64_bits(value: Any) -> bool:
    return type(value) is not int or -(2**63) <= value < 2**64


def _identifier(value: Any) -> str | int:
    if type(value) is float and value.is_integer() and abs(value) < LARGEST_WHOLE:
        return int(value)
    if type(value) is float and not math.isfinite(value):
        raise Faulty("not_finite", _FINITE)
    if type(value) not in (str, int) or not _fits_64_bits(value):
        kind = "another number" if type(value) in (int, float) else kind_of(value)
        raise Faulty("type", f"{_NO_ID}{kind}")
    return value  # type: ignore[no-any-return]


class ClassCells:
    """Labels of the classes that the model knows."""

    def __init__(self, name: str, classes: tuple[str, ...], *, encoded: bool) -> None:
        self.name, self._classes, self._encoded = name, pa.array(classes, pa.string()), encoded
        self._names = frozenset(classes)
        self._texts = TextCells(name, pa.string())

    def read(self, values: Sequence[Any]) -> Read:
        """Texts, numbers or booleans that name a class."""
        return self._known(*self._texts.read(values))

    def read_arrow(self, values: Any) -> Read:
        """Whatever reads as text."""
        return self._known(*self._texts.read_arrow(values))

    def _known(self, texts: Any, faults: list[Fault]) -> Read:
        codes = pc.index_in(texts, self._classes)
        if codes.null_count > texts.null_count:
            named = as_known(texts.dictionary_encode(), self._names)
            codes = pc.index_in(named.cast(pa.string()), self._classes)
        unknown = pc.and_(pc.is_valid(texts), pc.is_null(codes)).to_numpy(zero_copy_only=False)
        if unknown.any():
            names = ", ".join(self._classes.slice(0, 10).to_pylist())
            detail = f"must be one of the model's classes: {names}"
            faults = [*faults, Fault(self.name, "unknown_class", detail, np.flatnonzero(unknown))]
        coded = pa.DictionaryArray.from_arrays(codes.cast(pa.int32()), self._classes)
        return (coded if self._encoded else coded.cast(pa.string())), faults


def _label(value: Any) -> str | None:
    if isinstance(value, int) and value.bit_length() > 256:
        return "\0"  # Python refuses to write it out, and it is no category
    return None if value is None else category(value)
