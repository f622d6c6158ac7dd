"""Columns as a format's reader leaves them, before they take the schema's types."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.cells import CellFaults
from tidemill.ingestion.parsed import Reject

__all__ = ["RawBatch", "unlisted"]


@dataclass(frozen=True, slots=True)
class RawBatch:
    """The same records as the :class:`ParsedBatch` that will be made of it.

    Parameters
    ----------
    columns : dict of name to pyarrow.Array
        Equally long.
    rows : (n,) int64
    faults : dict of name to CellFaults
        Those that the reader found already.
    rejects : tuple of Reject
    left_out : dict of str to int
        Lines that are no rows, and cells of columns that the listing lacks, by what they are.
    """

    columns: dict[str, pa.Array]
    rows: npt.NDArray[np.int64]
    faults: dict[str, CellFaults]
    rejects: tuple[Reject, ...]
    left_out: dict[str, int] = field(default_factory=dict)


def unlisted(name: str) -> str:
    """What the cells of a column are that a file has and the listing lacks."""
    return f"cells of {name!r}, which is no column that look found"
