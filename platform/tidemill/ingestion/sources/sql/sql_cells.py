"""Cells of a database's columns as Arrow arrays: none becomes another value."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.cells import CellFaults
from tidemill.conventions import NumberConvention
from tidemill.spelling import category

__all__ = ["column_of_arrow", "column_of_cells", "has_no_text"]

_TYPED = {
    "bool": pa.bool_(),
    "int2": pa.int64(),
    "int4": pa.int64(),
    "int8": pa.int64(),
    "bit": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
}
_MAX_SHOWN = 200


def column_of_cells(
    cells: Sequence[Any], kind: str, convention: NumberConvention | None = None
) -> tuple[pa.Array, CellFaults | None]:
    """The cells as an array; what has no text is null, and a fault.

    Parameters
    ----------
    cells : sequence
        As the driver has them.
    kind : str
        PostgreSQL's word for the type; empty where each cell tells its own.
    convention : NumberConvention or None
        As texts of the column write numbers: numbers among them are written so.

    >>> column_of_cells([1, 2.5, None, "x", b"x"], "")[0].to_pylist()
    ['1', '2.5', None, 'x', None]
    >>> column_of_cells(["7.50", "NaN", "100"], "numeric")[0].to_pylist()
    ['7.5', None, '100']
    >>> column_of_cells(["00001.50", "-000.5", "000"], "numeric")[0].to_pylist()
    ['1.5', '-0.5', '0']
    """
    if kind:
        return column_of_arrow(pa.array(cells, _TYPED.get(kind, pa.string())), kind), None
    faulty = [row for row, cell in enumerate(cells) if has_no_text(cell)]
    texts = [None if has_no_text(cell) else _text(cell, convention) for cell in cells]
    shown = [repr(cells[row])[:_MAX_SHOWN] for row in faulty]
    faults = CellFaults(np.array(faulty, np.int64), shown) if faulty else None
    return pa.array(texts, pa.string()), faults


def column_of_arrow(cells: pa.Array, kind: str) -> pa.Array:
    """The column as all formats have it: whole numbers of 64 bits, ``numeric`` as short texts.

    >>> column_of_arrow(pa.array([1, None], pa.int16()), "int2").type
    DataType(int64)
    """
    if kind == "numeric":
        return _shortest(cells)
    return cells.cast(_TYPED.get(kind, pa.string()))


def has_no_text(cell: Any) -> bool:
    """Whether a cell is neither missing nor a text, number, truth or time."""
    return cell is not None and not isinstance(
        cell, str | int | float | Decimal | dt.datetime | dt.date
    )


def _text(cell: Any, convention: NumberConvention | None) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, dt.date):
        return str(cell)
    if not isinstance(cell, int) and math.isnan(cell):
        return None
    text = category(cell)
    return text if convention is None or isinstance(cell, bool) else convention.write(text)


def _shortest(texts: pa.Array) -> pa.Array:
    """Decimal numbers with as few digits as they have values; NaN is missing, as in Parquet."""
    texts = pc.replace_substring_regex(texts, r"^(-?)0+(\d)", r"\1\2")  # MySQL's zerofill
    bare = pc.replace_substring_regex(texts, r"^(-?\d+\.\d*?)0+$", r"\1")
    bare = pc.replace_substring_regex(bare, r"\.$", "")
    return pc.if_else(pc.equal(bare, "NaN"), pa.scalar(None, pa.string()), bare)
