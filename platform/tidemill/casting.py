"""Texts and Arrow arrays to the schema's types, cell by cell where one does not fit.

The one place where a text becomes a value, whatever file it came in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.cells import CellFaults, Cells, all_faults, faults_at, narrowed
from tidemill.conventions import parse_convention
from tidemill.numbers import WHOLE, clean_numbers, inexact, numbers_of, strays
from tidemill.schema import SourceColumn
from tidemill.spelling import (
    FALSE_TEXTS,
    FIRST_MICROS,
    LAST_MICROS,
    TRUE_TEXTS,
    categories,
    finer_than_micros,
    missing_of,
    moments,
)
from tidemill.typed_cells import any_beyond, floats_of, moments_of

__all__ = ["booleans_of", "cast_column", "is_text"]

_ANY = SourceColumn("", "text")


def cast_column(
    values: pa.Array,
    wanted: pa.DataType,
    missing_values: Collection[str] = (),
    column: SourceColumn = _ANY,
) -> Cells:
    """Cast an array of any plain type to the physical type of a column.

    NaN becomes null; infinities, and what is not of the type, become null and faults.

    Parameters
    ----------
    values : pyarrow.Array
        Numbers are numbers, times and dates are times (numbers of them are seconds since 1970);
        what is neither texts nor of the wanted kind is what its text says.
    wanted : pyarrow.DataType
        One of the physical types of a schema's column.
    missing_values : collection of str
        Texts that mean 'missing'; the empty one always does, but for categories.
    column : SourceColumn
        How the texts are read; by default in the plain way, and numbers in any spelling.

    >>> cells = cast_column(pa.array(["1", "x", "-inf", ""]), pa.float32())
    >>> cells.values.to_pylist(), cells.faults.indices.tolist(), cells.faults.texts
    ([1.0, None, None, None], [1, 2], ['x', '-inf'])
    """
    try:
        return _cast(values, wanted, missing_values, column)
    except pa.ArrowNotImplementedError:  # a list where a number is wanted: no value of it
        return Cells(pa.nulls(len(values), wanted), faults_at(values, values.is_valid()))


def _cast(
    values: pa.Array, wanted: pa.DataType, missing_values: Collection[str], column: SourceColumn
) -> Cells:
    if pa.types.is_dictionary(values.type) and not is_text(values.type):
        values = values.dictionary_decode()
    if is_text(values.type):
        if _is_textual(wanted):
            return Cells(_categories(values, wanted, missing_values))
        return _of_texts(values, wanted, missing_values, column)
    if _is_textual(wanted):
        texts, faults = _as_texts(values)
        return Cells(texts if pa.types.is_string(wanted) else texts.dictionary_encode(), faults)
    if not _is_such(values.type, wanted):
        texts, faults = _as_texts(values)
        cells = _of_texts(texts, wanted, missing_values, column)
        return replace(cells, faults=all_faults(faults, cells.faults))
    if pa.types.is_floating(wanted):
        return floats_of(values, wanted, exact=bool(column.style))
    if pa.types.is_timestamp(wanted):
        return moments_of(values, wanted)
    if pa.types.is_integer(wanted) and pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
    return Cells(*_guarded(values, lambda array: array.cast(wanted)))


def _is_textual(wanted: pa.DataType) -> bool:
    return bool(pa.types.is_string(wanted) or pa.types.is_dictionary(wanted))


def _is_such(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of a type are what is wanted; others are what their texts say.

    So 2 is neither true nor false, and no number is a time, in whatever format.
    """
    time = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    if pa.types.is_timestamp(wanted):
        return bool(time)
    if pa.types.is_boolean(wanted):
        return bool(pa.types.is_boolean(kind))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return True
    counted = time or pa.types.is_duration(kind) or pa.types.is_boolean(kind)
    return bool(counted and pa.types.is_floating(wanted))


def _as_texts(values: pa.Array) -> tuple[pa.Array, CellFaults | None]:
    """The texts of numbers, booleans, times; infinities have none and are faults."""
    texts, unread = _guarded(values, categories)
    return texts, all_faults(
        unread, faults_at(values, pc.and_(pc.is_null(texts), _infinite(values)))
    )


def booleans_of(words: pa.Array) -> pa.Array:
    """True and false, in whatever case; null where a text says neither.

    >>> booleans_of(pa.array(["Yes", "1.0", "-0.0", "2", "01"])).to_pylist()
    [True, True, False, None, None]
    """
    # A number says what it is worth: frames with gaps write 1 as 1.0, in formats with types too.
    whole = pc.replace_substring_regex(words, r"^(1|-?0)\.0*$", r"\1")
    lower = pc.utf8_lower(pc.if_else(pc.equal(whole, "-0"), "0", whole))
    true = pc.is_in(lower, value_set=pa.array(TRUE_TEXTS))
    known = pc.or_(true, pc.is_in(lower, value_set=pa.array(FALSE_TEXTS)))
    return pc.if_else(known, true, pa.scalar(None, pa.bool_()))


def is_text(kind: pa.DataType) -> bool:
    """Whether texts, or a dictionary of them."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _categories(values: pa.Array, wanted: pa.DataType, missing: Collection[str]) -> pa.Array:
    encoded = _encoded(values)
    words = encoded.dictionary
    absent = missing_of(words, missing)
    if pc.any(absent).as_py():
        words = pc.if_else(absent, pa.scalar(None, pa.string()), words)
        encoded = words.take(encoded.indices).dictionary_encode()
    return encoded if pa.types.is_dictionary(wanted) else encoded.dictionary_decode()


def _of_texts(
    values: pa.Array, wanted: pa.DataType, missing: Collection[str], column: SourceColumn
) -> Cells:
    at_once = None if pa.types.is_dictionary(values.type) else _at_once(values, wanted, column)
    if at_once is not None:
        return narrowed(at_once, values, wanted)
    # Each different text is looked at once: dirty columns cost little more than clean ones.
    encoded = _encoded(values)
    trimmed = pc.utf8_trim_whitespace(encoded.dictionary)
    absent = missing_of(trimmed, {*missing, ""})
    trimmed = pc.if_else(absent, pa.scalar(None, pa.string()), trimmed)
    cast = _each(trimmed, wanted, column)
    unfit = pc.and_(pc.is_valid(trimmed), pc.is_null(cast))
    cut = 0
    if pa.types.is_timestamp(wanted):
        finer = pc.and_(finer_than_micros(trimmed), pc.is_valid(cast))
        cut = _count(finer, encoded)
    elif pa.types.is_float64(wanted) and not column.style:
        cut = _count(pa.array(inexact(trimmed, cast)), encoded)
    faults = faults_at(encoded, unfit.take(encoded.indices))
    return narrowed(Cells(cast.take(encoded.indices), faults, cut=cut), encoded, wanted)


def _at_once(texts: pa.Array, wanted: pa.DataType, column: SourceColumn) -> Cells | None:
    """Clean cells by Arrow's own cast; None where any of them wants a closer look."""
    if column.convention is not None or not pa.types.is_string(texts.type):
        return None
    if pa.types.is_floating(wanted):
        values = clean_numbers(texts)
        if values is None or (not column.style and any_beyond(values)):
            return None
        whole = column.type == "integer"
        if not strays(texts, values, column.style, whole=whole).any():
            return Cells(values)
    if pa.types.is_timestamp(wanted):
        try:
            times = texts.cast(wanted)
        except pa.ArrowInvalid:
            return None
        ends = pc.min_max(times.cast(pa.int64())).as_py()
        if ends["min"] is not None and ends["min"] >= FIRST_MICROS and ends["max"] <= LAST_MICROS:
            return Cells(times)
    return None


def _each(words: pa.Array, wanted: pa.DataType, column: SourceColumn) -> pa.Array:
    """What each different text is; null where it is not of the type."""
    if pa.types.is_boolean(wanted):
        return booleans_of(words)
    convention = None if column.convention is None else parse_convention(column.convention)
    if pa.types.is_timestamp(wanted):
        if convention is not None and convention.plain == "datetime":
            words = convention.read(words)
        return moments(words, wanted)
    if convention is not None and convention.plain == "number":
        words = convention.read(words)
    if pa.types.is_integer(wanted):
        sound = pc.match_substring_regex(words, WHOLE)
        whole = pc.if_else(sound, words, pa.scalar(None, pa.string()))
        whole = pc.replace_substring_regex(whole, r"^\+|\.0*$", "")
        values = _guarded(whole, lambda array: array.cast(pa.int64()))[0]
    else:
        values = numbers_of(words)
    stray = strays(
        words,
        values,
        column.style,
        whole=column.type == "integer",
        exact=pa.types.is_floating(wanted),
    )
    return pc.if_else(pa.array(stray), pa.scalar(None, values.type), values)


def _count(marked: pa.Array, encoded: pa.Array) -> int:
    """How many rows have a marked word."""
    return pc.sum(marked.take(encoded.indices)).as_py() or 0


def _guarded(
    values: pa.Array, cast: Callable[[pa.Array], pa.Array]
) -> tuple[pa.Array, CellFaults | None]:
    """Cast a whole array, or, if a cell does not fit, cell by cell."""
    try:
        return cast(values), None
    except pa.ArrowInvalid:
        kind = cast(values.slice(0, 0)).type
    cells, faulty = [], np.zeros(len(values), bool)
    for index in range(len(values)):
        try:
            cells.append(cast(values.slice(index, 1))[0].as_py())
        except pa.ArrowInvalid:
            cells.append(None)
            faulty[index] = True
    return pa.array(cells, kind), faults_at(values, pa.array(faulty))


def _infinite(values: pa.Array) -> pa.Array:
    if not pa.types.is_floating(values.type):
        return pa.array(np.zeros(len(values), np.bool_))
    return pc.fill_null(pc.is_inf(values), False)


def _encoded(values: pa.Array) -> pa.Array:
    """A dictionary of plain strings, int32 codes."""
    if not pa.types.is_dictionary(values.type):
        return values.cast(pa.string()).dictionary_encode()
    return values.cast(pa.dictionary(pa.int32(), pa.string()))
