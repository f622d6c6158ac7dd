"""Where the candidate does worst: slices of test rows by each column that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.features import training_profile
from tidemill.metrics import SliceSums, WeakSlice, weakest_slices
from tidemill.profiling import CategoryProfile, NumericProfile, Profile, fold, merge
from tidemill.schema import ColumnType, Role, TableSchema
from tidemill.stages.context import StageContext
from tidemill.stages.shard_figures import scored_blocks
from tidemill.storage import FileEntry, ShardManifest, StoreFolder

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["SlicedColumn", "find_weak_slices"]

TEST_ROWS = 200_000
"""Test rows looked at, whole blocks spread evenly over the shards."""

CATEGORIES = 20
"""Of a column's categories the most frequent ones are slices."""

COLUMNS = 200
"""Columns that are looked at; of more, the first ones."""

_QUARTERS = (0.25, 0.5, 0.75)

Members = dict[str, npt.NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class SlicedColumn:
    """How one column cuts rows into slices: by these values, or between these numbers.

    Parameters
    ----------
    name : str
    values : tuple of str
    cuts : tuple of float
        Ascending; slices begin at each.
    """

    name: str
    values: tuple[str, ...] = ()
    cuts: tuple[float, ...] = ()

    def members(self, column: pa.ChunkedArray) -> Members:
        """Which rows of a block each of its slices has; the same slices for every block."""
        if self.cuts:
            return self._between(pc.cast(column, pa.float64(), safe=False).to_numpy())
        texts = column.cast(pa.string())
        found = {f"{self.name} = {value}": _mask(pc.equal(texts, value)) for value in self.values}
        return {**found, f"{self.name} is missing": _mask(pc.is_null(column))}

    def _between(self, numbers: npt.NDArray[np.float64]) -> Members:
        edges = [f"{cut:.6g}" for cut in self.cuts]
        names = [f"{self.name} < {edges[0]}"]
        names += [f"{low} <= {self.name} < {high}" for low, high in pairwise(edges)]
        names.append(f"{self.name} >= {edges[-1]}")
        at = np.searchsorted(np.asarray(self.cuts), numbers, side="right")
        missing = np.isnan(numbers)
        found = {name: (at == i) & ~missing for i, name in enumerate(names)}
        return {**found, f"{self.name} is missing": missing}


def find_weak_slices(
    context: StageContext, pipeline: Pipeline, manifest: ShardManifest
) -> tuple[WeakSlice, ...]:
    """The weakest slices of at most some 200,000 test rows.

    A numeric column makes four of about equally many training rows, a categorical one its 20 most
    frequent categories, each column one of its missing values.

    Notes
    -----
    One pass. Memory: one block, its matrix and its scores, per worker; a few numbers a slice.
    """
    schema, entries = manifest.schema, manifest.of(Role.TEST)
    reads = {str(name) for name in pipeline[0].feature_names_in_}
    columns = _columns(schema, training_profile(manifest, context.shards), reads)
    if not columns:
        return ()
    function = partial(
        _sum_shard,
        pipeline=pipeline,
        folder=context.shards,
        schema=schema,
        columns=columns,
        step=max(1, -(-manifest.rows(Role.TEST) // TEST_ROWS)),
    )
    files = [entry.file for entry in entries]
    found = context.engine.fold(function, files, merge, label="slices", progress=context.progress)
    return weakest_slices(found, schema.task)


def _columns(schema: TableSchema, profile: Profile, reads: set[str]) -> tuple[SlicedColumn, ...]:
    found = []
    for column in schema.features:
        if column.name not in reads or column.type is ColumnType.DATETIME:
            continue
        known = profile.columns[column.name]
        if isinstance(known, NumericProfile):
            numbers = {float(f"{known.quantile(q):.3g}") for q in _QUARTERS if known.count}
            cuts = tuple(sorted(cut for cut in numbers if known.minimum < cut <= known.maximum))
            found += [SlicedColumn(column.name, cuts=cuts)] if cuts else []
        elif isinstance(known, CategoryProfile):
            ranked = sorted(known.counts.items(), key=lambda one: (-one[1], one[0]))
            found.append(
                SlicedColumn(column.name, tuple(value for value, _ in ranked[:CATEGORIES]))
            )
    return tuple(found[:COLUMNS])


def _sum_shard(
    file: FileEntry,
    *,
    pipeline: Pipeline,
    folder: StoreFolder,
    schema: TableSchema,
    columns: tuple[SlicedColumn, ...],
    step: int,
) -> SliceSums:
    parts = []
    for table, _, scores, truth in scored_blocks(file, pipeline, folder, schema, step=step):
        members = (one for c in columns for one in c.members(table[c.name]).items())
        parts.append(
            SliceSums.of(
                members,
                schema.task,
                scores,
                truth,
                n_classes=len(schema.classes),
                center=edges[len(edges) // 2] if (edges := schema.target.edges) else 0.0,
            )
        )
    return fold(parts)


def _mask(found: Any) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.fill_null(found, False).to_numpy(), np.bool_)
