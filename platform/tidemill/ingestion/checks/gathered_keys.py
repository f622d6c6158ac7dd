"""All keys of a source, bucket by bucket, through a bounded number of objects."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tidemill.contracts import Engine
from tidemill.ingestion.checks.unique_keys import (
    BucketCheck,
    bucket_of_keys,
    check_tables,
    of_split,
)
from tidemill.storage import Exchange, PieceIndex, StoreFolder, inputs_a_piece

__all__ = ["check_keys", "key_spill"]

_SPILL_ROWS, _RUN_ROWS = 65_536, 262_144
"""Keys that are sorted in memory at once: while rows are scanned, and where keys are gathered."""


def key_spill(folder: StoreFolder) -> Exchange:
    """Where the scan of one split spills its keys: one piece, and all of it one shard.

    So it depends neither on the other splits nor on the number of buckets, and can be kept.
    """
    return Exchange(folder, 1, 1, _SPILL_ROWS)


def check_keys(
    spills: Sequence[Exchange], gathered: StoreFolder, buckets: int, engine: Engine
) -> BucketCheck:
    """Find the keys that repeat among the spills of all splits.

    They are gathered first: several splits' spills, each opened once, become one piece of an
    exchange, of which a bucket opens at most 256 (``tidemill.storage.most_opens``).

    Parameters
    ----------
    spills : sequence of Exchange
        Of :func:`key_spill`, each holding its index, in the order of the splits.
    gathered : StoreFolder
        Takes the keys once more.
    buckets : int
    engine : Engine

    Notes
    -----
    Memory: in a worker one bucket's keys, or three runs of 262,144; here and there indices of at
    most 2 KB a bucket, 16 bytes a split. Disk: the keys once more.
    """
    exchange = Exchange(gathered, buckets, 1, _RUN_ROWS)
    size = inputs_a_piece(len(spills))
    groups = [range(at, min(at + size, len(spills))) for at in range(0, len(spills), size)]
    gather = partial(_gather, spills, exchange)
    pieces = engine.map(gather, list(enumerate(groups)), label="gather keys")
    check = partial(_check_bucket, exchange.holding(pieces))
    return engine.fold(check, range(buckets), BucketCheck.merge, label="check keys")


def _gather(spills: Sequence[Exchange], gathered: Exchange, group: tuple[int, range]) -> PieceIndex:
    number, splits = group
    with gathered.writer(number) as writer:
        for split in splits:
            for keys in spills[split].piece(0):
                writer.add(of_split(keys, split), bucket_of_keys(keys, gathered.shards))
    return writer.index


def _check_bucket(spills: Exchange, bucket: int) -> BucketCheck:
    return check_tables([table for _, table in spills.read(bucket)])
