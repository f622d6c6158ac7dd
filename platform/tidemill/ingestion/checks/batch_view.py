"""Columns of one batch as plain arrays, each made once, for the kernels to look at."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.cells import decoded_type

__all__ = ["BatchView", "Mask", "json_value", "plain_table"]

Mask = npt.NDArray[np.bool_]


class BatchView:
    """One batch, column by column; converts a column at its first use and keeps the result.

    Memory: at most the batch once more.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.rows = table.num_rows
        self._arrays: dict[str, pa.Array] = {}
        self._valid: dict[str, Mask] = {}
        self._numbers: dict[str, npt.NDArray[Any]] = {}
        self._texts: dict[str, tuple[npt.NDArray[np.int32], list[str]]] = {}
        self._frame: Any = None

    def array(self, column: str) -> pa.Array:
        """The column in one piece."""
        if column not in self._arrays:
            chunked = self.table.column(column)
            if pa.types.is_dictionary(chunked.type):
                chunked = chunked.unify_dictionaries()
            whole = chunked.combine_chunks()
            self._arrays[column] = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
        return self._arrays[column]

    def valid(self, column: str) -> Mask:
        """Which rows have a value; NaN is none."""
        if column not in self._valid:
            array = self.array(column)
            if pa.types.is_floating(array.type):
                self._valid[column] = ~np.isnan(array.to_numpy(zero_copy_only=False))
            elif array.null_count == 0:
                self._valid[column] = np.ones(self.rows, np.bool_)
            else:
                self._valid[column] = array.is_valid().to_numpy(zero_copy_only=False)
        return self._valid[column]

    def numbers(self, column: str) -> npt.NDArray[Any]:
        """Values of a number, boolean or time (int64 microseconds) column.

        What stands in rows without a value is unspecified.
        """
        if column not in self._numbers:
            array = self.array(column)
            if pa.types.is_timestamp(array.type):
                array = array.cast(pa.int64())
            if array.null_count and not pa.types.is_floating(array.type):
                array = array.fill_null(False if pa.types.is_boolean(array.type) else 0)
            self._numbers[column] = array.to_numpy(zero_copy_only=False)
        return self._numbers[column]

    def texts(self, column: str) -> tuple[npt.NDArray[np.int32], list[str]]:
        """Codes (-1 where there is no value) and the distinct texts that they stand for."""
        if column not in self._texts:
            array = self.array(column)
            if not pa.types.is_dictionary(array.type):
                array = array.dictionary_encode()
            codes = array.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
            self._texts[column] = (codes, array.dictionary.to_pylist())
        return self._texts[column]

    def frame(self) -> Any:
        """The whole batch as the pandas frame that Great Expectations would judge."""
        if self._frame is None:
            self._frame = plain_table(self.table).to_pandas(date_as_object=False)
        return self._frame

    def values(self, column: str, rows: npt.NDArray[np.int64]) -> list[Any]:
        """JSON-friendly values of some rows."""
        return [json_value(value) for value in self.array(column).take(pa.array(rows)).to_pylist()]


def plain_table(table: pa.Table) -> pa.Table:
    """The table with dictionaries written out: pandas categories behave unlike texts."""
    fields = [(field.name, decoded_type(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields))


def json_value(value: Any) -> Any:
    """A value as JSON has it: times as ISO 8601 text, NaN as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value.isoformat() if isinstance(value, datetime) else value
