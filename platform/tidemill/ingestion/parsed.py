"""What reading a split yields: typed rows with their positions, and what was wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.casting import CellFaults

__all__ = ["ParsedBatch", "Reject"]


@dataclass(frozen=True, slots=True)
class Reject:
    """A record of the source that is no row: wrong number of fields, broken quoting, bad JSON.

    Parameters
    ----------
    row : int
        0-based number of the data row in the split; rejected ones count.
    line : int or None
        1-based line of the file where the record begins, header lines included.
    reason : str
    raw : str
        The record, at most 500 characters.
    """

    row: int
    line: int | None
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class ParsedBatch:
    """The rows ``[k * batch_rows, (k + 1) * batch_rows)`` of a split, without the rejected.

    Parameters
    ----------
    table : pyarrow.Table
        Columns and types are exactly ``schema.arrow_schema()``.
    rows : (table.num_rows,) int64
        0-based number of each row among all data rows of the split, ascending.
    faults : dict of column name to CellFaults
        Only columns that have some.
    rejects : tuple of Reject
        Ascending by row.
    misfits : dict of column name to CellFaults
        Numbers that the column's float32 alters; they stand rounded in the table.
    cut : dict of column name to int
        Times that lost digits beyond the microsecond, whole numbers beyond float64.
    left_out : dict of str to int
        Lines of text that are no rows, and cells of columns that look did not find, by what they
        are, as far as they were met.
    """

    table: pa.Table
    rows: npt.NDArray[np.int64]
    faults: dict[str, CellFaults]
    rejects: tuple[Reject, ...]
    misfits: dict[str, CellFaults] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
