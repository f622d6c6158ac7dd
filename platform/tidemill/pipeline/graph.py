"""The main job, stated: its stages, what each reads and leaves, and what it depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tidemill.config import Params
from tidemill.errors import UsageError, nearest
from tidemill.pipeline.source import source_deps
from tidemill.pipeline.stage import Stage
from tidemill.pipeline.with_own import with_own
from tidemill.stages import (
    registration_stands,
    run_evaluate,
    run_ingest,
    run_look,
    run_reduce,
    run_refit,
    run_register,
    run_shard,
    run_train,
    run_tune,
    sections_of_pick,
    segments_stand,
    shard_warnings,
)
from tidemill.versioning import COMMAND, Out, StageSpec

__all__ = ["STAGES", "find_stage", "stage_specs"]


STAGES: tuple[Stage[Params], ...] = (
    Stage(
        name="look",
        # What the monitor cannot follow is refused; what is left does not depend on it.
        run=lambda context, p: run_look(
            context, dataset=p.dataset, segments=p.monitoring.window.segments
        ),
        stands=lambda context, p: segments_stand(context.workspace, p.monitoring.window.segments),
        deps=(),
        outs=(Out("data/source.json"), Out("data/schema.json")),
        params=("dataset",),
        reads_source=True,
    ),
    Stage(
        name="ingest",
        run=lambda context, p: run_ingest(context, dataset=p.dataset, ingestion=p.ingestion),
        deps=("data/source.json", "data/schema.json"),
        outs=(
            Out("data/validated", persist=True, cache=False),
            Out("data/quarantine", persist=True, cache=False),
            Out("reports/validation.json", persist=True, cache=False),
        ),
        params=("dataset", "ingestion"),
        reads_source=True,
        reads_suite=True,
    ),
    Stage(
        name="shard",
        run=lambda context, p: run_shard(context, sharding=p.sharding, seed=p.seed),
        deps=("data/validated",),
        outs=(Out("data/shards", persist=True),),
        params=("sharding", "seed"),
        warnings=lambda context, _: shard_warnings(context.workspace),
        reads_live=True,
    ),
    Stage(
        name="reduce",
        run=lambda context, p: run_reduce(
            context, reduction=p.reduction, training=p.training, tuning=p.tuning, seed=p.seed
        ),
        deps=("data/shards",),
        outs=(Out("models/reducer"), Out("reports/reduction.json")),
        params=("reduction",),
        more_params=lambda p: sections_of_pick(p.reduction, p.training),
    ),
    Stage(
        name="tune",
        run=lambda context, p: run_tune(context, tuning=p.tuning, training=p.training, seed=p.seed),
        deps=("data/shards", "models/reducer"),
        outs=(Out("models/params.json"),),
        params=("tuning", "training", "seed"),
    ),
    Stage(
        name="train",
        run=lambda context, p: run_train(context, training=p.training, seed=p.seed),
        deps=("data/shards", "models/reducer", "models/params.json"),
        outs=(Out("models/candidate"),),
        params=("training", "seed"),
    ),
    Stage(
        name="evaluate",
        run=lambda context, p: run_evaluate(context, evaluation=p.evaluation),
        deps=("data/shards", "models/candidate"),
        outs=(
            Out("reports/metrics.json", kind="metric", cache=False),
            Out("reports/figures", kind="plot"),
        ),
        params=("evaluation",),
    ),
    Stage(
        name="refit",
        run=lambda context, p: run_refit(
            context, training=p.training, reduction=p.reduction, seed=p.seed
        ),
        deps=("data/shards", "models/candidate"),
        outs=(Out("models/serving"),),
        params=("training", "reduction", "seed"),
    ),
    Stage(
        name="register",
        run=lambda context, p: run_register(context, params=p),
        deps=(
            "data/shards",
            "models/candidate",
            "models/serving",
            "reports/metrics.json",
            "reports/validation.json",
        ),
        outs=(),
        params=("dataset", "evaluation", "registration"),
        stands=lambda context, _: registration_stands(context),
    ),
)


def find_stage(name: str, stages: Sequence[Stage[Params]] = STAGES) -> Stage[Params]:
    """Return the stage of that name.

    Raises
    ------
    UsageError
        If there is none; the nearest name is offered.
    """
    for stage in stages:
        if stage.name == name:
            return stage
    names = [stage.name for stage in stages]
    close = nearest(name, names)
    raise UsageError(
        f"there is no stage {name!r}",
        remedy=(f"did you mean {close!r}? " if close else "") + f"stages: {', '.join(names)}",
        name=name,
        available=names,
    )


def stage_specs(
    params: Params, root: Path, stages: Sequence[Stage[Params]] = STAGES
) -> tuple[StageSpec, ...]:
    """The graph as DVC states it, for the source and suite of ``params``.

    A source that is no files is for DVC what ``look`` finds: it looks each time, and what reads
    data/source.json runs where that has changed. With ``storage.url`` DVC keeps what ``ingest``
    leaves too: the rows lie in the store, and their names alone in the workspace.
    """
    apart = params.storage.url is not None
    source = source_deps(params.dataset, root)
    live = ("data/live",) if (root / "data" / "live").is_dir() else ()
    return tuple(
        StageSpec(
            name=stage.name,
            command=f"{COMMAND} {stage.name}",
            deps=(
                *(source if stage.reads_source else ()),
                *((params.ingestion.suite,) if stage.reads_suite else ()),
                *(live if stage.reads_live else ()),
                *stage.deps,
            ),
            outs=tuple(
                replace(out, cache=out.cache or (apart and out.persist)) for out in stage.outs
            ),
            params=(*stage.params, *stage.more_params(params)),
            always=stage.reads_source and not source and not stage.deps,
        )
        for stage in with_own(stages, params, root)
    )
