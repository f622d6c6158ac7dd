"""Score shards with a saved model, out of core: one partial of figures a shard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from tidemill.errors import ConfigError, nearest
from tidemill.learning import predict_scores
from tidemill.metrics import (
    HIGHER_IS_BETTER,
    Figures,
    baseline_figures,
    class_shares,
    default_metric,
    figures_of,
    metric_names,
)
from tidemill.profiling import CategoryProfile, Profile, fold
from tidemill.schema import Role, TableSchema, Task
from tidemill.stages.ancestry import Unlearnt
from tidemill.stages.blocks import encode_target
from tidemill.stages.context import StageContext
from tidemill.storage import FileEntry, ShardManifest, read_blocks, read_profiles, verify_file

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["chosen_metric", "defined", "judge", "judge_baseline", "judge_files"]


def chosen_metric(wanted: str, task: Task, *, setting: str) -> str:
    """The figure named by ``setting``; ``auto`` is the task's own.

    Raises
    ------
    ConfigError
        If it is no figure of the task; the nearest is offered.
    """
    names = tuple(name for name in metric_names(task) if name in HIGHER_IS_BETTER)
    if wanted == "auto":
        return default_metric(task)
    if wanted in names:
        return wanted
    close = nearest(wanted, names)
    raise ConfigError(
        f"{setting}: {wanted!r} is no figure of a {task.value} model",
        remedy=(f"did you mean {close!r}? " if close else "")
        + f"set {setting} to auto or one of: {', '.join(names)}",
        metric=wanted,
        available=names,
        nearest=close,
    )


def defined(figures: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: a figure that the rows do not define is null."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def judge(
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
    total = manifest.rows(role)
    step = 1 if max_rows is None else max(1, -(-total // max_rows))
    folder, label = context.workspace.shards, f"evaluate {role.value}"
    return judge_files(
        context, pipeline, files, folder, manifest.schema, label=label, step=step, only=only
    )


def judge_files(
    context: StageContext,
    pipeline: Pipeline,
    files: Sequence[FileEntry],
    folder: Path,
    schema: TableSchema,
    *,
    label: str,
    step: int = 1,
    only: Unlearnt | None = None,
) -> Figures:
    """Return the figures of ``pipeline`` on every ``step``-th block of typed files of ours.

    Memory: one block, its matrix and its scores, per worker.
    """
    function = partial(
        _judge_shard, pipeline=pipeline, folder=folder, schema=schema, step=step, only=only
    )
    return fold(context.engine.map(function, files, label=label, progress=context.progress))


def _judge_shard(
    file: FileEntry,
    *,
    pipeline: Pipeline,
    folder: Path,
    schema: TableSchema,
    step: int,
    only: Unlearnt | None,
) -> Figures:
    path = verify_file(folder, file)
    reducer, learner = pipeline[0], pipeline[-1]
    columns = {*(str(name) for name in reducer.feature_names_in_), schema.target.name}
    columns |= set(() if only is None else only.columns)
    partials = []
    for table in read_blocks(
        path, columns=sorted(columns), blocks=range(0, len(file.blocks), step)
    ):
        if only is not None:
            table = table.filter(pa.array(only.rows(table)))
        scores = predict_scores(learner, reducer.transform(table), schema.task)
        truth = encode_target(table[schema.target.name], schema)
        partials.append(
            figures_of(
                schema.task,
                scores,
                truth,
                classes=schema.classes,
                edges=schema.target.edges,
            )
        )
    return fold(partials)


def judge_baseline(context: StageContext, manifest: ShardManifest) -> Figures:
    """Return the figures, on the test shards, of the dummy that knows the training target only."""
    folder, schema = context.workspace.shards, manifest.schema
    target = fold(
        Profile.from_json(document)
        for entry in manifest.of(Role.TRAIN)
        for document in read_profiles(folder, entry)
    ).columns[schema.target.name]
    prior = (
        tuple(class_shares(target.counts, schema.classes).tolist())
        if isinstance(target, CategoryProfile)
        else target.mean
    )
    function = partial(_judge_shard_baseline, folder=folder, schema=schema, prior=prior)
    files = [entry.file for entry in manifest.of(Role.TEST)]
    return fold(context.engine.map(function, files, label="baseline"))


def _judge_shard_baseline(
    file: FileEntry, *, folder: Path, schema: TableSchema, prior: tuple[float, ...] | float
) -> Figures:
    return fold(
        baseline_figures(
            schema.task,
            prior,
            encode_target(table[schema.target.name], schema),
            classes=schema.classes,
            edges=schema.target.edges,
        )
        for table in read_blocks(folder / file.path, columns=[schema.target.name])
    )
