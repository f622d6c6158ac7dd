"""The reader of each feature's values: Python objects out of JSON, or Arrow arrays.

A reader looks at the types of all values at once; only a column with something wrong in it is
looked at value by value, to say where.
"""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from tidemill.schema import Column, ColumnType, SourceColumn
from tidemill_monitor.intake.column_readers import FieldReader
from tidemill_monitor.intake.number_readers import FlagCells, NumberCells, WholeCells
from tidemill_monitor.intake.text_readers import TextCells
from tidemill_monitor.intake.time_readers import TimeCells

__all__ = ["cells_of"]


def cells_of(
    column: Column, missing_values: Collection[str] = (), source: SourceColumn | None = None
) -> FieldReader:
    """The reader of a feature.

    Parameters
    ----------
    column : Column
    missing_values : collection of str
        They mean 'missing' among its texts.
    source : SourceColumn or None
        How the table that was learnt from has it, where the model knows.
    """
    if column.type is ColumnType.DATETIME:
        return TimeCells(column.name)
    if column.type is ColumnType.BOOLEAN:
        return FlagCells(column.name)
    if column.type is ColumnType.NUMERIC:
        if pa.types.is_integer(column.arrow_type):
            return WholeCells(column.name, column.arrow_type)
        exact = source is not None and bool(source.style)
        return NumberCells(column.name, column.arrow_type, exact=exact)
    return TextCells(column.name, column.arrow_type, missing_values=missing_values)
