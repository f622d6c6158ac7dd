"""Of each class of rows how many there are, and the lowest of their hashes: a draw that merges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.errors import ConfigError

__all__ = ["MOST_CLASSES", "Hashes", "LowestHashes"]

Hashes = npt.NDArray[np.uint64]

MOST_CLASSES = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class LowestHashes:
    """The ``limit`` lowest hashes of each class: of any cut of the rows they merge to one.

    Parameters
    ----------
    limit : int
        Hashes kept of a class.
    rows : mapping of class to int
        All rows of the class.
    lowest : mapping of class to (k,) uint64
        Ascending, with repetitions; ``k <= limit``.

    Notes
    -----
    Memory: 8 bytes a hash. The ``limit`` rows with the lowest hashes are a sample without
    replacement of exactly so many rows (bottom-k sampling; Cohen & Kaplan, 2007).

    >>> classes = pa.array(["a", "b", "a", "a"])
    >>> found = LowestHashes.of(classes, np.array([3, 9, 1, 2], np.uint64), limit=2)
    >>> found.rows, found.lowest["a"].tolist()
    ({'a': 3, 'b': 1}, [1, 2])
    """

    limit: int
    rows: Mapping[str, int]
    lowest: Mapping[str, Hashes]

    @classmethod
    def of(cls, classes: pa.Array, hashes: Hashes, limit: int) -> Self:
        """Those of some rows: the class, a text without nulls, and the hash of each.

        Raises
        ------
        ConfigError
            If there are more than ``MOST_CLASSES`` classes.
        """
        encoded = classes.dictionary_encode()
        names: list[str] = encoded.dictionary.to_pylist()
        _require_few(names)
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        order = np.lexsort((hashes, codes))
        ends = np.cumsum(np.bincount(codes, minlength=len(names)))
        parts = np.split(hashes[order], ends[:-1]) if names else []
        found = sorted(zip(names, parts, strict=True))
        return cls(limit, {n: len(p) for n, p in found}, {n: p[:limit] for n, p in found})

    def merge(self, other: Self) -> Self:
        """Those of both sets of rows, exactly.

        Raises
        ------
        ConfigError
            If there are more than ``MOST_CLASSES`` classes.
        """
        names = sorted({*self.rows, *other.rows})
        _require_few(names)
        none = np.empty(0, np.uint64)
        return type(self)(
            self.limit,
            {name: self.rows.get(name, 0) + other.rows.get(name, 0) for name in names},
            {
                name: np.sort(
                    np.concatenate([self.lowest.get(name, none), other.lowest.get(name, none)])
                )[: self.limit]
                for name in names
            },
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON document that :meth:`from_json` reads back."""
        lowest = {name: hashes.tolist() for name, hashes in self.lowest.items()}
        return {"limit": self.limit, "rows": dict(self.rows), "lowest": lowest}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        lowest = {name: np.array(h, np.uint64) for name, h in document["lowest"].items()}
        return cls(document["limit"], document["rows"], lowest)


def _require_few(classes: list[str]) -> None:
    if len(classes) > MOST_CLASSES:
        raise ConfigError(
            f"the column of dataset.sample.by has more than {MOST_CLASSES:,} different values",
            remedy="let dataset.sample.by name a column of classes, as the target of a "
            "classification is, or leave it out",
            classes=len(classes),
        )
