"""Exact uniqueness in bounded memory: key hashes in buckets, equal hashes compared by key.

While a split is scanned, each row's key and its 64-bit hash are spilled; of all splits they go
through an exchange to their bucket (the hash's low bits). Rows with the same key are in the same
bucket, so buckets can be checked one by one, on any worker. Two different keys that share a hash
are told apart by the keys themselves, which the spill holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.ingestion.checks.batch_view import json_value, plain_table
from tidemill.ingestion.checks.row_tally import EXAMPLES, Example
from tidemill.storage import PieceWriter, stable_hash

__all__ = [
    "BucketCheck",
    "KeySpill",
    "bucket_count",
    "bucket_of_keys",
    "check_tables",
    "hash_keys",
    "of_split",
]

_BUCKET_ROWS = 500_000
_BYTES_PER_ROW = 16
# Columns by place (a key may have any name) of keys that tell their split; a spill lacks that.
_HASH, _SPLIT, _ROW, _FIRST_KEY = 0, 1, 2, 3


def bucket_count(source_bytes: int) -> int:
    """How many buckets keep one bucket in memory small; a power of two up to 1024.

    Depends on the source alone, never on the machine.

    >>> bucket_count(1_000), bucket_count(10**9)
    (1, 128)
    """
    wanted = source_bytes / _BYTES_PER_ROW / _BUCKET_ROWS
    return int(min(1024, 2 ** max(0, int(np.ceil(np.log2(wanted))) if wanted > 1 else 0)))


def hash_keys(table: pa.Table) -> npt.NDArray[np.uint64]:
    """Hash of each row's key over all columns of ``table``, (rows,) uint64."""
    hashes = stable_hash(table.column(0))
    for column in table.columns[1:]:
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + stable_hash(column)
    return hashes


class KeySpill:
    """Keeps the keys of one split, whatever its number among the splits.

    Parameters
    ----------
    writer : PieceWriter
        Of one shard.
    schema : pyarrow.Schema
        Of the keys: one or more columns, none of them coded by a dictionary.

    Notes
    -----
    Memory: that of the writer. Disk: 16 bytes and the key, a row.
    """

    def __init__(self, writer: PieceWriter, schema: pa.Schema) -> None:
        self.writer = writer
        fields = [("hash", pa.uint64()), ("row", pa.int64())]
        self._schema = pa.schema([*(pa.field(*field) for field in fields), *schema])

    def add(self, keys: pa.Table, rows: npt.NDArray[np.int64]) -> None:
        """Add the keys (one or more columns) of some rows of the split."""
        keys = plain_table(keys)
        columns = [pa.array(hash_keys(keys)), pa.array(rows), *keys.columns]
        self.writer.add(pa.table(columns, schema=self._schema), np.zeros(len(rows), np.int64))


@dataclass(frozen=True, slots=True)
class BucketCheck:
    """What a bucket holds; buckets share no key, so their counts add.

    Parameters
    ----------
    distinct : int
        Different keys.
    repeated_keys, repeated_rows : int
        Keys that occur more than once, and all rows that hold one.
    examples : tuple of Example
        The first rows (by split and row) that hold a repeated key.
    """

    distinct: int = 0
    repeated_keys: int = 0
    repeated_rows: int = 0
    examples: tuple[Example, ...] = ()

    def merge(self, other: Self) -> BucketCheck:
        """The check of both buckets.

        >>> BucketCheck(distinct=2).merge(BucketCheck(distinct=3)).distinct
        5
        """
        examples = sorted((*self.examples, *other.examples), key=lambda e: e.place)
        return BucketCheck(
            self.distinct + other.distinct,
            self.repeated_keys + other.repeated_keys,
            self.repeated_rows + other.repeated_rows,
            tuple(examples[:EXAMPLES]),
        )


def check_tables(tables: Sequence[pa.Table]) -> BucketCheck:
    """Find repeated keys in all tables of one bucket, which tell splits; memory: twice that."""
    return _check(pa.concat_tables(tables)) if tables else BucketCheck()


def _check(table: pa.Table) -> BucketCheck:
    hashes = table.column(_HASH).to_numpy()
    order = np.argsort(hashes, kind="stable")
    same = hashes[order[1:]] == hashes[order[:-1]]
    paired = np.zeros(len(hashes), np.bool_)
    paired[1:] |= same
    paired[:-1] |= same
    candidates = np.sort(order[paired])
    alone = len(hashes) - len(candidates)
    if not len(candidates):
        return BucketCheck(distinct=alone)
    held = table.take(pa.array(candidates)).combine_chunks()
    group, sizes = _group_by_key(held)
    repeated = np.flatnonzero(sizes[group] > 1)
    keys = _keys_of(held)
    splits, rows = held.column(_SPLIT).to_numpy(), held.column(_ROW).to_numpy()
    places = np.lexsort((rows[repeated], splits[repeated]))
    first = repeated[places[:EXAMPLES]]
    examples = [Example(int(splits[i]), int(rows[i]), _key(keys, i)) for i in first]
    return BucketCheck(alone + len(sizes), int((sizes > 1).sum()), len(repeated), tuple(examples))


def _keys_of(held: pa.Table) -> pa.Table:
    return held.select(list(range(_FIRST_KEY, held.num_columns)))


def _group_by_key(held: pa.Table) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    codes = [held.column(_HASH).to_numpy()]
    for column in _keys_of(held).columns:
        encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
        whole = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
        codes.append(whole.indices.to_numpy(zero_copy_only=False).astype(np.uint64))
    _, group, sizes = np.unique(
        np.column_stack(codes), axis=0, return_inverse=True, return_counts=True
    )
    return group.ravel(), sizes


def _key(keys: pa.Table, row: np.int64) -> Any:
    values = {name: json_value(keys.column(name)[int(row)].as_py()) for name in keys.column_names}
    return next(iter(values.values())) if len(values) == 1 else values


def bucket_of_keys(table: pa.Table, buckets: int) -> npt.NDArray[np.int64]:
    """The bucket of each row of a spill, of a power of two; (rows,) int64."""
    hashes: npt.NDArray[np.uint64] = table.column(_HASH).to_numpy()
    return (hashes & np.uint64(buckets - 1)).astype(np.int64)


def of_split(table: pa.Table, split: int) -> pa.Table:
    """Rows of a spill that tell their split too."""
    splits = pa.array(np.full(len(table), split, np.int32))
    return table.add_column(_SPLIT, "split", splits)
