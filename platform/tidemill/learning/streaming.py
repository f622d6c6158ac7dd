"""Blocks as LightGBM wants to read them: sequences of float64 rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.contracts import Blocks

__all__ = ["BlockRows", "binned"]


class BlockRows:
    """The rows of blocks as float64, one block in memory; remembers the targets it saw.

    Parameters
    ----------
    blocks : Blocks

    Notes
    -----
    Memory: one block in float64, and 4 bytes a row for the labels.
    """

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._starts = np.concatenate([[0], np.cumsum(blocks.rows)])
        self._held = -1
        self._matrix: npt.NDArray[np.float64] = np.empty((0, 0))
        self.rows = blocks.rows
        self.labels = np.zeros(int(self._starts[-1]), np.float32)

    def matrix(self, block: int) -> npt.NDArray[np.float64]:
        """The rows of one block; (rows, n_features) float64."""
        if block != self._held:
            self.release()
            X, y = self._blocks.read(block)
            self._matrix = np.ascontiguousarray(X, np.float64)
            self._held = block
            self.labels[self._starts[block] : self._starts[block + 1]] = y
        return self._matrix

    def release(self) -> None:
        """Let the block go."""
        self._held, self._matrix = -1, np.empty((0, 0))


def binned(
    rows: BlockRows,
    settings: Mapping[str, Any],
    *,
    weights: npt.NDArray[np.float64] | None = None,
    like: Any = None,
) -> Any:
    """LightGBM's dataset of the rows, filled block by block.

    Parameters
    ----------
    rows : BlockRows
    settings : mapping
        LightGBM's parameters.
    weights : (n_classes,) float64 or None
        Weight of a row of each class.
    like : lightgbm.Dataset or None
        The dataset whose bins are used; None finds bins from a sample of the rows.
    """
    import lightgbm

    class Block(lightgbm.Sequence):
        def __init__(self, block: int) -> None:
            self._block = block
            self.batch_size = rows.rows[block]  # one push a block

        def __len__(self) -> int:
            return rows.rows[self._block]

        def __getitem__(self, index: Any) -> npt.NDArray[np.float64]:
            return np.asarray(rows.matrix(self._block)[index])

    sequences = [Block(block) for block, count in enumerate(rows.rows) if count]
    dataset = lightgbm.Dataset(
        sequences,
        label=np.zeros(len(rows.labels), np.float32),  # the true ones are seen while filling
        reference=like,
        params=dict(settings),
        free_raw_data=True,
    ).construct()
    rows.release()
    dataset.set_label(rows.labels)
    if weights is not None:
        dataset.set_weight(weights[rows.labels.astype(np.int64)].astype(np.float32))
    return dataset
