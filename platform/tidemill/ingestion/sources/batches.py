"""What reading a split yields: typed rows with their positions, and what was wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.alike import Alike
from tidemill.cells import CellFaults, Cells
from tidemill.contracts import Reject

__all__ = ["ParsedBatch", "cells_of", "unlisted"]


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

    def only(self, kept: npt.NDArray[np.bool_], rejects: tuple[Reject, ...]) -> Self:
        """Some rows of the batch, and some of its rejects; what has no row stays."""
        if kept.all():
            return replace(self, rejects=rejects)
        return replace(
            self,
            table=self.table.filter(pa.array(kept)),
            rows=self.rows[kept],
            faults=_of_rows(self.faults, kept),
            rejects=rejects,
            misfits=_of_rows(self.misfits, kept),
        )


def _of_rows(found: dict[str, CellFaults], kept: npt.NDArray[np.bool_]) -> dict[str, CellFaults]:
    """The faults in some rows, at their new places."""
    places = np.cumsum(kept) - 1
    taken = {
        name: CellFaults(
            places[faults.indices[kept[faults.indices]]],
            [text for text, row in zip(faults.texts, faults.indices, strict=True) if kept[row]],
        )
        for name, faults in found.items()
    }
    return {name: faults for name, faults in taken.items() if len(faults.indices)}


def unlisted(name: str) -> str:
    """What the cells of a column are that a file has and the listing lacks."""
    return f"cells of {name!r}, which is no column that look found"


def cells_of(group: Alike, cells: Cells) -> Iterator[tuple[str, Cells]]:
    """What was made of all cells of a group, column by column; its ``cut`` must be 0."""
    faults, misfits = (_by_column(found, group) for found in (cells.faults, cells.misfits))
    for at, (name, values) in enumerate(zip(group.names, group.parts(cells.values), strict=True)):
        yield name, Cells(values, faults.get(at), misfits.get(at))


def _by_column(found: CellFaults | None, group: Alike) -> dict[int, CellFaults]:
    if found is None:
        return {}
    ends = np.searchsorted(found.indices, np.arange(len(group.names) + 1) * group.rows)
    return {
        at: CellFaults(found.indices[start:end] - at * group.rows, found.texts[start:end])
        for at, (start, end) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))
        if start < end
    }
