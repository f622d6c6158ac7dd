"""The reference: what the champion was trained on, as profiles by time block.

A live window is compared with the whole; thresholds come from resampling the blocks in order.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.profiling import Profile
from tidemill.schema import Role, TableSchema
from tidemill.stages.context import StageContext
from tidemill.storage import ShardEntry, ShardManifest, read_blocks, read_profiles, verify_file

__all__ = ["TIME_BLOCKS", "reference_profiles"]

TIME_BLOCKS = 64


def reference_profiles(context: StageContext, manifest: ShardManifest) -> list[Profile]:
    """Return the training rows' profiles, at most 64, in time order.

    With a time column each covers an equal stretch of time between the first and the last
    training row (empty stretches are left out); without one, each is one or more blocks in
    the order of the shards.

    Memory: one profile a time block, and one block of rows per worker.
    """
    shards = manifest.of(Role.TRAIN)
    folder = context.workspace.shards
    if manifest.schema.time is None:
        return _by_order(shards, folder)
    edges = _time_edges(shards)
    function = partial(_profile_shard, folder=folder, schema=manifest.schema, edges=edges)
    parts = context.engine.map(function, shards, label="reference", progress=context.progress)
    found: dict[int, Profile] = {}
    for part in parts:
        for number, profile in part.items():
            found[number] = found[number].merge(profile) if number in found else profile
    return [found[number] for number in sorted(found)]


def _by_order(shards: tuple[ShardEntry, ...], folder: Path) -> list[Profile]:
    documents = (document for entry in shards for document in read_profiles(folder, entry))
    total = sum(len(entry.file.blocks) for entry in shards)
    size = -(-total // TIME_BLOCKS)
    found: list[Profile] = []
    for number, document in enumerate(documents):
        profile = Profile.from_json(document)
        if number % size:
            found[-1] = found[-1].merge(profile)
        else:
            found.append(profile)
    return found


def _time_edges(shards: tuple[ShardEntry, ...]) -> tuple[int, ...]:
    first = min(np.datetime64(s.time_from, "us") for s in shards if s.time_from)
    last = max(np.datetime64(s.time_to, "us") for s in shards if s.time_to)
    inner = np.linspace(first.astype(np.int64), last.astype(np.int64), TIME_BLOCKS + 1)[1:-1]
    return tuple(int(edge) for edge in inner)


def _profile_shard(
    entry: ShardEntry, *, folder: Path, schema: TableSchema, edges: tuple[int, ...]
) -> dict[int, Profile]:
    assert schema.time is not None  # noqa: S101 - the caller's branch
    found: dict[int, Profile] = {}
    for table in read_blocks(verify_file(folder, entry.file)):
        times = pc.fill_null(table[schema.time.name].cast(pa.int64()), 0).to_numpy()
        numbers = np.searchsorted(np.asarray(edges), times, side="right")
        order = np.argsort(numbers, kind="stable")
        present, starts = np.unique(numbers[order], return_index=True)
        stops = [*starts[1:], len(order)]
        for number, start, stop in zip(present, starts, stops, strict=True):
            part = table.take(pa.array(order[start:stop]))
            profile = Profile.of(part, schema)
            key = int(number)
            found[key] = found[key].merge(profile) if key in found else profile
    return found
