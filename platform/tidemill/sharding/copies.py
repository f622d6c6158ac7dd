"""How many test rows the training rows hold already, feature by feature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tidemill.contracts import Engine
from tidemill.schema import Role
from tidemill.storage import (
    ShardEntry,
    ShardManifest,
    read_blocks,
    stable_row_hash,
    storage_errors,
    verify_file,
)

__all__ = ["Copies", "count_copies"]

_RANGE_ROWS = 1 << 20


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


def count_copies(manifest: ShardManifest, folder: Path, work: Path, engine: Engine) -> Copies:
    """Count the test rows whose features, all of them and exactly, a training row has too.

    Parameters
    ----------
    manifest, folder : ShardManifest, Path
    work : Path
        Empty; takes 8 bytes a row.
    engine : Engine

    Raises
    ------
    IntegrityError
        If a shard is not what the manifest recorded.

    Notes
    -----
    Rows are compared by 64-bit hashes of their features, range by range of the hash space: of n
    test and m training rows that differ about ``n m / 2**64`` are taken for copies. Memory: a
    block's features in a worker, or a range's hashes (about a million test rows) and those of one
    training block.
    """
    columns = [column.name for column in manifest.schema.features]
    train, test = manifest.of(Role.TRAIN), manifest.of(Role.TEST)
    engine.map(
        partial(_write_hashes, folder=folder, work=work, columns=columns),
        [*train, *test],
        label="hash features",
    )
    rows = manifest.rows(Role.TEST)
    bits = max(0, (rows // _RANGE_ROWS).bit_length())
    count = partial(_count_range, work=work, train=train, test=test, bits=bits)
    return Copies(rows, sum(engine.map(count, range(1 << bits), label="compare features")))


def _write_hashes(entry: ShardEntry, *, folder: Path, work: Path, columns: list[str]) -> None:
    """The hashes of each block's rows, ascending, block after block."""
    path = verify_file(folder, entry.file)
    with storage_errors(work), _file(work, entry).open("wb") as file:
        for table in read_blocks(path, columns=columns):
            file.write(np.sort(stable_row_hash(table.select(columns))).tobytes())


def _count_range(
    number: int, *, work: Path, train: Sequence[ShardEntry], test: Sequence[ShardEntry], bits: int
) -> int:
    """Test rows with a copy in training, of those whose hash has the leading bits ``number``."""
    mine = [np.empty(0, np.uint64)]
    mine += [hashes for entry in test for hashes in _range_of(work, entry, number, bits)]
    values, counts = np.unique(np.concatenate(mine), return_counts=True)
    known = np.zeros(len(values), np.bool_)
    if not len(values):
        return 0
    for entry in train:
        for hashes in _range_of(work, entry, number, bits):
            at = np.minimum(np.searchsorted(values, hashes), len(values) - 1)
            known[at[values[at] == hashes]] = True
    return int(counts[known].sum())


def _range_of(
    work: Path, entry: ShardEntry, number: int, bits: int
) -> Iterator[npt.NDArray[np.uint64]]:
    path, offset = _file(work, entry), 0
    low = np.uint64(number << (64 - bits))
    high = np.uint64(((number + 1) << (64 - bits)) - 1)
    for rows in entry.file.blocks:
        with storage_errors(path):
            hashes = np.fromfile(path, np.uint64, count=rows, offset=8 * offset)
        offset += rows
        yield hashes[np.searchsorted(hashes, low) : np.searchsorted(hashes, high, side="right")]


def _file(work: Path, entry: ShardEntry) -> Path:
    return work / f"{entry.id:05d}.hashes"
