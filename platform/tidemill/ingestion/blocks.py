"""Cut valid rows into blocks of one size, the same ones however they arrive."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tidemill.ingestion.width import BLOCK_CELLS, bounded_rows

__all__ = ["BLOCK_ROWS", "Reblocker", "block_rows_of"]

#: Rows of a block of the validated files, and of quarantine.
BLOCK_ROWS = 65_536


def block_rows_of(columns: int) -> int:
    """Rows of a block of a table with so many columns: fewer above 1,024 of them."""
    return bounded_rows(BLOCK_ROWS, columns, BLOCK_CELLS)


class Reblocker:
    """Collects rows and yields blocks of exactly ``block_rows`` rows.

    Memory: one block and one batch.
    """

    def __init__(self, schema: pa.Schema, block_rows: int = BLOCK_ROWS) -> None:
        self._schema = schema
        self._block_rows = block_rows
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def add(self, table: pa.Table) -> Iterator[pa.Table]:
        """Add rows; yield the blocks that they complete."""
        self._waiting.append(table)
        self._rows += table.num_rows
        while self._rows >= self._block_rows:
            joined = pa.concat_tables(self._waiting)
            self._waiting = [joined.slice(self._block_rows)]
            self._rows -= self._block_rows
            yield self._block(joined.slice(0, self._block_rows))

    def close(self) -> Iterator[pa.Table]:
        """Yield the last, shorter block, if there is one."""
        if self._rows:
            yield self._block(pa.concat_tables(self._waiting))
        self._waiting, self._rows = [], 0

    def _block(self, table: pa.Table) -> pa.Table:
        return table.cast(self._schema).unify_dictionaries().combine_chunks()
