"""How many test rows the training rows hold already, feature by feature."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from tidemill.contracts import Engine
from tidemill.schema import Role
from tidemill.storage import (
    Exchange,
    PieceIndex,
    ShardEntry,
    ShardManifest,
    StoreFolder,
    inputs_a_piece,
    read_blocks,
    stable_row_hash,
)

__all__ = ["Copies", "count_copies"]

_RANGE_ROWS = 1 << 20
_RUN_ROWS = 1 << 20


@dataclass(frozen=True, slots=True)
class Copies:
    """Test rows, and how many of them have exactly the features of a training row.

    >>> Copies(8, 2).share
    0.25
    """

    rows: int
    known: int

    @property
    def share(self) -> float:
        """Of the test rows, those with a copy among the training rows; 0 without rows."""
        return self.known / self.rows if self.rows else 0.0


def count_copies(
    manifest: ShardManifest, folder: StoreFolder, work: StoreFolder, engine: Engine
) -> Copies:
    """Count the test rows whose features, all of them and exactly, a training row has too.

    Parameters
    ----------
    manifest, folder : ShardManifest, StoreFolder
    work : StoreFolder
        Empty; takes 8 bytes a row, and as much again of the shards that are being read.
    engine : Engine

    Raises
    ------
    IntegrityError
        If a shard is not what the manifest recorded.

    Notes
    -----
    Rows are compared by 64-bit hashes of their features, range by range of the hash space: of n
    test and m training rows that differ about ``n m / 2**64`` are taken for copies. Memory: a
    block's features and three million hashes in a worker, or a range's (about a million test
    rows). A range opens at most 256 pieces of the exchange.
    """
    columns = [column.name for column in manifest.schema.features]
    rows, entries = manifest.rows(Role.TEST), [*manifest.of(Role.TRAIN), *manifest.of(Role.TEST)]
    ranges = 1 << (rows // _RANGE_ROWS).bit_length()
    exchange = Exchange(work, ranges, 2, _RUN_ROWS)
    size = inputs_a_piece(len(entries))
    inputs = [entries[start : start + size] for start in range(0, len(entries), size)]
    deal = partial(_deal_hashes, exchange, folder, columns)
    pieces = engine.map(deal, list(enumerate(inputs)), label="hash features")
    count = partial(_count_range, exchange.holding(pieces))
    return Copies(rows, sum(engine.map(count, range(ranges), label="compare features")))


def _deal_hashes(
    exchange: Exchange, folder: StoreFolder, columns: list[str], piece: tuple[int, list[ShardEntry]]
) -> PieceIndex:
    """The hashes of some shards' rows by range of the hash space; of each, test rows first."""
    number, entries = piece
    with exchange.writer(number) as writer:
        for entry in entries:
            train = entry.role is Role.TRAIN
            for table in read_blocks(folder.verified(entry.file), columns=columns):
                hashes = stable_row_hash(table.select(columns))
                # The leading bits, of which there may be none.
                ranges = (hashes >> np.uint64(32)) * np.uint64(exchange.shards) >> np.uint64(32)
                writer.add(pa.table({"hash": hashes}), 2 * ranges.astype(np.int64) + train)
    return writer.index


def _count_range(exchange: Exchange, number: int) -> int:
    """Test rows of a range that have a copy in training."""
    mine = [np.empty(0, np.uint64)]
    values = counts = None
    known = np.empty(0, np.bool_)
    for train, table in exchange.read(number):
        hashes = table["hash"].to_numpy()
        if not train:
            mine.append(hashes)
            continue
        if values is None:
            values, counts = np.unique(np.concatenate(mine), return_counts=True)
            known = np.zeros(len(values), np.bool_)
        if not len(values):
            return 0
        at = np.minimum(np.searchsorted(values, hashes), len(values) - 1)
        known[at[values[at] == hashes]] = True
    return int(counts[known].sum()) if counts is not None else 0
