"""Texts and Arrow arrays to the schema's types, cell by cell where one does not fit.

The one place where a text becomes a value, whatever file it came in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.conventions import parse_convention
from tidemill.numbers import WHOLE, clean_numbers, inexact, numbers_of, strays
from tidemill.schema import SourceColumn
from tidemill.spelling import (
    FALSE_TEXTS,
    FIRST_MICROS,
    LARGEST_WHOLE,
    LAST_MICROS,
    TRUE_TEXTS,
    categories,
    finer_than_micros,
    fits_float32,
    missing_of,
    moments,
    whole_micros,
)

__all__ = ["CellFaults", "Cells", "booleans_of", "cast_column", "is_text"]

_MAX_TEXT = 200
_ANY = SourceColumn("", "text")
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True, slots=True)
class CellFaults:
    """Cells of one column whose content is not of the column's type; null in the table.

    Parameters
    ----------
    indices : (n,) int64
        Rows of the batch's table, ascending.
    texts : list of str
        What the source holds there, at most 200 characters each.
    """

    indices: npt.NDArray[np.int64]
    texts: list[str]

    def merge(self, other: CellFaults) -> CellFaults:
        """Both, by row."""
        indices = np.concatenate([self.indices, other.indices])
        order = np.argsort(indices, kind="stable")
        texts = [*self.texts, *other.texts]
        return CellFaults(indices[order], [texts[i] for i in order])


@dataclass(frozen=True, slots=True)
class Cells:
    """Some cells of a column, as the schema has them.

    Parameters
    ----------
    values : pyarrow.Array
        Null where a cell is missing or a fault.
    faults : CellFaults or None
        Cells that are not of the type.
    misfits : CellFaults or None
        Numbers that float32 would alter; the nearest is in ``values``.
    cut : int
        Times whose digits beyond the microsecond were cut off, and whole numbers of a column that
        is stated to be numeric which float64 does not hold: the nearest is in ``values``.
    """

    values: pa.Array
    faults: CellFaults | None = None
    misfits: CellFaults | None = None
    cut: int = 0


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
        return Cells(pa.nulls(len(values), wanted), _faults(values, values.is_valid()))


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
        return replace(cells, faults=_all(faults, cells.faults))
    if pa.types.is_floating(wanted):
        return _to_float(values, wanted, exact=bool(column.style))
    if pa.types.is_timestamp(wanted):
        return _to_moment(values, wanted)
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
    return texts, _all(unread, _faults(values, pc.and_(pc.is_null(texts), _infinite(values))))


def booleans_of(words: pa.Array) -> pa.Array:
    """True and false, in whatever case; null where a text says neither."""
    lower = pc.utf8_lower(words)
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
        return _narrowed(at_once, values, wanted)
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
    faults = _faults(encoded, unfit.take(encoded.indices))
    return _narrowed(Cells(cast.take(encoded.indices), faults, cut=cut), encoded, wanted)


def _at_once(texts: pa.Array, wanted: pa.DataType, column: SourceColumn) -> Cells | None:
    """Clean cells by Arrow's own cast; None where any of them wants a closer look."""
    if column.convention is not None or not pa.types.is_string(texts.type):
        return None
    if pa.types.is_floating(wanted):
        values = clean_numbers(texts)
        if values is None or (not column.style and _beyond(values)):
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


def _narrowed(cells: Cells, original: pa.Array, wanted: pa.DataType) -> Cells:
    """Float64 as float32 where that is wanted, with what it would alter."""
    if cells.values.type == wanted:
        return cells
    if not pa.types.is_float32(wanted):
        return Cells(cells.values.cast(wanted), cells.faults, cut=cells.cut)
    numbers = cells.values.to_numpy(zero_copy_only=False)
    fits = fits_float32(numbers)
    narrow = cells.values.cast(wanted, safe=False)
    beyond = pc.is_inf(narrow)
    if pc.any(beyond).as_py():  # what float32 cannot hold at all is no number of the column
        fits |= pc.fill_null(beyond, True).to_numpy(zero_copy_only=False)
        narrow = pc.if_else(beyond, pa.scalar(None, wanted), narrow)
        both = _all(cells.faults, _faults(original, beyond))
    else:
        both = cells.faults
    return Cells(narrow, both, _faults(original, pa.array(~fits)), cells.cut)


def _to_float(values: pa.Array, wanted: pa.DataType, *, exact: bool) -> Cells:
    kind = values.type
    held = wanted if pa.types.is_float32(kind) or pa.types.is_float16(kind) else pa.float64()
    if pa.types.is_temporal(kind):
        return _narrowed(_to_seconds(values), values, wanted)
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    if pa.types.is_decimal(kind):  # Arrow's own cast is not to the nearest number
        numbers = numbers_of(values.cast(pa.string()))
    else:
        numbers = values.cast(held, safe=False)
    infinite = pc.is_inf(numbers)
    faults, cut = _faults(values, infinite), 0
    if pc.all(pc.is_finite(numbers), skip_nulls=True).as_py() is False:
        numbers = pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, held))
    if (pa.types.is_integer(kind) or pa.types.is_decimal(kind)) and _beyond(numbers):
        lost = pa.array(inexact(values.cast(pa.string()), numbers))
        if exact:
            faults = _faults(values, lost)
            numbers = pc.if_else(lost, pa.scalar(None, pa.float64()), numbers)
        elif pa.types.is_float64(wanted):
            cut = pc.sum(lost).as_py() or 0
    return _narrowed(Cells(numbers, faults, cut=cut), values, wanted)


def _to_seconds(values: pa.Array) -> Cells:
    """Durations, and times since 1970."""
    if pa.types.is_duration(values.type):
        counted, per_second = values.cast(pa.int64()), _PER_SECOND[values.type.unit]
        return Cells(pc.divide(counted.cast(pa.float64(), safe=False), float(per_second)))
    moments = _to_moment(values, pa.timestamp("us"))
    micros = moments.values.cast(pa.int64()).cast(pa.float64(), safe=False)
    return Cells(pc.divide(micros, 1e6), moments.faults, cut=moments.cut)


def _beyond(numbers: pa.Array) -> bool:
    """Whether there is a number of which float64 does not hold every next whole one."""
    largest = pc.max(pc.abs(numbers)).as_py()
    return largest is not None and largest >= LARGEST_WHOLE


def _count(marked: pa.Array, encoded: pa.Array) -> int:
    """How many rows have a marked word."""
    return pc.sum(marked.take(encoded.indices)).as_py() or 0


def _to_moment(values: pa.Array, wanted: pa.DataType) -> Cells:
    kind = values.type
    if pa.types.is_date(kind):
        values = values.cast(pa.timestamp("s" if pa.types.is_date32(kind) else "ms"))
    unit = values.type.unit
    counted = values.cast(pa.timestamp(unit, values.type.tz)).cast(pa.int64())
    scale, micros = _PER_SECOND[unit], 10**6
    low, high = FIRST_MICROS * scale // micros, -(-LAST_MICROS * scale // micros)
    outside = pc.or_(
        pc.less(counted, max(low, -(2**63))), pc.greater(counted, min(high, 2**63 - 1))
    )
    faults = None
    if pc.any(outside).as_py():
        shown = pc.binary_join_element_wise(counted.cast(pa.string()), f" {unit} since 1970", "")
        faults = _faults(shown, outside)
        counted = pc.if_else(outside, pa.scalar(None, pa.int64()), counted)
    times, cut = counted.cast(pa.timestamp(unit)), 0
    if unit == "ns":
        times, finer = whole_micros(times)
        cut = pc.sum(finer).as_py() or 0
    return Cells(times.cast(wanted, safe=False), faults, cut=cut)


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
    return pa.array(cells, kind), _faults(values, pa.array(faulty))


def _infinite(values: pa.Array) -> pa.Array:
    if not pa.types.is_floating(values.type):
        return pa.array(np.zeros(len(values), np.bool_))
    return pc.fill_null(pc.is_inf(values), False)


def _faults(original: pa.Array, faulty: pa.Array) -> CellFaults | None:
    indices = np.flatnonzero(pc.fill_null(faulty, False).to_numpy(zero_copy_only=False))
    if not len(indices):
        return None
    cells = original.take(pa.array(indices))
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary.take(cells.indices)
    return CellFaults(
        indices.astype(np.int64), [str(cell)[:_MAX_TEXT] for cell in cells.to_pylist()]
    )


def _all(a: CellFaults | None, b: CellFaults | None) -> CellFaults | None:
    return b if a is None else a if b is None else a.merge(b)


def _encoded(values: pa.Array) -> pa.Array:
    """A dictionary of plain strings, int32 codes."""
    if not pa.types.is_dictionary(values.type):
        return values.cast(pa.string()).dictionary_encode()
    return values.cast(pa.dictionary(pa.int32(), pa.string()))
