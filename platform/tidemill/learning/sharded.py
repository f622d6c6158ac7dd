"""Blocks, shard by shard."""

from __future__ import annotations

from tidemill.contracts import Blocks

__all__ = ["by_rank", "by_shard"]


def by_shard(blocks: Blocks) -> list[Blocks]:
    """The blocks of each shard, shards in the order in which they begin.

    >>> import numpy as np
    >>> from tidemill.testing.blocks import ArrayBlocks
    >>> blocks = ArrayBlocks(np.zeros((10, 1)), np.zeros(10), block_rows=2, shard_blocks=2)
    >>> [shard.rows for shard in by_shard(blocks)]
    [(2, 2), (2, 2), (2,)]
    """
    return [blocks.take(taken) for taken in _found(blocks).values()]


def by_rank(blocks: Blocks, ranks: int) -> list[Blocks]:
    """The blocks of each rank: every shard goes whole to the next one, as cards are dealt.

    Fewer shares than ``ranks`` where there are fewer shards.

    >>> import numpy as np
    >>> from tidemill.testing.blocks import ArrayBlocks
    >>> blocks = ArrayBlocks(np.zeros((10, 1)), np.zeros(10), block_rows=2, shard_blocks=2)
    >>> [share.shards for share in by_rank(blocks, 2)]
    [('00000', '00000', '00002'), ('00001', '00001')]
    """
    shards = list(_found(blocks).values())
    shares = [shards[rank::ranks] for rank in range(min(ranks, len(shards)))]
    return [blocks.take([block for shard in share for block in shard]) for share in shares]


def _found(blocks: Blocks) -> dict[str, list[int]]:
    """The blocks of each shard that have rows."""
    found: dict[str, list[int]] = {}
    for block, shard in enumerate(blocks.shards):
        if blocks.rows[block]:
            found.setdefault(shard, []).append(block)
    return found
