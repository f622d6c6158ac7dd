"""All keys of a source, bucket by bucket, through a bounded number of objects."""

from __future__ import annotations

from functools import partial

from tidemill.contracts import Engine
from tidemill.ingestion.checks.unique_keys import BucketCheck, bucket_of_keys, check_tables
from tidemill.storage import Exchange, PieceIndex, StoreFolder, inputs_a_piece

__all__ = ["check_keys", "key_spills"]

_SPILL_ROWS, _RUN_ROWS = 65_536, 262_144
"""Keys that are sorted in memory at once: while rows are scanned, and where keys are gathered."""


def key_spills(folder: StoreFolder, splits: int, buckets: int) -> Exchange:
    """Where the scans of so many splits spill their keys: a piece each, numbered as they are.

    At most 256 are read by the buckets themselves. More are gathered first, each as a whole: for
    these there is one shard, and an index of two numbers.
    """
    shards = buckets if inputs_a_piece(splits) == 1 else 1
    return Exchange(folder, shards, 1, _SPILL_ROWS)


def check_keys(spills: Exchange, buckets: int, engine: Engine) -> BucketCheck:
    """Find the keys that repeat among the spills of all splits.

    A bucket opens every spill that has keys of it, as long as they are at most 256. More are
    gathered first: several splits' spills, each opened once, become one piece of an exchange, of
    which a bucket opens at most 256 (``tidemill.storage.most_opens``).

    Parameters
    ----------
    spills : Exchange
        Of :func:`key_spills`, holding the indices of all splits.
    buckets : int
    engine : Engine

    Notes
    -----
    Memory: in a worker one bucket's keys, or three runs of 262,144; here and there indices of at
    most 2 KB a bucket, 16 bytes a split. Disk: the keys once more, where they are gathered.
    """
    assert spills.offsets is not None  # noqa: S101 - all are written
    splits = len(spills.offsets)
    size = inputs_a_piece(splits)
    if size > 1:
        gathered = Exchange(spills.folder.below("gathered"), buckets, 1, _RUN_ROWS)
        groups = [range(at, min(at + size, splits)) for at in range(0, splits, size)]
        gather = partial(_gather, spills, gathered)
        pieces = engine.map(gather, list(enumerate(groups)), label="gather keys")
        spills = gathered.holding(pieces)
    check = partial(_check_bucket, spills)
    return engine.fold(check, range(buckets), BucketCheck.merge, label="check keys")


def _gather(spills: Exchange, gathered: Exchange, group: tuple[int, range]) -> PieceIndex:
    number, splits = group
    with gathered.writer(number) as writer:
        for split in splits:
            for keys in spills.piece(split):
                writer.add(keys, bucket_of_keys(keys, gathered.shards))
    return writer.index


def _check_bucket(spills: Exchange, bucket: int) -> BucketCheck:
    return check_tables([table for _, table in spills.read(bucket)])
