"""Rows as they come, cut into tables of one size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

__all__ = ["Cutter", "recut"]


class Cutter:
    """Collects rows and gives them back in tables of exactly ``rows`` rows, in their order.

    The tables have the chunks and dictionaries that they came with.

    Notes
    -----
    Memory: one table of ``rows`` rows and the last one added.
    """

    def __init__(self, rows: int) -> None:
        self._size = rows
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def add(self, table: pa.Table) -> Iterator[pa.Table]:
        """Add rows; yield the tables that they complete."""
        self._waiting.append(table)
        self._rows += table.num_rows
        while self._rows >= self._size:
            joined = pa.concat_tables(self._waiting)
            self._rows -= self._size
            # An empty rest would hold on to the rows before it, and to their dictionaries.
            self._waiting = [joined.slice(self._size)] if self._rows else []
            yield joined.slice(0, self._size)

    def close(self) -> Iterator[pa.Table]:
        """Yield the last, shorter table, if there is one."""
        if self._rows:
            yield pa.concat_tables(self._waiting)
        self._waiting, self._rows = [], 0


def recut(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Cut the same rows into tables of exactly ``rows`` rows; the last may be shorter.

    >>> [t.num_rows for t in recut([pa.table({"a": [1, 2, 3]}), pa.table({"a": [4, 5]})], 2)]
    [2, 2, 1]
    """
    cutter = Cutter(rows)
    for table in tables:
        yield from cutter.add(table)
    yield from cutter.close()
