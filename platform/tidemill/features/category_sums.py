"""What training rows say of the target, by category: counts and sums of hashed labels, by fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.contracts import Engine, Progress
from tidemill.features.row_folds import RowFolds
from tidemill.features.target_codes import encode_target
from tidemill.profiling import CategoryProfile, Profile
from tidemill.schema import Role, TableSchema, Task
from tidemill.spelling import one_spelling
from tidemill.storage import ShardEntry, ShardManifest, StoreFolder, read_blocks, stable_hash

__all__ = [
    "LARGEST_BUCKETS",
    "CategorySums",
    "bucket_codes",
    "n_buckets",
    "sum_categories",
    "target_names",
    "target_values",
]

_ROOM = 8
_CELLS = 2**23
_CELLS_OF_ALL = 2**25
LARGEST_BUCKETS = 2**20
"""Buckets of a column at most; one more is of missing values."""

_MOST_CLASSES = 8


@dataclass(frozen=True, eq=False)
class CategorySums:
    """Counts and sums of a target by bucket and fold, of one column or several.

    Parameters
    ----------
    columns : dict of str to (n_folds, n_buckets + 1, 1 + n_targets) float64
        Rows first, then the sum of each target; the last bucket is that of missing values.

    Notes
    -----
    Merges exactly where targets are classes, to about 1e-15 of the sums where they are numbers.
    Memory: at most 64 MiB a column, and 256 MiB.
    """

    columns: dict[str, npt.NDArray[np.float64]]

    def merge(self, other: Self) -> Self:
        """The sums of both sets of rows."""
        return type(self)({name: sums + other.columns[name] for name, sums in self.columns.items()})


def n_buckets(profile: CategoryProfile, cells_each: int, n_columns: int = 1) -> int:
    """A power of two: some eight times as many as categories, as far as the bounds allow.

    ``cells_each`` are the numbers of a bucket: folds times targets and one.

    >>> n_buckets(CategoryProfile.of(dict.fromkeys("abc", 1), rows=3), 5 * 2)
    32
    """
    wanted = 1 << int(np.ceil(np.log2(_ROOM * max(profile.n_distinct, 1.0))))
    cells = min(_CELLS, _CELLS_OF_ALL // n_columns)
    most = 1 << int(np.log2(max(cells // cells_each - 1, 1)))
    return min(wanted, most, LARGEST_BUCKETS)


def bucket_codes(labels: pa.Array, buckets: int) -> npt.NDArray[np.int64]:
    """The bucket of each label of an Arrow dictionary, whatever its spelling; (rows,).

    Each label of the dictionary is hashed once, not each row. ``buckets`` where missing.
    """
    chunks = labels.chunks if isinstance(labels, pa.ChunkedArray) else [labels]
    parts = [_codes(chunk, buckets) for chunk in chunks]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _codes(chunk: pa.Array, buckets: int) -> npt.NDArray[np.int64]:
    texts = [None if text is None else one_spelling(text) for text in chunk.dictionary.to_pylist()]
    hashed = stable_hash(pa.array(texts, pa.string())) % np.uint64(buckets)
    known = np.append(hashed.astype(np.int64), buckets)
    known[:-1][[text is None for text in texts]] = buckets
    found: npt.NDArray[np.int64] = known[chunk.indices.fill_null(len(texts)).to_numpy()]
    return found


def target_names(schema: TableSchema, profile: Profile) -> tuple[str, ...]:
    """What is summed: the number, the second of two classes, or the 8 most frequent classes."""
    if schema.task is Task.REGRESSION:
        return ("",)
    if schema.task is Task.BINARY:
        return (schema.classes[-1],)
    known = profile.columns[schema.target.name]
    assert isinstance(known, CategoryProfile)  # noqa: S101 - classes are categories there
    frequent = sorted(schema.classes, key=lambda name: -known.counts.get(name, 0))
    return tuple(name for name in schema.classes if name in frequent[:_MOST_CLASSES])


def sum_categories(
    manifest: ShardManifest,
    folder: StoreFolder,
    buckets: Mapping[str, int],
    targets: tuple[str, ...],
    folds: RowFolds,
    *,
    engine: Engine,
    progress: Progress | None = None,
) -> CategorySums:
    """One pass over these columns of the training shards.

    Memory: what is merged, a block of these columns and its sums a worker.
    """
    one = partial(
        _shard_sums,
        folder=folder,
        buckets=dict(buckets),
        targets=targets,
        folds=folds,
        schema=manifest.schema,
    )
    return engine.fold(
        one,
        manifest.of(Role.TRAIN),
        CategorySums.merge,
        label="sums of categories",
        progress=progress,
    )


def _shard_sums(
    shard: ShardEntry,
    *,
    folder: StoreFolder,
    buckets: Mapping[str, int],
    targets: tuple[str, ...],
    folds: RowFolds,
    schema: TableSchema,
) -> CategorySums:
    shape = {name: (folds.count, size + 1, 1 + len(targets)) for name, size in buckets.items()}
    total = {name: np.zeros(size) for name, size in shape.items()}
    columns = list(dict.fromkeys([*buckets, schema.target.name, *folds.columns]))
    first = 0
    for table in read_blocks(folder.verified(shard.file), columns=columns):
        y = target_values(encode_target(table[schema.target.name], schema), schema, targets)
        of_row = folds.assign(table, shard.file, first)
        first += table.num_rows
        for name, size in buckets.items():
            cells = of_row * (size + 1) + bucket_codes(table[name], size)
            sums = total[name].reshape(-1, 1 + len(targets))
            for column, weights in enumerate([None, *y]):
                sums[:, column] += np.bincount(cells, weights, minlength=len(sums))
    return CategorySums(total)


def target_values(
    codes: npt.NDArray[Any], schema: TableSchema, targets: tuple[str, ...]
) -> list[npt.NDArray[np.float64]]:
    """What is summed of an encoded target: the number, or whether it is each of the classes."""
    if schema.task is Task.REGRESSION:
        return [codes]
    return [(codes == schema.classes.index(name)).astype(np.float64) for name in targets]
