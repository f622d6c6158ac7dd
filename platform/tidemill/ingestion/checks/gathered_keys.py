"""All keys of a source, bucket by bucket, through a bounded number of files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from tidemill.contracts import Engine
from tidemill.ingestion.checks.unique_keys import (
    BucketCheck,
    bucket_of_keys,
    check_bucket,
    check_tables,
    read_spill,
)
from tidemill.storage import Exchange, PieceIndex, StoreFolder, inputs_a_piece

__all__ = ["check_keys"]

_RUN_ROWS = 262_144

Spills = Sequence[tuple[int, Path]]


def check_keys(spills: Spills, buckets: int, work: Path, engine: Engine) -> BucketCheck:
    """Find the keys that repeat among the spills of all splits.

    A bucket opens every spill, as long as they are at most 256. More are gathered first: several
    splits' spills, each opened once, become one piece of an exchange, of which a bucket opens at
    most 256 (``tidemill.storage.most_opens``).

    Parameters
    ----------
    spills : sequence of (split, path)
    buckets : int
    work : Path
        Takes the pieces.
    engine : Engine

    Notes
    -----
    Memory: in a worker one bucket's keys, or three runs of 262,144; here and there indices of at
    most 2 KB a bucket. Disk: the keys once more, where they are gathered.
    """
    size = inputs_a_piece(len(spills))
    check = partial(_check_spills, spills, buckets)
    if size > 1:
        exchange = Exchange(StoreFolder.at(work), buckets, 1, _RUN_ROWS)
        groups = [spills[start : start + size] for start in range(0, len(spills), size)]
        gather = partial(_gather, exchange)
        pieces = engine.map(gather, list(enumerate(groups)), label="gather keys")
        check = partial(_check_pieces, exchange.holding(pieces))
    return engine.fold(check, range(buckets), BucketCheck.merge, label="check keys")


def _check_spills(spills: Spills, buckets: int, bucket: int) -> BucketCheck:
    return check_bucket(spills, bucket, buckets)


def _gather(exchange: Exchange, group: tuple[int, Spills]) -> PieceIndex:
    number, spills = group
    with exchange.writer(number) as writer:
        for split, path in spills:
            for keys in read_spill(path, exchange.shards):
                # By place: a key may have any name.
                numbered = keys.append_column("", pa.array(np.full(keys.num_rows, split)))
                writer.add(numbered, bucket_of_keys(keys, exchange.shards))
    return writer.index


def _check_pieces(exchange: Exchange, bucket: int) -> BucketCheck:
    tables = [table for _, table in exchange.read(bucket)]
    last = tables[0].num_columns - 1 if tables else 0
    splits = [table.column(last).to_numpy() for table in tables]
    return check_tables(splits, [table.select(list(range(last))) for table in tables])
