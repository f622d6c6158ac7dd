"""Blocks, shard by shard."""

from __future__ import annotations

from tidemill.contracts import Blocks

__all__ = ["by_shard"]


def by_shard(blocks: Blocks) -> list[Blocks]:
    """The blocks of each shard, shards in the order in which they begin.

    >>> import numpy as np
    >>> from tidemill.testing.blocks import ArrayBlocks
    >>> blocks = ArrayBlocks(np.zeros((10, 1)), np.zeros(10), block_rows=2, shard_blocks=2)
    >>> [shard.rows for shard in by_shard(blocks)]
    [(2, 2), (2, 2), (2,)]
    """
    found: dict[str, list[int]] = {}
    for block, shard in enumerate(blocks.shards):
        if blocks.rows[block]:
            found.setdefault(shard, []).append(block)
    return [blocks.take(taken) for taken in found.values()]
