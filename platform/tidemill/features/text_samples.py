"""Training texts as counts of terms: as many as a bound on memory allows, always the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.contracts import Engine, Progress
from tidemill.features.category_sums import target_values
from tidemill.features.row_folds import RowFolds, hash_places
from tidemill.features.target_codes import encode_target
from tidemill.features.text_terms import count_terms
from tidemill.schema import Role, TableSchema
from tidemill.storage import (
    ShardEntry,
    ShardManifest,
    StoreFolder,
    read_blocks,
    salted_hash,
    stable_row_hash,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["TextSample", "sample_texts"]

_CELLS = 2**23
_CELLS_OF_ALL = 2**24
_EVERY = 2**64
_SALT = "texts"


@dataclass(frozen=True, eq=False)
class TextSample:
    """Rows of one text column: those with the smallest hashes that fit into ``most`` terms.

    Parameters
    ----------
    most : int
        Terms of all rows, each counted once a row.
    hashes : (rows,) uint64
        Of what names the row, never of its target; ascending.
    folds : (rows,) int64
    targets : (rows, n_targets) float64
    counts : (rows, BUCKETS) float32
    bound : int
        Rows with this hash or a larger one are left out.

    Notes
    -----
    Merges exactly, in any order. Memory: 8 bytes a term.
    """

    most: int
    hashes: npt.NDArray[np.uint64]
    folds: npt.NDArray[np.int64]
    targets: npt.NDArray[np.float64]
    counts: csr_matrix
    bound: int = _EVERY

    @classmethod
    def empty(cls, most: int, n_targets: int) -> Self:
        """That of no rows."""
        none = np.empty(0, np.int64)
        counts = count_terms(pa.array([], pa.string()))
        return cls(most, none.astype(np.uint64), none, np.empty((0, n_targets)), counts)

    def merge(self, other: Self) -> Self:
        """The sample of both sets of rows."""
        from scipy.sparse import vstack

        return type(self)(
            self.most,
            np.concatenate([self.hashes, other.hashes]),
            np.concatenate([self.folds, other.folds]),
            np.concatenate([self.targets, other.targets]),
            vstack([self.counts, other.counts], format="csr"),
            min(self.bound, other.bound),
        )._cut()

    def _cut(self) -> Self:
        """The same in the order of the hashes, without what does not fit."""
        order = np.lexsort((*self.targets.T, self.folds, self.hashes))
        hashes = self.hashes[order]
        terms = np.cumsum(np.diff(self.counts.indptr)[order])
        fits = int(np.searchsorted(terms, self.most, side="right"))
        bound = min(self.bound, int(hashes[fits])) if fits < len(hashes) else self.bound
        left = order[
            : len(hashes) if bound == _EVERY else np.searchsorted(hashes, np.uint64(bound))
        ]
        return type(self)(
            self.most,
            self.hashes[left],
            self.folds[left],
            self.targets[left],
            self.counts[left],
            bound,
        )


def sample_texts(
    manifest: ShardManifest,
    folder: StoreFolder,
    names: tuple[str, ...],
    targets: tuple[str, ...],
    folds: RowFolds,
    *,
    engine: Engine,
    progress: Progress | None = None,
) -> dict[str, TextSample]:
    """One pass over these text columns of the training shards.

    Memory: 64 MiB a column and 128 MiB for all, a worker and three times while merging; and the
    terms of a block.
    """
    one = partial(
        _shard_texts,
        folder=folder,
        most=min(_CELLS, _CELLS_OF_ALL // len(names)),
        names=names,
        targets=targets,
        folds=folds,
        schema=manifest.schema,
    )
    shards = manifest.of(Role.TRAIN)
    return engine.fold(one, shards, _both, label="terms of texts", progress=progress)


def _both(a: Mapping[str, TextSample], b: Mapping[str, TextSample]) -> dict[str, TextSample]:
    return {name: sample.merge(b[name]) for name, sample in a.items()}


def _shard_texts(
    shard: ShardEntry,
    *,
    folder: StoreFolder,
    most: int,
    names: tuple[str, ...],
    targets: tuple[str, ...],
    folds: RowFolds,
    schema: TableSchema,
) -> dict[str, TextSample]:
    target = schema.target.name
    key = () if schema.key is None else (schema.key.name,)
    named = tuple(dict.fromkeys([*folds.columns, *key]))
    columns = list(dict.fromkeys([*names, target, *named]))
    first, held = 0, dict.fromkeys(names, TextSample.empty(most, len(targets)))
    for table in read_blocks(folder.verified(shard.file), columns=columns):
        values = target_values(encode_target(table[target], schema), schema, targets)
        y, of_row = np.stack(values, axis=1), folds.assign(table, shard.file, first)
        every = _row_hashes(table.select([*named, *names]) if named else None, shard, first, len(y))
        first += table.num_rows
        for name, sample in held.items():
            rows = np.flatnonzero(every <= np.uint64(sample.bound - 1))  # others are not read
            counts = count_terms(table[name].take(rows))
            found = TextSample(most, every[rows], of_row[rows], y[rows], counts)
            held[name] = sample.merge(found)
    return held


def _row_hashes(
    named: pa.Table | None, shard: ShardEntry, first: int, rows: int
) -> npt.NDArray[np.uint64]:
    """What decides which rows are learnt: their key or time with all texts, else their place.

    Of a text alone, all rows without one would be in or out; of the target too, those of a class.
    """
    if named is None:
        return salted_hash(hash_places(shard.file, first, rows), _SALT)
    return salted_hash(stable_row_hash(named), _SALT)
