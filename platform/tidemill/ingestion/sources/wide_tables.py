"""What a table of many columns does with less of: rows at once, edges, expectations."""

from __future__ import annotations

__all__ = ["BATCH_CELLS", "BLOCK_ROWS", "LOOK_CELLS", "WIDE", "block_rows_of", "bounded_rows"]

#: Columns above which a table is wide: its histograms are coarse, its drafted suite is thin.
WIDE = 2_000

#: Cells (rows x columns) of a batch; as texts and as numbers some 30 bytes each.
BATCH_CELLS = 1 << 24
#: Rows of a block of the validated files, and of quarantine.
BLOCK_ROWS = 65_536
#: Cells of a block of the validated files: 65,536 rows of up to 1,024 columns.
BLOCK_CELLS = 1 << 26
#: Cells that the look samples, and that a suite is drafted from.
LOOK_CELLS = 1 << 24

_LEAST_ROWS = 256


def bounded_rows(rows: int, columns: int, cells: int) -> int:
    """``rows``, or as many as keep within ``cells``, but not below 256.

    >>> [bounded_rows(65_536, columns, 1 << 24) for columns in (10, 1_000, 40_000, 10**6)]
    [65536, 16777, 419, 256]
    """
    return min(rows, max(cells // max(columns, 1), _LEAST_ROWS))


def block_rows_of(columns: int) -> int:
    """Rows of a block of a table with so many columns: fewer above 1,024 of them."""
    return bounded_rows(BLOCK_ROWS, columns, BLOCK_CELLS)
