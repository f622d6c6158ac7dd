"""Columns that are read alike, end to end as one array: what costs a call costs one for all."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["MOST_CELLS", "Alike", "alike"]

#: Cells of a group: enough that calls cost little, few enough that they stay in the cache.
MOST_CELLS = 1 << 16

Key = TypeVar("Key", bound=Hashable)
Cell = TypeVar("Cell", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Alike:
    """Some columns of one type and length, one behind the other.

    Parameters
    ----------
    names : tuple of str
    cells : (len(names) * rows,) pyarrow.Array
    rows : int
        Of each column.
    """

    names: tuple[str, ...]
    cells: pa.Array
    rows: int

    def of(self, columns: npt.NDArray[np.intp]) -> Alike:
        """Some of the columns, by their places."""
        if len(columns) == len(self.names):
            return self
        parts = self.parts(self.cells)
        cells = pa.concat_arrays([parts[at] for at in columns] or [self.cells.slice(0, 0)])
        return Alike(tuple(self.names[at] for at in columns), cells, self.rows)

    def matrix(self, cells: npt.NDArray[Cell]) -> npt.NDArray[Cell]:
        """Something of all cells as (len(names), rows); not copied."""
        return cells.reshape(len(self.names), self.rows)

    def parts(self, cells: pa.Array) -> list[pa.Array]:
        """Each column's part of something of all cells; not copied."""
        return [cells.slice(at * self.rows, self.rows) for at in range(len(self.names))]


def alike(columns: Mapping[str, tuple[Key, pa.Array]]) -> Iterator[tuple[Key, Alike]]:
    """Group columns by the key that stands beside each, its type and its length.

    Yields
    ------
    (key, Alike)
        Of ``MOST_CELLS`` cells at most, or one column as it is.

    Notes
    -----
    Memory: one group at a time is copied.

    >>> columns = {"a": (1, pa.array(["x"])), "b": (2, pa.array(["y"])), "c": (1, pa.array(["z"]))}
    >>> [(key, group.names, group.cells.to_pylist()) for key, group in alike(columns)]
    [(1, ('a', 'c'), ['x', 'z']), (2, ('b',), ['y'])]
    """
    groups: dict[Hashable, list[str]] = {}
    for name, (key, values) in columns.items():
        groups.setdefault((key, values.type, len(values)), []).append(name)
    for names in groups.values():
        key, first = columns[names[0]]
        rows = len(first)
        most = 1 if pa.types.is_dictionary(first.type) else max(1, MOST_CELLS // max(rows, 1))
        for start in range(0, len(names), most):
            some = tuple(names[start : start + most])
            arrays = [columns[name][1] for name in some]
            yield key, Alike(some, pa.concat_arrays(arrays) if len(some) > 1 else arrays[0], rows)
