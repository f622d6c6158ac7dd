"""What rooms hand each other: partials, progress, blocks, matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

__all__ = ["Blocks", "FloatMatrix", "Partial", "Progress"]

FloatMatrix = npt.NDArray[np.floating[Any]]


@runtime_checkable
class Partial(Protocol):
    """A small statistic of some rows that merges exactly with others of its kind.

    Merging is commutative and associative to the tolerance that the class states, and
    ``of(rows)`` equals the fold of ``of(part)`` over any split of the rows.
    """

    def merge(self, other: Self) -> Self:
        """Return the statistic of both sets of rows; neither operand changes."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON document; the class method ``from_json`` reads it back exactly."""


class Progress(Protocol):
    """Called once for every finished item with (finished, total)."""

    def __call__(self, finished: int, total: int, /) -> None:
        """Take note that ``finished`` of ``total`` items are done."""


class Blocks(Protocol):
    """Feature matrices of one role, block by block, the same in every pass.

    Memory is one block: the matrix and its target.
    """

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of each block, in order."""

    @property
    def shards(self) -> tuple[str, ...]:
        """The shard that each block is of, by name."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the matrix columns."""

    def read(self, block: int) -> tuple[FloatMatrix, npt.NDArray[Any]]:
        """Return ``X`` (rows, n_features; float32) and ``y`` (rows,) of one block.

        ``y`` is float64 for regression and int32 class codes otherwise; rows whose target
        is null do not exist.
        """

    def take(self, blocks: Sequence[int]) -> Self:
        """Those blocks alone, in that order; picklable, as small as what it addresses them by."""

    def __iter__(self) -> Iterator[tuple[FloatMatrix, npt.NDArray[Any]]]:
        """All blocks, in order."""
