"""How many rows a block of a validated file has."""

from __future__ import annotations

from tidemill.ingestion.width import BLOCK_CELLS, bounded_rows

__all__ = ["BLOCK_ROWS", "block_rows_of"]

#: Rows of a block of the validated files, and of quarantine.
BLOCK_ROWS = 65_536


def block_rows_of(columns: int) -> int:
    """Rows of a block of a table with so many columns: fewer above 1,024 of them."""
    return bounded_rows(BLOCK_ROWS, columns, BLOCK_CELLS)
