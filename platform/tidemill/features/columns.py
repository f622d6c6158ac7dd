"""Raw columns out of whatever holds them: a pyarrow Table, a pandas DataFrame, a dict of arrays.

Cells are read as those of the table that was learnt from (:mod:`tidemill.casting`): a frame gives
what ``tidemill score`` makes of the same rows in a file, or is refused by column and row. What
the readers return are numpy arrays; what is missing is NaN, NaT or what the lookup has for None.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.casting import cast_column
from tidemill.cells import Cells
from tidemill.errors import SchemaMismatch, first_few, nearest
from tidemill.schema import SourceColumn
from tidemill.spelling import category, known_category

__all__ = [
    "Frame",
    "Lookup",
    "Raw",
    "Reading",
    "read_codes",
    "read_flags",
    "read_numbers",
    "read_times",
    "take",
]

# pyarrow ships no types, so a union with its classes would say no more than Any does.
Frame: TypeAlias = Any  # pandas.DataFrame | pyarrow.Table | pyarrow.RecordBatch | Mapping
Raw: TypeAlias = Any  # pyarrow.ChunkedArray | pandas.Series | numpy.ndarray
Lookup: TypeAlias = Mapping[str | None, float]

_LONG = 1024
_BEYOND = "a number beyond all"
_GAPS = {type(None), type(pd.NA), type(pd.NaT)}
_CODES = pa.dictionary(pa.int32(), pa.string())
_WANTED: Mapping[str, tuple[pa.DataType, str]] = {
    "numeric": (pa.float64(), "numbers"),
    "boolean": (pa.bool_(), "true or false"),
    "datetime": (pa.timestamp("us"), "times"),
    "one_hot": (_CODES, "categories"),
    "ordinal": (_CODES, "categories"),
    "target": (_CODES, "categories"),
    "text": (pa.string(), "texts"),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How the cells of a feature are read.

    Parameters
    ----------
    name : str
    wanted : pyarrow.DataType
        As in the table that was learnt from.
    words : str
        What that is called.
    source : SourceColumn
        How its texts were written there.
    missing : tuple of str
        Texts that mean 'missing'.
    settled : bool
        Whether ``wanted`` is known. Reducers of earlier revisions tell the kind alone; Arrow's
        numbers of any width are taken as they are then.
    """

    name: str
    wanted: pa.DataType
    words: str
    source: SourceColumn
    missing: tuple[str, ...]
    settled: bool

    @classmethod
    def of(cls, feature: Mapping[str, Any], missing: Sequence[str] = ()) -> Self:
        """That of a feature as :class:`tidemill.features.reducer.Reducer` describes it."""
        wanted, words = _WANTED[feature["kind"]]
        narrow, source = feature.get("narrow"), feature.get("source", {})
        return cls(
            feature["name"],
            pa.float32() if narrow else wanted,
            words,
            SourceColumn(feature["name"], **{"type": "text", **source}),
            tuple(missing),
            settled=narrow is not None or feature["kind"] != "numeric",
        )

    def typed(self, column: Raw) -> pa.Array:
        """The column in the wanted type, an Arrow array or chunked array.

        Raises
        ------
        SchemaMismatch
            Of a cell that cannot be read; an infinite number is a missing one.
        """
        if isinstance(column, pa.ChunkedArray):
            if self._is_typed(column.type):
                return column
            cells = column.combine_chunks()
        else:
            cells = _arrow(column)
        found = self._cast(cells, column)
        number = pa.types.is_floating(cells.type) and pa.types.is_floating(self.wanted)
        if found.faults is not None and not number:
            self._refuse(column, int(found.faults.indices[0]))
        return found.values

    def _cast(self, cells: pa.Array, column: Raw) -> Cells:
        plain = replace(self.source, convention=None)
        if self.source == plain or isinstance(column, pa.ChunkedArray) or not _is_mixed(column):
            return cast_column(cells, self.wanted, self.missing, self.source)
        # Texts alone keep the convention: a number 1.234 beside "2.500,25" is no 1234.
        text = pa.array([isinstance(cell, (str, bytes)) for cell in column])
        ours, others = (pc.if_else(those, cells, None) for those in (text, pc.invert(text)))
        a = cast_column(ours, self.wanted, self.missing, self.source)
        b = cast_column(others, self.wanted, self.missing, plain)
        faults = a.faults.merge(b.faults) if a.faults and b.faults else a.faults or b.faults
        return Cells(pc.coalesce(a.values, b.values), faults)

    def _is_typed(self, kind: pa.DataType) -> bool:
        if self.settled:
            return bool(kind == self.wanted)
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))

    def _refuse(self, column: Raw, row: int) -> NoReturn:
        raise SchemaMismatch(
            f"the column {self.name!r} cannot be read as {self.words}: {_shown(column, row)}",
            remedy=f"give {self.words} in {self.name!r}, written as in the model's table",
            column=self.name,
            row=row,
        )


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
    times = Counter(available)
    if twice := [name for name in names if times[name] > 1]:
        raise SchemaMismatch(
            f"the data have several columns of one name: {first_few(twice, 10)}",
            remedy="keep one of each, or give the others names of their own",
            columns=twice,
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


def read_numbers(values: pa.Array) -> npt.NDArray[Any]:
    """Numbers as they are stored; (rows,) of an integer or float type, NaN where missing."""
    return _numpy(values)


def read_flags(values: pa.Array) -> npt.NDArray[np.float32]:
    """Booleans as 0 and 1; (rows,) float32, NaN where missing."""
    return _numpy(values.cast(pa.float32()))


def read_times(values: pa.Array) -> npt.NDArray[np.datetime64]:
    """Times as UTC-naive (rows,) datetime64[us], NaT where missing."""
    return _numpy(values)


def read_codes(values: pa.Array, lookup: Lookup, default: float) -> npt.NDArray[np.float64]:
    """What ``lookup`` has for each label (for None where missing), else ``default``; (rows,).

    Each label of the dictionary is looked up once, not each row.
    """
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    parts = [_codes(chunk, lookup, default) for chunk in chunks]
    return np.concatenate(parts) if parts else np.empty(0)


def _codes(chunk: pa.Array, lookup: Lookup, default: float) -> npt.NDArray[np.float64]:
    labels = chunk.dictionary.to_pylist()
    found = [_looked_up(label, lookup, default) for label in [*labels, None]]
    codes: npt.NDArray[np.float64] = np.array(found, np.float64)[
        chunk.indices.fill_null(len(labels)).to_numpy()
    ]
    return codes


def _looked_up(label: str | None, lookup: Lookup, default: float) -> float:
    return lookup.get(label if label is None else known_category(label, lookup), default)


def _numpy(values: pa.Array) -> npt.NDArray[Any]:
    if isinstance(values, pa.ChunkedArray):
        found: npt.NDArray[Any] = values.to_numpy()
        return found
    array: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return array


def _column(frame: Frame, name: str) -> Raw:
    column = frame[name]
    if isinstance(column, (pd.Series, pa.ChunkedArray)):
        zoned = isinstance(getattr(column, "dtype", None), pd.DatetimeTZDtype)
        return column.dt.tz_convert(None) if zoned else column
    if isinstance(column, pa.Array):
        return pa.chunked_array([column])
    array = np.asarray(column)
    if array.dtype.kind in "US":
        array = array.astype(object)
    return array.reshape(1) if array.ndim == 0 else array


def _arrow(column: Raw) -> pa.Array:
    """A column of pandas or numpy in the type that Arrow has for it, else as texts."""
    if _is_mixed(column):  # of a number among times Arrow would make a time
        return _texts(column)
    try:
        cells = pa.array(column, from_pandas=True)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return _texts(column)
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.combine_chunks()
    return _texts(column) if pa.types.is_nested(cells.type) else cells


def _is_mixed(column: Raw) -> bool:
    """Whether the cells are objects of several kinds."""
    cells = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    if cells.dtype != object or len(set(map(type, cells)) - _GAPS) < 2:
        return False
    return len({_kind(cell) for cell in cells if not _is_missing(cell)}) > 1


def _kind(cell: Any) -> type:
    kinds = ((bool, np.bool_), (int, float, np.number), (dt.datetime, np.datetime64))
    return next((kind[0] for kind in kinds if isinstance(cell, kind)), type(cell))


def _texts(column: Raw) -> pa.Array:
    return pa.array([None if _is_missing(c) else _text(c) for c in column], pa.string())


def _text(cell: Any) -> str:
    """The text of a cell among cells of other types."""
    if isinstance(cell, np.generic):
        cell = str(cell) if isinstance(cell, np.datetime64) else cell.item()
    if isinstance(cell, bytes):
        return cell.decode(errors="replace")
    if isinstance(cell, int) and cell.bit_length() > _LONG:
        return _BEYOND
    return category(cell).encode(errors="replace").decode()


def _is_missing(cell: Any) -> bool:
    return cell is None or cell is pd.NA or cell is pd.NaT or _is_nan(cell)


def _is_nan(value: Any) -> bool:
    unequal = value != value
    return isinstance(unequal, (bool, np.bool_)) and bool(unequal)  # not of an array in a cell


def _shown(column: Raw, row: int) -> str:
    if isinstance(column, pa.ChunkedArray):
        value = column[row].as_py()
    else:
        value = column.iloc[row] if isinstance(column, pd.Series) else column[row]
    long = isinstance(value, int) and value.bit_length() > _LONG
    return f"row {row} (counted from 0) holds {_BEYOND if long else repr(value)[:80]}"
