"""Raw columns out of whatever holds them: a pyarrow Table, a pandas DataFrame, a dict of arrays.

Every reader returns a numpy array of the frame's rows; what is missing is NaN, NaT or the
value that the lookup has for None.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from tidemill.errors import SchemaMismatch, first_few, nearest
from tidemill.spelling import FALSE_TEXTS, TRUE_TEXTS, category, known_category

__all__ = [
    "Frame",
    "Lookup",
    "Raw",
    "read_codes",
    "read_flags",
    "read_numbers",
    "read_times",
    "take",
]

# pyarrow ships no types, so a union with its classes would say no more than Any does.
Frame: TypeAlias = Any  # pandas.DataFrame | pyarrow.Table | pyarrow.RecordBatch | Mapping
Raw: TypeAlias = Any  # pyarrow.ChunkedArray | pandas.Categorical | numpy.ndarray
Lookup: TypeAlias = Mapping[str | None, float]

_FEW = 64
_LONG = 1024
_FLAGS: Lookup = {
    None: -1.0,
    **{
        form: flag
        for flag, texts in ((1.0, TRUE_TEXTS), (0.0, FALSE_TEXTS))
        for text in texts
        for form in (text, text.title(), text.upper())
    },
}


def take(frame: Frame, names: Sequence[str]) -> tuple[list[Raw], int]:
    """The columns ``names`` of ``frame``, in that order, and the number of rows.

    Raises
    ------
    SchemaMismatch
        If ``frame`` is of another kind, lacks columns, or its columns differ in length.
    """
    if isinstance(frame, (pa.Table, pa.RecordBatch)):
        available: Sequence[str] = frame.schema.names
    elif isinstance(frame, pd.DataFrame):
        available = frame.columns.tolist()
    elif isinstance(frame, Mapping):
        available = list(frame)
    else:
        raise SchemaMismatch(
            f"a {type(frame).__name__} has no named columns to reduce",
            remedy="give a pandas DataFrame, a pyarrow Table or a dict of arrays",
            given=type(frame).__name__,
        )
    known = set(available)
    missing = [name for name in names if name not in known]
    if missing:
        close = nearest(missing[0], [str(name) for name in available])
        raise SchemaMismatch(
            f"the data lack {len(missing)} of {len(names)} features: {first_few(missing, 10)}",
            remedy=f"rename {close!r} to {missing[0]!r}" if close else "add the missing columns",
            missing=missing,
            nearest=close,
        )
    columns = [_column(frame, name) for name in names]
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise SchemaMismatch(
            f"the columns differ in length: {sorted(lengths)}",
            remedy="give every column the same number of values",
            lengths=sorted(lengths),
        )
    return columns, lengths.pop() if lengths else 0


def read_numbers(column: Raw, name: str) -> npt.NDArray[Any]:
    """Numbers as they are stored; (rows,) of an integer or float type, NaN where missing."""
    if isinstance(column, pa.ChunkedArray):
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            column = _guarded(name, "numbers", column, lambda part: part.cast(pa.float64()))
        result: npt.NDArray[Any] = column.to_numpy()
        return result
    array = np.asarray(column)
    if array.dtype.kind in "fiu":
        return array
    return np.asarray(_guarded(name, "numbers", array, _to_floats))


def read_flags(column: Raw, name: str) -> npt.NDArray[np.float32]:
    """Booleans as 0 and 1; (rows,) float32, NaN where missing; texts such as Yes and f too."""
    if isinstance(column, pa.ChunkedArray) and pa.types.is_boolean(column.type):
        flags: npt.NDArray[np.float32] = column.cast(pa.float32()).to_numpy()
        return flags
    if isinstance(column, np.ndarray) and column.dtype.kind in "bfiu":
        return np.asarray(column, np.float32)
    labels = read_codes(column, _FLAGS, -2.0)
    strange = np.flatnonzero(labels == -2.0)
    if len(strange):
        row = int(strange[0])
        raise SchemaMismatch(
            f"the column {name!r} holds texts that are not true or false: {_shown(column, row)}",
            remedy="give booleans, or texts such as true and false",
            column=name,
            row=row,
        )
    return np.where(labels < 0, np.nan, labels).astype(np.float32)


def read_times(column: Raw, name: str) -> npt.NDArray[np.datetime64]:
    """Times as UTC-naive (rows,) datetime64[us], NaT where missing; ISO texts are read."""
    if isinstance(column, pa.ChunkedArray) and pa.types.is_temporal(column.type):
        stamps = _guarded(
            name, "times", column, lambda part: part.cast(pa.timestamp("us"), safe=False)
        )
        times: npt.NDArray[np.datetime64] = stamps.to_numpy()
        return times
    array = column.to_numpy() if isinstance(column, pa.ChunkedArray) else np.asarray(column)
    if array.dtype.kind == "M":
        return array.astype("M8[us]")
    if array.dtype.kind in "fiub" and not np.isnan(array.astype(np.float64)).all():
        raise SchemaMismatch(
            f"the column {name!r} holds numbers where times are expected",
            remedy="give timestamps or ISO 8601 texts",
            column=name,
        )
    parsed = _guarded(name, "times", array, _to_times)
    return np.asarray(parsed.dt.tz_localize(None), dtype="M8[us]")


def read_codes(column: Raw, lookup: Lookup, default: float) -> npt.NDArray[np.float64]:
    """What ``lookup`` has for each label (for None where missing), else ``default``; (rows,).

    Dictionaries are looked up once for each of their labels, not for each row.
    """
    if isinstance(column, pa.ChunkedArray):
        parts = [_arrow_codes(chunk, lookup, default) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.empty(0)
    if isinstance(column, pd.Categorical):
        table = _table(column.categories.tolist(), lookup, default)
        return np.asarray(table[column.codes])
    try:
        codes, labels = pd.factorize(column) if len(column) > _FEW else (None, None)
    except TypeError:  # a list or an object among the cells
        codes, labels = None, None
    if codes is None or labels is None:
        return np.array([_looked_up(v, lookup, default) for v in column.tolist()], np.float64)
    return _table(labels.tolist(), lookup, default)[codes]


def _column(frame: Frame, name: str) -> Raw:
    column = frame[name]
    if isinstance(column, pd.Series):
        if isinstance(column.dtype, pd.CategoricalDtype):
            return column.array
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            return np.asarray(column.dt.tz_convert(None))
        return np.asarray(column)
    if isinstance(column, pa.Array):
        return pa.chunked_array([column])
    if isinstance(column, pa.ChunkedArray):
        return column
    array = np.asarray(column)
    if array.dtype.kind in "US":
        array = array.astype(object)
    return array.reshape(1) if array.ndim == 0 else array


def _arrow_codes(chunk: pa.Array, lookup: Lookup, default: float) -> npt.NDArray[np.float64]:
    if not pa.types.is_dictionary(chunk.type):
        chunk = chunk.dictionary_encode()
    labels = chunk.dictionary.to_pylist()
    indices = chunk.indices
    if indices.null_count:
        indices = indices.fill_null(len(labels))
    codes: npt.NDArray[np.float64] = _table(labels, lookup, default)[indices.to_numpy()]
    return codes


def _table(labels: list[Any], lookup: Lookup, default: float) -> npt.NDArray[np.float64]:
    # The last entry serves what is missing: index len(labels) as well as -1.
    values = [_looked_up(label, lookup, default) for label in labels]
    return np.array([*values, lookup.get(None, default)], np.float64)


def _looked_up(value: Any, lookup: Lookup, default: float) -> float:
    if value is None or value is pd.NA or value is pd.NaT or _is_nan(value):
        return lookup.get(None, default)
    if isinstance(value, (np.bool_, np.number)):
        value = value.item()
    return lookup.get(known_category(category(value), lookup), default)


def _is_nan(value: Any) -> bool:
    unequal = value != value
    return isinstance(unequal, (bool, np.bool_)) and bool(unequal)  # not of an array in a cell


def _fill_missing(array: npt.NDArray[Any], value: float) -> npt.NDArray[Any]:
    missing = pd.isna(array)
    if missing.any():
        array = array.copy()
        array[missing] = value
    return array


def _to_floats(array: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return _fill_missing(array, np.nan).astype(np.float64)


def _to_times(array: npt.NDArray[Any]) -> Any:
    if any(isinstance(c, (int, float, np.number)) and c == c for c in array.tolist()):
        raise TypeError("a number is no time")
    return pd.to_datetime(pd.Series(array, dtype=object), utc=True, format="ISO8601")


_CANNOT = (ValueError, TypeError, OverflowError, pa.ArrowException)


def _guarded(name: str, wanted: str, column: Raw, convert: Callable[[Raw], Any]) -> Any:
    """What ``convert`` makes of a column; where it cannot, the first row of that is named."""
    try:
        return convert(column)
    except _CANNOT as exc:
        row = _first_bad(column, convert)
        where = str(exc).splitlines()[0][:200] if row is None else _shown(column, row)
        raise SchemaMismatch(
            f"the column {name!r} cannot be read as {wanted}: {where}",
            remedy=f"give {wanted} in {name!r}",
            column=name,
            row=row,
        ) from exc


def _first_bad(column: Raw, convert: Callable[[Raw], Any]) -> int | None:
    """The first row that ``convert`` refuses; None if it refuses the type of all."""

    def fails(rows: int) -> bool:
        try:
            convert(column[:rows])
        except _CANNOT:
            return True
        return False

    return None if fails(0) else bisect_left(range(1, len(column)), True, key=fails)


def _shown(column: Raw, row: int) -> str:
    value = column[row].as_py() if isinstance(column, pa.ChunkedArray) else column[row]
    long = isinstance(value, int) and value.bit_length() > _LONG
    return f"row {row} (counted from 0) holds {'a number beyond all' if long else repr(value)[:80]}"
