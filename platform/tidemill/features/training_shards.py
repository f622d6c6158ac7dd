"""The passes over training shards: calendar counts, and moments of the encoded columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from tidemill.contracts import Engine, Progress
from tidemill.features.calendar import calendar_counts
from tidemill.features.columns import read_times
from tidemill.features.encoder import Encoder
from tidemill.profiling import Moments, Profile, fold, merge
from tidemill.schema import Role
from tidemill.storage import ShardEntry, ShardManifest, read_blocks, read_profiles, verify_file

__all__ = [
    "Encoding",
    "count_calendar",
    "encoded_hashes",
    "encoded_moments",
    "training_profile",
]

Counts = dict[str, dict[str, npt.NDArray[np.int64]]]


@dataclass(frozen=True)
class Encoding:
    """What a worker needs to encode: descriptions, names, and what stands in for NaN."""

    features: tuple[Mapping[str, Any], ...]
    names: tuple[str, ...]
    means: tuple[float, ...]


def training_profile(manifest: ShardManifest, folder: Path) -> Profile:
    """The merged block profiles of the training shards.

    Raises
    ------
    IntegrityError
        If a profile is missing or differs from its recorded hash.
    """
    return fold(
        Profile.from_json(block)
        for shard in manifest.of(Role.TRAIN)
        for block in read_profiles(folder, shard)
    )


def count_calendar(
    manifest: ShardManifest, folder: Path, parts: Mapping[str, tuple[str, ...]], engine: Engine
) -> Counts:
    """How often each calendar part takes each value, by time column; reads those columns only."""
    if not parts:
        return {}
    counted = engine.map(
        partial(_shard_calendar, folder=folder, parts=dict(parts)),
        manifest.of(Role.TRAIN),
        label="calendar",
    )
    return {
        name: {part: sum(shard[name][part] for shard in counted) for part in wanted}  # type: ignore[misc]
        for name, wanted in parts.items()
    }


def _shard_calendar(
    shard: ShardEntry, *, folder: Path, parts: Mapping[str, tuple[str, ...]]
) -> Counts:
    total: Counts = {}
    for table in read_blocks(verify_file(folder, shard.file), columns=list(parts)):
        for name, wanted in parts.items():
            counts = calendar_counts(read_times(table[name]), wanted)
            held = total.setdefault(name, {part: np.zeros_like(c) for part, c in counts.items()})
            for part, count in counts.items():
                held[part] += count
    return total


def encoded_moments(
    manifest: ShardManifest,
    folder: Path,
    encoding: Encoding,
    engine: Engine,
    progress: Progress | None = None,
) -> Moments:
    """Moments of the encoded columns of all training rows; one pass, memory of one block."""
    return engine.fold(
        partial(_shard_moments, folder=folder, encoding=encoding),
        manifest.of(Role.TRAIN),
        merge,
        label="co-moments",
        progress=progress,
    )


def _shard_moments(shard: ShardEntry, *, folder: Path, encoding: Encoding) -> Moments:
    path = verify_file(folder, shard.file)
    encoder = Encoder(encoding.features, len(encoding.names))
    columns: Sequence[str] = [feature["name"] for feature in encoding.features]
    means = np.array(encoding.means)

    buffer = np.empty((max(shard.file.blocks), len(encoding.names)))

    def moments(table: Any) -> Moments:
        matrix = encoder.encode(table, np.float64, buffer=buffer)
        np.copyto(matrix, means, where=np.isnan(matrix))
        return Moments.of(matrix, encoding.names)

    # One thread: sums do not depend on the machine's cores, and workers share them anyway.
    with threadpool_limits(1, user_api="blas"):
        return fold(moments(table) for table in read_blocks(path, columns=columns))


def encoded_hashes(
    manifest: ShardManifest,
    folder: Path,
    encoding: Encoding,
    engine: Engine,
    progress: Progress | None = None,
) -> npt.NDArray[np.uint64]:
    """A hash of the values of each encoded column over all training rows, (n_columns,) uint64.

    Columns of equal values hash alike, others but for one in 2^64. The sum, modulo 2^64, of every
    value's bits times a number that its row gives: it merges exactly, in whatever order. Memory:
    one block a worker and O(n_columns).
    """
    found = engine.map(
        partial(_shard_hashes, folder=folder, encoding=encoding),
        manifest.of(Role.TRAIN),
        label="hashes of columns",
        progress=progress,
    )
    hashes: npt.NDArray[np.uint64] = np.sum(np.stack(found), axis=0, dtype=np.uint64)
    return hashes


def _shard_hashes(shard: ShardEntry, *, folder: Path, encoding: Encoding) -> npt.NDArray[np.uint64]:
    path = verify_file(folder, shard.file)
    encoder = Encoder(encoding.features, len(encoding.names))
    columns: Sequence[str] = [feature["name"] for feature in encoding.features]
    weights = np.random.default_rng(int(shard.file.sha256[:16], 16))
    hashes = np.zeros(len(encoding.names), np.uint64)
    for table in read_blocks(path, columns=columns):
        matrix = encoder.encode(table, np.float64) + 0.0  # -0 is 0
        matrix[np.isnan(matrix)] = np.nan  # of one kind
        by_row = weights.integers(1, 2**64, len(matrix), np.uint64)
        for bits, weight in zip(matrix.view(np.uint64), by_row, strict=True):
            # The low bits of a number are often 0, and a product has no better ones.
            hashes += (bits ^ (bits >> np.uint64(32))) * weight
    return hashes
