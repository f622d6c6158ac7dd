"""Cells of a column as the schema has them, and those among them that are not of its type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.spelling import fits_float32

__all__ = ["CellFaults", "Cells", "all_faults", "decoded_type", "faults_at", "narrowed"]

_MAX_TEXT = 200


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
        """Faults of two readings of one column, in the order of their rows."""
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


def decoded_type(kind: pa.DataType) -> pa.DataType:
    """The type of values, be they encoded by a dictionary or not.

    >>> decoded_type(pa.dictionary(pa.int32(), pa.string())), decoded_type(pa.int8())
    (DataType(string), DataType(int8))
    """
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def faults_at(original: pa.Array, faulty: pa.Array) -> CellFaults | None:
    """The cells that are marked, with their texts; None if none is."""
    indices = np.flatnonzero(pc.fill_null(faulty, False).to_numpy(zero_copy_only=False))
    if not len(indices):
        return None
    cells = original.take(pa.array(indices))
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary.take(cells.indices)
    return CellFaults(
        indices.astype(np.int64), [str(cell)[:_MAX_TEXT] for cell in cells.to_pylist()]
    )


def all_faults(a: CellFaults | None, b: CellFaults | None) -> CellFaults | None:
    """Both, where there are any."""
    return b if a is None else a if b is None else a.merge(b)


def narrowed(cells: Cells, original: pa.Array, wanted: pa.DataType) -> Cells:
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
        both = all_faults(cells.faults, faults_at(original, beyond))
    else:
        both = cells.faults
    return Cells(narrow, both, faults_at(original, pa.array(~fits)), cells.cut)
