"""The second map: the pieces of one slot become a shard of profiled blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.profiling import Profile
from tidemill.schema import Role, TableSchema
from tidemill.sharding.ranges import ordered, to_texts
from tidemill.storage import (
    BlockWriter,
    Exchange,
    FileEntry,
    Receipts,
    ShardEntry,
    StoreFolder,
    open_store,
    recut,
)

__all__ = ["ShardTask", "even_blocks", "write_shard"]

_MIN_BLOCKS = 64
_MIN_BLOCK_ROWS = 256
_MAX_BLOCK_ROWS = 32_768


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One shard to be written from the pieces of one slot.

    Parameters
    ----------
    id, slot, role, bucket
        Position in the manifest; number in the plan; role and bucket.
    rows, block_rows : int
    ordered : bool
        Whether rows are ordered by the pieces' order column.
    ranged : str or None
        The sharding column, where its range is recorded.
    key : str
        Names the content of the shard.
    """

    id: int
    slot: int
    role: Role
    bucket: int
    rows: int
    block_rows: int
    ordered: bool
    ranged: str | None
    key: str


def block_rows_of(role_rows: int) -> int:
    """Rows a block may have, so that a role has at least 64 blocks where that is sensible.

    >>> block_rows_of(640_000), block_rows_of(100), block_rows_of(10**9)
    (10000, 256, 32768)
    """
    return min(max(role_rows // _MIN_BLOCKS, _MIN_BLOCK_ROWS), _MAX_BLOCK_ROWS)


def even_blocks(rows: int, block_rows: int) -> int:
    """Rows of each block, at most ``block_rows``, such that the last is not much shorter.

    >>> even_blocks(1001, 1000)
    501
    """
    blocks = -(-rows // block_rows)
    return -(-rows // blocks)


def write_shard(
    exchange: Exchange, out: StoreFolder, schema: TableSchema, task: ShardTask
) -> ShardEntry:
    """Write one shard and its profile into ``out``, or find them finished; last the receipt.

    Notes
    -----
    Memory: one group of rows (about 16 MB) or 16,384 rows, and two blocks.
    """
    receipts, work = Receipts(out), f"shard-{task.id:05d}"
    finished = receipts.done(work, task.key)
    if finished is not None:
        return entry_from_json(finished["entry"])
    name, tally = f"{work}.parquet", _Tally(schema, task.ranged)
    with (
        open_store(out.store).replace(out.key(name)) as file,
        BlockWriter(file, schema.arrow_schema(), block_rows=task.block_rows) as writer,
    ):
        for block in map(_in_one, recut(_rows(exchange, task), task.block_rows)):
            writer.write(block)
            tally.add(block)
    entry = _entry(out, task, replace(writer.close(), path=name), tally)
    left = {entry.file.path: entry.file.sha256, entry.profile: entry.profile_sha256}
    receipts.finish(work, {"entry": asdict(entry)}, left, key=task.key)
    return entry


def _in_one(table: pa.Table) -> pa.Table:
    # Dictionaries differ from piece to piece; a block has one.
    return table.unify_dictionaries().combine_chunks()


class _Tally:
    """What the manifest says about a shard, gathered block by block."""

    def __init__(self, schema: TableSchema, ranged: str | None) -> None:
        self.schema = schema
        self.ranged = ranged
        self.profiles: list[dict[str, Any]] = []
        self.ranges: dict[str, tuple[Any, Any]] = {}

    def add(self, block: pa.Table) -> None:
        self.profiles.append(Profile.of(block, self.schema).to_json())
        time = self.schema.time.name if self.schema.time is not None else None
        for column in {name for name in (self.ranged, time) if name is not None}:
            found = pc.min_max(ordered(block[column]))
            self._widen(column, found["min"].as_py(), found["max"].as_py())

    def range_of(self, column: str | None) -> tuple[str | None, str | None]:
        """Smallest and largest value as text."""
        low, high = self.ranges.get(column or "", (None, None))
        if column is None or low is None:
            return None, None
        texts = to_texts(pa.array([low, high]), self.schema[column].physical)
        return texts[0], texts[1]

    def _widen(self, column: str, low: Any, high: Any) -> None:
        if low is not None:
            known = self.ranges.get(column, (low, high))
            self.ranges[column] = min(known[0], low), max(known[1], high)


def _rows(exchange: Exchange, task: ShardTask) -> Iterator[pa.Table]:
    for _, found in groupby(exchange.read(task.slot), key=itemgetter(0)):
        tables = (table for _, table in found)
        if not task.ordered:
            yield from tables
            continue
        whole = _in_one(pa.concat_tables(tables))
        # By place: a column of the data may have the name.
        last = whole.num_columns - 1
        order = pc.sort_indices(whole.column(last))
        yield whole.select(list(range(last))).take(order)


def _entry(out: StoreFolder, task: ShardTask, file: FileEntry, tally: _Tally) -> ShardEntry:
    document = json.dumps(tally.profiles, sort_keys=True, separators=(",", ":"), allow_nan=False)
    name = f"shard-{task.id:05d}.profile.json"
    with open_store(out.store).replace(out.key(name)) as profile:
        profile.write(document.encode())
    time = tally.schema.time.name if tally.schema.time is not None else None
    lower, upper = tally.range_of(task.ranged)
    time_from, time_to = tally.range_of(time)
    return ShardEntry(
        id=task.id,
        role=task.role,
        file=file,
        profile=name,
        profile_sha256=profile.stored.sha256,
        bucket=task.bucket,
        lower=lower,
        upper=upper,
        time_from=time_from,
        time_to=time_to,
    )


def entry_from_json(document: dict[str, Any]) -> ShardEntry:
    """Read what ``asdict`` wrote."""
    file = FileEntry.from_json(document["file"])
    return ShardEntry(**{**document, "role": Role(document["role"]), "file": file})
