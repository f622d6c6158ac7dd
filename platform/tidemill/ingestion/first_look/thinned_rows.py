"""Every n-th row of a table that comes batch by batch: one sorted file misleads it little."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

__all__ = ["Thinned"]


class Thinned:
    """Keeps rows at equal distances, at most twice ``share``; half of them whenever it is full.

    Memory: ``2 * share`` rows and the batch that is added.

    >>> thinned = Thinned(pa.schema([("a", pa.int64())]), 2)
    >>> for first in (0, 4, 8):
    ...     thinned.add(pa.table({"a": range(first, first + 4)}))
    >>> thinned.table()["a"].to_pylist()
    [0, 4, 8]
    """

    def __init__(self, schema: pa.Schema, share: int) -> None:
        self._schema, self._share = schema, share
        self._kept: list[pa.Table] = []
        self._rows, self._seen, self._step = 0, 0, 1

    def add(self, table: pa.Table) -> None:
        """Take what is due of the next rows."""
        first = -self._seen % self._step
        self._kept.append(table.take(np.arange(first, table.num_rows, self._step)))
        self._rows += self._kept[-1].num_rows
        self._seen += table.num_rows
        while self._rows > 2 * self._share:
            whole = self.table()
            self._kept = [whole.take(np.arange(0, self._rows, 2))]
            self._rows, self._step = self._kept[0].num_rows, 2 * self._step

    def table(self) -> pa.Table:
        """The rows that are kept."""
        if not self._kept:
            return self._schema.empty_table()
        return pa.concat_tables(self._kept).unify_dictionaries()
