"""What reading a split yields: typed rows with their positions, and what was wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["CellFaults", "ParsedBatch", "Reject"]


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
        Times whose digits beyond the microsecond were cut off.
    left_out : dict of str to int
        Lines of text that are no rows, by what they are, as far as they were met.
    """

    table: pa.Table
    rows: npt.NDArray[np.int64]
    faults: dict[str, CellFaults]
    rejects: tuple[Reject, ...]
    misfits: dict[str, CellFaults] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
