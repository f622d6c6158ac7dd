"""The reference: what the candidate learnt from and how it did on rows it never saw, by block.

A live window is compared with the whole; thresholds and bands come from resampling the blocks
in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.contracts import Partial
from tidemill.drift import (
    HeldOut,
    PerformanceModel,
    Reference,
    output_gap,
    output_schema,
    outputs_of,
    widest_gap,
)
from tidemill.features import encode_target
from tidemill.learning import predict_scores, threshold_of
from tidemill.profiling import Profile, fold, merge
from tidemill.schema import Role, TableSchema
from tidemill.stages.context import StageContext
from tidemill.storage import ShardEntry, ShardManifest, StoreFolder, read_blocks

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["HELD_OUT_ROWS", "TIME_BLOCKS", "make_reference"]

TIME_BLOCKS = 64

HELD_OUT_ROWS = 200_000
"""Held-out rows that the candidate scores at most: enough for two digits of any figure."""

GAP_ROWS = 50_000
"""Training rows that both models score at most: their outputs are compared row by row alike."""

_BLOCK_ROWS = 200
"""Held-out rows that a block has, where there are so many: a figure of fewer says little."""

P = TypeVar("P", bound=Partial)


def make_reference(
    context: StageContext,
    manifest: ShardManifest,
    pipeline: Pipeline,
    *,
    metric: str,
    proof: Sequence[HeldOut] = (),
    serving: Pipeline | None = None,
    unseen: Profile | None = None,
) -> Reference:
    """What live traffic of a version will be held to.

    Training rows and held-out rows (validation and test) are each told by at most 64 blocks:
    with a time column equal stretches of time between their first and their last row (empty
    stretches are left out), without one neighbouring blocks in the order of the shards. Of the
    held-out rows at most 200,000, evenly spaced, are scored.

    Parameters
    ----------
    pipeline : Pipeline
        What was judged: only it can tell outputs and outcomes of rows that it never saw.
    metric : str
        The figure that decides.
    proof : sequence of HeldOut
        Of a retraining: labelled live rows that the candidate never saw, by time block. Where
        given they stand in place of the frozen shards, which show how the world was before.
    serving : Pipeline or None
        What serves, where that is another one. How far its outputs lie from the judged one's on
        training rows, which both have learnt, is added to what live outputs may differ by.
    unseen : Profile or None
        What twins of it say of the held-out rows that they have not learnt (``unseen_outputs``):
        if that lies farther from what the judged one says of them, it is added instead. Of rows
        that two models know by heart they say the same.

    Notes
    -----
    Memory: one partial a time block, and one block of rows per worker.
    """
    held_out = list(proof) or _held_out(context, manifest, pipeline)
    outputs = [block.outputs for block in held_out]
    gaps = []
    if serving is not None and serving is not pipeline:
        gaps.append(_gap(context, manifest, pipeline, serving))
    if unseen is not None:
        gaps.append(output_gap(fold(outputs), unseen))
    return Reference.of(
        manifest.schema,
        _training(context, manifest),
        outputs,
        metric=metric,
        figures=_defined(fold(block.figures for block in held_out).values()),
        quality=PerformanceModel.fit([(block.outcomes, block.figures) for block in held_out]),
        time_ordered=manifest.schema.time is not None,
        gap=widest_gap(gaps),
        threshold=threshold_of(pipeline[-1]),
    )


def _gap(
    context: StageContext, manifest: ShardManifest, judged: Pipeline, serving: Pipeline
) -> dict[str, dict[str, float]]:
    """How far the outputs of both lie apart on training rows, whole blocks spread evenly."""
    shards = manifest.of(Role.TRAIN)
    function = partial(
        _tell_shard,
        pipelines=(judged, serving),
        folder=context.shards,
        schema=manifest.schema,
        step=max(1, -(-sum(entry.file.rows for entry in shards) // GAP_ROWS)),
    )
    told = context.engine.fold(
        function, shards, _merge_each, label="outputs", progress=context.progress
    )
    return output_gap(*told)


def _merge_each(some: list[Profile], others: list[Profile]) -> list[Profile]:
    return [merge(*both) for both in zip(some, others, strict=True)]


def _tell_shard(
    entry: ShardEntry,
    *,
    pipelines: tuple[Pipeline, ...],
    folder: StoreFolder,
    schema: TableSchema,
    step: int,
) -> list[Profile]:
    """What each pipeline says of every ``step``-th block, as a profile."""
    columns = {str(name) for pipeline in pipelines for name in pipeline[0].feature_names_in_}
    path, told = folder.verified(entry.file), output_schema(schema)
    blocks = range(0, len(entry.file.blocks), step)
    found = []
    for table in read_blocks(path, columns=sorted(columns), blocks=blocks):
        said = (
            outputs_of(
                schema,
                predict_scores(p[-1], p[0].transform(table), schema.task),
                threshold=threshold_of(p[-1]),
            )
            for p in pipelines
        )
        found.append([Profile.of(outputs, told) for outputs in said])
    return [fold(profiles) for profiles in zip(*found, strict=True)]


def _training(context: StageContext, manifest: ShardManifest) -> list[Profile]:
    shards = manifest.of(Role.TRAIN)
    folder = context.shards
    if manifest.schema.time is None:
        return _by_order(shards, folder)
    function = partial(
        _profile_shard,
        folder=folder,
        schema=manifest.schema,
        edges=_time_edges(shards, TIME_BLOCKS),
    )
    return _in_order(
        context.engine.fold(
            function, shards, _merge_blocks, label="reference", progress=context.progress
        )
    )


def _held_out(context: StageContext, manifest: ShardManifest, pipeline: Pipeline) -> list[HeldOut]:
    shards = (*manifest.of(Role.VALIDATION), *manifest.of(Role.TEST))
    rows = sum(entry.file.rows for entry in shards)
    blocks = min(TIME_BLOCKS, max(rows // _BLOCK_ROWS, 4))
    timed = manifest.schema.time is not None
    function = partial(
        _score_shard,
        pipeline=pipeline,
        folder=context.shards,
        schema=manifest.schema,
        edges=_time_edges(shards, blocks) if timed else None,
        step=max(1, -(-rows // HELD_OUT_ROWS)),
        stretches=_stretches(shards, blocks),
    )
    return _in_order(
        context.engine.fold(
            function, shards, _merge_blocks, label="reference outputs", progress=context.progress
        )
    )


def _by_order(shards: tuple[ShardEntry, ...], folder: StoreFolder) -> list[Profile]:
    numbers = iter(sum(_stretches(shards, TIME_BLOCKS).values(), ()))
    found: dict[int, Profile] = {}
    for entry in shards:
        for document in folder.profiles(entry):
            key, profile = next(numbers), Profile.from_json(document)
            found[key] = found[key].merge(profile) if key in found else profile
    return _in_order(found)


def _stretches(shards: tuple[ShardEntry, ...], most: int) -> dict[int, tuple[int, ...]]:
    """Which of at most ``most`` stretches each block of each shard belongs to, in order."""
    counts = [len(entry.file.blocks) for entry in shards]
    size = -(-sum(counts) // most)
    starts = np.cumsum([0, *counts[:-1]]).tolist()
    return {
        entry.id: tuple((start + i) // size for i in range(count))
        for entry, start, count in zip(shards, starts, counts, strict=True)
    }


def _merge_blocks(some: dict[int, P], others: dict[int, P]) -> dict[int, P]:
    """What two shards hold of each block, by its number."""
    found = dict(some)
    for number, block in others.items():
        found[number] = found[number].merge(block) if number in found else block
    return found


def _in_order(found: dict[int, P]) -> list[P]:
    return [found[number] for number in sorted(found)]


def _time_edges(shards: tuple[ShardEntry, ...], blocks: int) -> tuple[int, ...]:
    first = min(np.datetime64(s.time_from, "us") for s in shards if s.time_from)
    last = max(np.datetime64(s.time_to, "us") for s in shards if s.time_to)
    inner = np.linspace(first.astype(np.int64), last.astype(np.int64), blocks + 1)[1:-1]
    return tuple(int(edge) for edge in inner)


def _profile_shard(
    entry: ShardEntry, *, folder: StoreFolder, schema: TableSchema, edges: tuple[int, ...]
) -> dict[int, Profile]:
    found: dict[int, Profile] = {}
    for table in read_blocks(folder.verified(entry.file)):
        for number, rows in _by_time(table, schema, edges):
            profile = Profile.of(table.take(pa.array(rows)), schema)
            found[number] = found[number].merge(profile) if number in found else profile
    return found


def _score_shard(
    entry: ShardEntry,
    *,
    pipeline: Pipeline,
    folder: StoreFolder,
    schema: TableSchema,
    edges: tuple[int, ...] | None,
    step: int,
    stretches: dict[int, tuple[int, ...]],
) -> dict[int, HeldOut]:
    reducer, learner = pipeline[0], pipeline[-1]
    columns = {*(str(name) for name in reducer.feature_names_in_), schema.target.name}
    columns |= {schema.time.name} if schema.time is not None else set()
    found: dict[int, HeldOut] = {}
    path = folder.verified(entry.file)
    tables = read_blocks(path, columns=sorted(columns))
    for whole, stretch in zip(tables, stretches[entry.id], strict=True):
        table = whole.take(pa.array(np.arange(0, whole.num_rows, step)))
        scores = predict_scores(learner, reducer.transform(table), schema.task)
        truth = encode_target(table[schema.target.name], schema)
        every = [(stretch, np.arange(len(truth)))]
        for key, rows in every if edges is None else _by_time(table, schema, edges):
            block = HeldOut.of(schema, scores[rows], truth[rows], threshold=threshold_of(learner))
            found[key] = found[key].merge(block) if key in found else block
    return found


def _by_time(
    table: pa.Table, schema: TableSchema, edges: tuple[int, ...]
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Numbers of the time blocks that rows of ``table`` lie in, with those rows."""
    assert schema.time is not None  # noqa: S101 - the caller's branch
    times = pc.fill_null(table[schema.time.name].cast(pa.int64()), 0).to_numpy()
    numbers = np.searchsorted(np.asarray(edges), times, side="right")
    order = np.argsort(numbers, kind="stable")
    present, starts = np.unique(numbers[order], return_index=True)
    for number, start, stop in zip(present, starts, [*starts[1:], len(order)], strict=True):
        yield int(number), order[start:stop]


def _defined(figures: dict[str, float]) -> dict[str, float]:
    """A figure that the rows do not define is left out: JSON has no NaN."""
    return {name: value for name, value in figures.items() if np.isfinite(value)}
