"""Blocks held in arrays: what learners are tested on."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.contracts import FloatMatrix

__all__ = ["ArrayBlocks"]


class ArrayBlocks:
    """A matrix and its target, cut into blocks; a :class:`tidemill.contracts.Blocks`.

    Parameters
    ----------
    X : (rows, n_features)
        Kept as float32.
    y : (rows,)
        float64 for regression, else int32 class codes.
    block_rows : int
        Rows of each block; the last one may be shorter.
    names : sequence of str, optional
    shard_blocks : int
        Blocks of each shard; the last one may have fewer.

    Attributes
    ----------
    reads : list of int
        The blocks that were read, in order.
    """

    def __init__(
        self,
        X: npt.NDArray[Any],
        y: npt.NDArray[Any],
        *,
        block_rows: int = 256,
        names: Sequence[str] | None = None,
        shard_blocks: int = 4,
    ) -> None:
        self._X = np.ascontiguousarray(X, np.float32)
        self._y = y
        self._starts = list(range(0, len(y), block_rows))
        self._stops = [min(start + block_rows, len(y)) for start in self._starts]
        self._shards = [f"{at // shard_blocks:05d}" for at in range(len(self._starts))]
        self._names = tuple(names or (f"x{i}" for i in range(self._X.shape[1])))
        self.reads: list[int] = []

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of each block."""
        return tuple(b - a for a, b in zip(self._starts, self._stops, strict=True))

    @property
    def shards(self) -> tuple[str, ...]:
        """The shard of each block."""
        return tuple(self._shards)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self._names

    def take(self, blocks: Sequence[int]) -> Self:
        """Those blocks alone; all of them note what is read in one list."""
        taken = copy.copy(self)
        taken._starts = [self._starts[block] for block in blocks]
        taken._stops = [self._stops[block] for block in blocks]
        taken._shards = [self._shards[block] for block in blocks]
        return taken

    def read(self, block: int) -> tuple[FloatMatrix, npt.NDArray[Any]]:
        """One block's matrix and target."""
        self.reads.append(block)
        rows = slice(self._starts[block], self._stops[block])
        return self._X[rows].copy(), self._y[rows].copy()

    def __iter__(self) -> Iterator[tuple[FloatMatrix, npt.NDArray[Any]]]:
        return (self.read(block) for block in range(len(self._starts)))
