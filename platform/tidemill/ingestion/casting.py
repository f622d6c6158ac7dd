"""Texts and Arrow arrays to the schema's types, cell by cell where one does not fit."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.ingestion.parsed import CellFaults
from tidemill.spelling import FALSE_TEXTS, TRUE_TEXTS, categories, moments

__all__ = ["cast_column", "cast_texts"]

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_WHOLE = r"^[+-]?\d+(\.0*)?$"
_MAX_TEXT = 200


def cast_column(
    values: pa.Array, wanted: pa.DataType, null_values: Collection[str]
) -> tuple[pa.Array, CellFaults | None]:
    """Cast an array of any plain type to the physical type of a column.

    NaN becomes null; infinities, and texts that are not of the type, become null and faults.

    Parameters
    ----------
    values : pyarrow.Array
    wanted : pyarrow.DataType
        One of the physical types of a schema's column.
    null_values : collection of str
        Texts that mean 'missing' where a number, boolean or time is wanted.

    Returns
    -------
    array : pyarrow.Array
    faults : CellFaults or None

    >>> array, faults = cast_column(pa.array(["1", "x", "-inf", ""]), pa.float32(), {""})
    >>> array.to_pylist(), faults.indices.tolist(), faults.texts
    ([1.0, None, None, None], [1, 2], ['x', '-inf'])
    """
    if pa.types.is_dictionary(wanted):
        return _categories(values, wanted), None
    if _is_text(values.type) and not pa.types.is_string(wanted):
        return cast_texts(_plain(values), wanted, null_values)
    if pa.types.is_string(wanted):
        return categories(values), None
    if pa.types.is_floating(wanted):
        return _finite(values, _to_float(values, wanted))
    if pa.types.is_timestamp(wanted):
        return _to_moment(values, wanted), None
    if pa.types.is_integer(wanted) and pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
    return _guarded(values, lambda array: array.cast(wanted))


def cast_texts(
    texts: pa.Array, wanted: pa.DataType, null_values: Collection[str]
) -> tuple[pa.Array, CellFaults | None]:
    """Cast texts to a number, boolean or time type; what does not fit is null and a fault."""
    # Each different text is looked at once: dirty columns cost little more than clean ones.
    encoded = texts if pa.types.is_dictionary(texts.type) else texts.dictionary_encode()
    words = encoded.dictionary
    trimmed = pc.utf8_trim_whitespace(words)
    missing = pc.is_in(trimmed, value_set=pa.array([*null_values, ""], pa.string()))
    trimmed = pc.if_else(missing, pa.scalar(None, pa.string()), trimmed)
    if pa.types.is_boolean(wanted):
        cast = _booleans(trimmed)
    elif pa.types.is_timestamp(wanted):
        cast = moments(trimmed, wanted)
    elif pa.types.is_integer(wanted):
        cast = _wholes(trimmed)
    else:
        cast = _numbers(trimmed, wanted)
    unfit = pc.and_(pc.is_valid(trimmed), pc.is_null(cast))
    values = cast.take(encoded.indices)
    if not pc.any(unfit).as_py():
        return values, None
    return values, _faults(encoded, unfit.take(encoded.indices))


def _numbers(texts: pa.Array, wanted: pa.DataType) -> pa.Array:
    try:
        cast = texts.cast(wanted)
    except pa.ArrowInvalid:
        sound = pc.match_substring_regex(texts, _NUMBER)
        texts = pc.if_else(sound, texts, pa.scalar(None, pa.string()))
        cast = pc.replace_substring_regex(texts, r"^\+", "").cast(wanted)
    return pc.if_else(pc.is_finite(cast), cast, pa.scalar(None, wanted))


def _wholes(texts: pa.Array) -> pa.Array:
    sound = pc.match_substring_regex(texts, _WHOLE)
    texts = pc.if_else(sound, texts, pa.scalar(None, pa.string()))
    texts = pc.replace_substring_regex(texts, r"^\+|\.0*$", "")
    return _guarded(texts, lambda array: array.cast(pa.int64()))[0]


def _booleans(texts: pa.Array) -> pa.Array:
    lower = pc.utf8_lower(texts)
    true = pc.is_in(lower, value_set=pa.array(TRUE_TEXTS))
    known = pc.or_(true, pc.is_in(lower, value_set=pa.array(FALSE_TEXTS)))
    return pc.if_else(known, true, pa.scalar(None, pa.bool_()))


def _to_float(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    kind = values.type
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind):
        values = values.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        return pc.divide(values.cast(pa.float64()), 1e6).cast(wanted, safe=False)
    if pa.types.is_duration(kind):
        values = values.cast(pa.duration("us"), safe=False).cast(pa.int64())
        return pc.divide(values.cast(pa.float64()), 1e6).cast(wanted, safe=False)
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    return values.cast(pa.float64(), safe=False).cast(wanted, safe=False)


def _finite(original: pa.Array, cast: pa.Array) -> tuple[pa.Array, CellFaults | None]:
    faulty = pc.is_inf(cast)
    if pc.any(pc.is_nan(cast)).as_py() or pc.any(faulty).as_py():
        cast = pc.if_else(pc.is_finite(cast), cast, pa.scalar(None, cast.type))
    return cast, _faults(original, faulty)


def _to_moment(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    kind = values.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        values = values.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.timestamp(kind.unit))
    return values.cast(wanted, safe=False)


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


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _plain(values: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.cast(pa.string())


def _categories(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(values.type) and _is_text(values.type):
        return values.cast(wanted)
    return categories(values).dictionary_encode()
