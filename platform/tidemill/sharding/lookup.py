"""Where a row lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.bucket_rules import BUCKET_RULES
from tidemill.errors import ConfigError
from tidemill.schema import Role
from tidemill.sharding.ranges import cuts_from_text, ordered
from tidemill.storage import ShardEntry, ShardManifest, StoreFolder, read_blocks, stable_hash

__all__ = ["Location", "locate"]


@dataclass(frozen=True, slots=True)
class Location:
    """A row's place: shard id and role, block of the shard, row of the block, path."""

    shard: int
    role: Role
    block: int
    row: int
    path: str


def locate(manifest: ShardManifest, folder: StoreFolder, key: str) -> Location | None:
    """Find the first row whose key (without one, whose sharding column) equals ``key``.

    Parameters
    ----------
    manifest, folder : ShardManifest, StoreFolder
    key : str
        As text; times in ISO 8601.

    Returns
    -------
    Location or None
        None if there is no such row.

    Raises
    ------
    ConfigError
        If the data have neither key nor sharding column.
    IntegrityError
        If a shard cannot be read.

    Notes
    -----
    Where the key is the sharding column, at most one shard of each role is read, otherwise
    all; one column only. Memory: one block of it.
    """
    column = manifest.schema.key.name if manifest.schema.key is not None else manifest.by
    if column is None:
        raise ConfigError(
            "rows cannot be located: the data have no key",
            remedy="set dataset.key to a column that names each row, and run again",
        )
    try:
        wanted = cuts_from_text((key,), manifest.schema[column].physical)
    except (ValueError, OverflowError, pa.ArrowInvalid):
        return None  # a text that is no value of the column's type names no row
    for shard in _candidates(manifest, column, wanted):
        found = _find(shard, folder, column, wanted)
        if found is not None:
            return found
    return None


def _candidates(manifest: ShardManifest, column: str, wanted: pa.Array) -> list[ShardEntry]:
    if column != manifest.by:
        return list(manifest.shards)
    rule = BUCKET_RULES[manifest.strategy]()
    hashed = rule.wants == "hash"
    physical = "hash" if hashed else manifest.schema[column].physical
    value = wanted
    if hashed:
        arrow = manifest.schema[column].arrow_type
        plain = pa.string() if pa.types.is_dictionary(arrow) else arrow
        value = pa.array(stable_hash(wanted.cast(plain)))
    buckets = {
        role: int(rule.bucket(value, texts, physical)[0])
        for role, texts in manifest.boundaries.items()
    }
    # Appended sets are cut by boundaries of their own.
    return [s for s in manifest.shards if s.origin or s.bucket == buckets[s.role]]


def _find(shard: ShardEntry, folder: StoreFolder, column: str, wanted: pa.Array) -> Location | None:
    file = folder.file(shard.file.path)
    for block, table in enumerate(read_blocks(file, columns=[column])):
        same = pc.equal(ordered(table[column]), wanted[0])
        rows = np.flatnonzero(pc.fill_null(same, False).to_numpy(zero_copy_only=False))
        if len(rows):
            return Location(shard.id, shard.role, block, int(rows[0]), shard.file.path)
    return None
