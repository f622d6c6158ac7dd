"""Score shards with a saved model, out of core: one partial of figures a shard."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.features import encode_target, training_profile
from tidemill.learning import predict_scores, threshold_of
from tidemill.metrics import (
    STRETCHES,
    Figures,
    baseline_figures,
    class_shares,
    figures_of,
)
from tidemill.profiling import CategoryProfile, fold, merge
from tidemill.schema import Role, TableSchema
from tidemill.stages.ancestry import Unlearnt
from tidemill.stages.context import StageContext
from tidemill.storage import FileEntry, ShardManifest, StoreFolder, read_blocks

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = [
    "defined",
    "measure_baseline",
    "measure_shards",
    "measure_stretches",
    "scored_blocks",
    "stretch_ends",
]

_SAMPLED_TIMES = 65_536

Times = npt.NDArray[np.int64]


def defined(figures: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: a figure that the rows do not define is null."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def measure_shards(
    context: StageContext,
    pipeline: Pipeline,
    manifest: ShardManifest,
    role: Role,
    *,
    max_rows: int | None = None,
    only: Unlearnt | None = None,
) -> Figures:
    """Return the figures (a metrics partial) of ``pipeline`` on the shards of a role.

    Parameters
    ----------
    max_rows : int or None
        Look at no more than about that many rows, whole blocks spread evenly over the shards.
    only : Unlearnt or None
        Look at these rows only.

    Notes
    -----
    Memory: one block, its matrix and its scores, per worker.
    """
    files = [entry.file for entry in manifest.of(role)]
    step = 1 if max_rows is None else max(1, -(-manifest.rows(role) // max_rows))
    function = partial(
        _measure_shard,
        pipeline=pipeline,
        folder=context.shards,
        schema=manifest.schema,
        step=step,
        only=only,
    )
    label = f"evaluate {role.value}"
    return context.engine.fold(function, files, merge, label=label, progress=context.progress)


def measure_stretches(
    context: StageContext,
    pipeline: Pipeline,
    files: Sequence[FileEntry],
    folder: StoreFolder,
    schema: TableSchema,
    *,
    label: str,
    only: Unlearnt | None = None,
    ends: Times | None = None,
) -> tuple[Figures, ...]:
    """Return the figures of ``pipeline`` on each of :data:`STRETCHES` stretches of the rows.

    Parameters
    ----------
    only : Unlearnt or None
        Look at these rows only; stretches without any are left out.
    ends : (STRETCHES - 1,) int64 or None
        See :func:`stretch_ends`. None: stretches follow the order of the rows, equally long;
        fewer where there are fewer rows.

    Notes
    -----
    Memory: one block, its matrix and its scores, per worker; the figures of all stretches.
    """
    total = sum(file.rows for file in files)
    starts = accumulate((file.rows for file in files), initial=0)
    function = partial(
        _measure_parts,
        pipeline=pipeline,
        folder=folder,
        schema=schema,
        total=max(total, 1),
        only=only,
        ends=ends,
    )
    placed = list(zip(files, starts, strict=False))
    if not placed:
        return ()
    parts = context.engine.fold(
        function, placed, _merge_parts, label=label, progress=context.progress
    )
    return tuple(figures for _, figures in sorted(_merge_parts(parts, [])))


def _merge_parts(
    some: list[tuple[int, Figures]], others: list[tuple[int, Figures]]
) -> list[tuple[int, Figures]]:
    """The figures of each stretch, merged in the order in which they come."""
    found: dict[int, Figures] = {}
    for at, figures in (*some, *others):
        found[at] = merge(found[at], figures) if at in found else figures
    return list(found.items())


def stretch_ends(context: StageContext, manifest: ShardManifest, role: Role) -> Times | None:
    """When each but the last of :data:`STRETCHES` stretches of about equally many rows ends.

    Returns
    -------
    (STRETCHES - 1,) int64 or None
        Microseconds since 1970, no part of the stretch; None where the rows have no times, or too
        few different ones.

    Notes
    -----
    Memory: about 65,536 times, evenly spaced over the rows of the role.
    """
    if manifest.schema.time is None:
        return None
    function = partial(
        _times_of,
        folder=context.shards,
        time=manifest.schema.time.name,
        step=max(1, manifest.rows(role) // _SAMPLED_TIMES),
    )
    files = [entry.file for entry in manifest.of(role)]
    times = np.sort(np.concatenate(list(context.engine.map(function, files, label="times"))))
    ends = times[np.arange(1, STRETCHES) * len(times) // STRETCHES]
    return ends if len(np.unique([times[0], *ends])) == STRETCHES else None


def _times_of(file: FileEntry, *, folder: StoreFolder, time: str, step: int) -> Times:
    blocks = read_blocks(folder.verified(file), columns=[time])
    return np.concatenate([_micros(table, time)[::step] for table in blocks])


def _micros(table: pa.Table, time: str) -> Times:
    return np.asarray(pc.fill_null(table[time].cast(pa.int64()), 0).to_numpy(), np.int64)


def _measure_shard(
    file: FileEntry,
    *,
    pipeline: Pipeline,
    folder: StoreFolder,
    schema: TableSchema,
    step: int,
    only: Unlearnt | None,
) -> Figures:
    return fold(
        _figures(schema, scores, truth, threshold_of(pipeline[-1]))
        for _, _, scores, truth in scored_blocks(
            file, pipeline, folder, schema, step=step, only=only
        )
    )


def _measure_parts(
    placed: tuple[FileEntry, int],
    *,
    pipeline: Pipeline,
    folder: StoreFolder,
    schema: TableSchema,
    total: int,
    only: Unlearnt | None,
    ends: Times | None,
) -> list[tuple[int, Figures]]:
    """Figures of one file by stretch; ``placed`` with the number of its first row."""
    file, first = placed
    threshold = threshold_of(pipeline[-1])
    also = () if ends is None or schema.time is None else (schema.time.name,)
    parts = []
    for table, rows, scores, truth in scored_blocks(
        file, pipeline, folder, schema, only=only, also=also
    ):
        if ends is None or schema.time is None:
            stretches = (first + rows) * STRETCHES // total
        else:
            stretches = np.searchsorted(ends, _micros(table, schema.time.name), side="right")
        parts += [
            (at, _figures(schema, scores[stretches == at], truth[stretches == at], threshold))
            for at in np.unique(stretches).tolist()
        ]
    return parts


def _figures(
    schema: TableSchema, scores: npt.NDArray[Any], truth: npt.NDArray[Any], threshold: float
) -> Figures:
    return figures_of(
        schema.task,
        scores,
        truth,
        classes=schema.classes,
        edges=schema.target.edges,
        threshold=threshold,
    )


def scored_blocks(
    file: FileEntry,
    pipeline: Pipeline,
    folder: StoreFolder,
    schema: TableSchema,
    *,
    step: int = 1,
    only: Unlearnt | None = None,
    also: Sequence[str] = (),
) -> Iterator[tuple[pa.Table, npt.NDArray[np.int64], npt.NDArray[Any], npt.NDArray[Any]]]:
    """Rows of every ``step``-th block, their numbers, what is said of them, and what is true."""
    path = folder.verified(file)
    reducer, learner = pipeline[0], pipeline[-1]
    columns = {*(str(name) for name in reducer.feature_names_in_), schema.target.name}
    columns |= set(() if only is None else only.columns)
    columns |= set(also)
    blocks = range(0, len(file.blocks), step)
    starts = np.cumsum([0, *file.blocks])
    for block, table in zip(
        blocks, read_blocks(path, columns=sorted(columns), blocks=blocks), strict=True
    ):
        rows = starts[block] + np.arange(table.num_rows)
        if only is not None:
            kept = only.rows(table)
            table, rows = table.filter(pa.array(kept)), rows[kept]
        scores = predict_scores(learner, reducer.transform(table), schema.task)
        yield table, rows, scores, encode_target(table[schema.target.name], schema)


def measure_baseline(context: StageContext, manifest: ShardManifest) -> Figures:
    """Return the figures, on the test shards, of the dummy that knows the training target only."""
    folder, schema = context.shards, manifest.schema
    target = training_profile(manifest, folder).columns[schema.target.name]
    prior = (
        tuple(class_shares(target.counts, schema.classes).tolist())
        if isinstance(target, CategoryProfile)
        else target.mean
    )
    function = partial(_measure_shard_baseline, folder=folder, schema=schema, prior=prior)
    files = [entry.file for entry in manifest.of(Role.TEST)]
    return context.engine.fold(function, files, merge, label="baseline")


def _measure_shard_baseline(
    file: FileEntry, *, folder: StoreFolder, schema: TableSchema, prior: tuple[float, ...] | float
) -> Figures:
    return fold(
        baseline_figures(
            schema.task,
            prior,
            encode_target(table[schema.target.name], schema),
            classes=schema.classes,
            edges=schema.target.edges,
        )
        for table in read_blocks(folder.near(file.path), columns=[schema.target.name])
    )
