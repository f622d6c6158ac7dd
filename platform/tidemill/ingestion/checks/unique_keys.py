"""Exact uniqueness in bounded memory: key hashes in buckets, equal hashes compared by key.

While a split is scanned, each row's key and its 64-bit hash are spilled to a file, grouped by
bucket (the hash's low bits). Rows with the same key are in the same bucket, so buckets can be
checked one by one, on any worker. Two different keys that share a hash are told apart by the
keys themselves, which the spill holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.ingestion.checks.batch_view import json_value, plain_table
from tidemill.ingestion.checks.row_tally import EXAMPLES, Example
from tidemill.storage import stable_hash, storage_errors

__all__ = [
    "BucketCheck",
    "KeySpill",
    "bucket_count",
    "bucket_of_keys",
    "check_bucket",
    "check_tables",
    "hash_keys",
    "read_spill",
]

_BUCKET_ROWS = 500_000
_BYTES_PER_ROW = 16
_FLUSH_ROWS = 65_536
# Columns of a spill by place: a key may have any name.
_HASH, _ROW, _FIRST_KEY = 0, 1, 2


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
    """Writes the keys of one split, grouped by bucket, to an Arrow file.

    Every ``buckets`` record batches of the file are one group: bucket 0, 1, ... in order.

    Notes
    -----
    Memory: ``_FLUSH_ROWS`` keys and one batch. Disk: 16 bytes and the key, a row.
    """

    def __init__(self, path: Path, schema: pa.Schema, buckets: int) -> None:
        self._path, self._buckets = path, buckets
        fields = [pa.field("hash", pa.uint64()), pa.field("row", pa.int64()), *schema]
        self._schema = pa.schema(fields)
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, self._schema)

    def add(self, keys: pa.Table, rows: npt.NDArray[np.int64]) -> None:
        """Add the keys (one or more columns) of some rows of the split."""
        keys = plain_table(keys)
        columns = [pa.array(hash_keys(keys)), pa.array(rows), *keys.columns]
        self._waiting.append(pa.table(columns, schema=self._schema))
        self._waiting_rows += len(rows)
        if self._waiting_rows >= _FLUSH_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what is waiting and end the file; a second call does nothing."""
        if self._file.closed:
            return
        with storage_errors(self._path):
            if self._waiting_rows:
                self._flush()
            self._writer.close()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()

    def _flush(self) -> None:
        table = pa.concat_tables(self._waiting).combine_chunks()
        self._waiting, self._waiting_rows = [], 0
        bucket = _bucket_of(table.column(_HASH).to_numpy(), self._buckets)
        order = np.argsort(bucket, kind="stable")
        table = table.take(pa.array(order)).combine_chunks()
        ends = np.cumsum(np.bincount(bucket, minlength=self._buckets))
        start = 0
        with storage_errors(self._path):
            for end in ends:
                piece = table.slice(start, int(end) - start)
                start = int(end)
                self._writer.write_batch(_one_batch(piece))


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


def check_bucket(files: Sequence[tuple[int, Path]], bucket: int, buckets: int) -> BucketCheck:
    """Find repeated keys of one bucket over the spills of all splits.

    Parameters
    ----------
    files : sequence of (split, path)
    bucket, buckets : int

    Notes
    -----
    Memory: one bucket's keys.
    """
    splits, tables = [], []
    for split, path in files:
        for batch in _read_bucket(path, bucket, buckets):
            splits.append(np.full(batch.num_rows, split, np.int64))
            tables.append(pa.Table.from_batches([batch]))
    return check_tables(splits, tables)


def check_tables(
    splits: Sequence[npt.NDArray[np.int64]], tables: Sequence[pa.Table]
) -> BucketCheck:
    """Find repeated keys in all tables of one bucket; ``splits`` has the split of each row."""
    if not tables:
        return BucketCheck()
    return _check(np.concatenate(splits), pa.concat_tables(tables))


def _check(splits: npt.NDArray[np.int64], table: pa.Table) -> BucketCheck:
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
    places = np.lexsort((held.column(_ROW).to_numpy()[repeated], splits[candidates[repeated]]))
    first = repeated[places[:EXAMPLES]]
    examples = [
        Example(int(splits[candidates[i]]), int(held.column(_ROW)[int(i)].as_py()), _key(keys, i))
        for i in first
    ]
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


def _read_bucket(path: Path, bucket: int, buckets: int) -> list[pa.RecordBatch]:
    with storage_errors(path), pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        numbers = range(bucket, reader.num_record_batches, buckets)
        return [reader.get_batch(number) for number in numbers]


def read_spill(path: Path, buckets: int) -> Iterator[pa.Table]:
    """All keys of a spill, in about the tables that were written."""
    with storage_errors(path), pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        for first in range(0, reader.num_record_batches, buckets):
            batches = [reader.get_batch(first + bucket) for bucket in range(buckets)]
            yield pa.Table.from_batches(batches)


def bucket_of_keys(table: pa.Table, buckets: int) -> npt.NDArray[np.int64]:
    """The bucket of each row of a spill; (rows,) int64."""
    return _bucket_of(table.column(_HASH).to_numpy(), buckets)


def _bucket_of(hashes: npt.NDArray[np.uint64], buckets: int) -> npt.NDArray[np.int64]:
    return (hashes & np.uint64(buckets - 1)).astype(np.int64)


def _one_batch(piece: pa.Table) -> pa.RecordBatch:
    batches = piece.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=piece.schema)
