"""The retraining, stated: its steps, what each reads and leaves, and when what it left stands."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from tidemill.config import Params
from tidemill.errors import IntegrityError
from tidemill.pipeline import Stage, prepare_versions
from tidemill.retraining.challenger import Challenger, register_challenger
from tidemill.retraining.comparing import compare, find_comparison
from tidemill.retraining.gathering import Gathered, find_gathered, gather_rows
from tidemill.retraining.job import RetrainingJob
from tidemill.retraining.relearn import find_refitted, refit_challenger, to_serve
from tidemill.retraining.sets import (
    cut_is_kept,
    keep_cut,
    known_sides,
    staying_sets,
    take_out_unfinished,
)
from tidemill.retraining.taking_in import categories_so_far, take_in, taken_in
from tidemill.retraining.taught import find_taught, teach
from tidemill.stages import StageContext, StageResult, run_shard
from tidemill.versioning import Out, Versions, note_version

__all__ = ["OWN", "STEPS", "facts_of"]

OWN = ".tidemill/retrain/DECISION"
"""In deps and outs: the folder of the retraining's receipts."""


def _gather(context: StageContext, job: RetrainingJob) -> StageResult:
    """Write the labelled rows to disk, learn and proof apart."""
    workspace, params = job.workspace, job.params
    sides = known_sides(workspace, params.monitoring.retraining.proof_fraction)
    manifest = job.manifest
    gathered = gather_rows(
        job.rows(),
        manifest.schema,
        sides,
        job.gathered,
        staying_sets(workspace, job.order.decision),
        categories_so_far(manifest, context.shards),
        max_invalid_fraction=params.ingestion.max_invalid_fraction,
    )
    keep_cut(workspace, sides, gathered.cut)
    facts = {
        "learn": gathered.learn,
        "proof": gathered.proof,
        "left out": gathered.left_out,
        "learnt before": gathered.repeated,
        "unreadable": gathered.unreadable,
        "without a time": gathered.untimed,
    }
    told = (*job.champion.notes, *gathered.said)
    return StageResult("gather", facts, {"odd cells": list(gathered.odd_cells)}, warnings=told)


def _is_gathered(_: StageContext, job: RetrainingJob) -> bool:
    found = find_gathered(job.gathered)
    return found is not None and cut_is_kept(job.workspace, found.cut)


def _gathered(job: RetrainingJob) -> Gathered:
    found = find_gathered(job.gathered)
    if found is None:
        raise IntegrityError(
            f"{job.gathered} is not what was written",
            remedy="run the same again: the rows are gathered anew",
            path=str(job.gathered),
        )
    return found


def _append(context: StageContext, job: RetrainingJob) -> StageResult:
    """Validate, append, and note the new version of the dataset."""
    workspace, order = job.workspace, job.order
    taken = take_in(context, job)
    taken_out = take_out_unfinished(workspace, order.decision)
    version = _sharded(context, job)
    message = f"{taken.facts['rows_learn']} live rows of decision {order.decision}"
    message += f": {order.reason}" if order.reason else ""
    note_version(workspace.root, version, message, {"live": taken.live.name})
    return StageResult(
        "append",
        facts={**taken.facts, "version": version, "message": message},
        warnings=(
            *taken.healed,
            *(
                f"the live rows of {name} are taken out: that retraining did not finish"
                for name in taken_out
            ),
        ),
    )


def _sharded(context: StageContext, job: RetrainingJob) -> str:
    """Let the shards have the live set, if they have not; the version of the dataset."""
    workspace, params = job.workspace, job.params
    prepare_versions(workspace, params)
    with Versions(workspace.root) as versions:
        versions.repair()
        if job.live.name not in job.manifest.appended or not versions.is_current("shard"):
            read = versions.dep_digests("shard")
            run_shard(context, sharding=params.sharding, seed=params.seed)
            versions.commit("shard", expected=read)
        return versions.dataset_version() or ""


def _teach(number: int, context: StageContext, job: RetrainingJob) -> StageResult:
    """Fit the challenger on the workspace's shards and the rows to learn from."""
    taught = teach(context, job, number)
    facts = {name: taught.document[name] for name in ("learner", "rows", "iterations", "why")}
    return StageResult(_named("teach", number), {**facts, "candidate": taught.digest[:12]})


def _compare(number: int, context: StageContext, job: RetrainingJob) -> StageResult:
    """Judge challenger and champion."""
    found = compare(context, job, number)
    sides = {"proof": found.proof, "frozen test rows": found.frozen}
    tables = {where: _side_by_side(figures) for where, figures in sides.items()}
    facts = {"better": found.accepted, **found.evidence, "reason": found.ruling.reason}
    return StageResult(_named("compare", number), facts, tables)


def _again(context: StageContext, job: RetrainingJob) -> bool:
    """Whether old rows may bring back what the first lesson forgot."""
    forgot = compare(context, job, 0).ruling.forgot
    return forgot and teach(context, job, 0).document["continues"] is not None


def _lesson(context: StageContext, job: RetrainingJob) -> int:
    """The lesson whose challenger goes on: the second, if there is one and it is better."""
    if not _again(context, job):
        return 0
    first, second = (compare(context, job, number) for number in (0, 1))
    return 1 if second.outdoes(first) else 0


def _refit(context: StageContext, job: RetrainingJob) -> StageResult:
    """Fit what is to serve of the challenger."""
    made = refit_challenger(context, job, _lesson(context, job))
    facts = {"rows": made.rows, "iterations": made.iterations, "candidate": made.digest[:12]}
    warnings = () if made.warning is None else (made.warning,)
    return StageResult("refit", facts, warnings=warnings)


def _promote(context: StageContext, job: RetrainingJob) -> StageResult:
    """Register the challenger, and promote it if it is better."""
    lesson, gathered, taken = _lesson(context, job), _gathered(job), taken_in(job)
    judged = Challenger(
        decision=job.order.decision,
        reason=job.order.reason,
        live=taken.live.name,
        days=(gathered.since, gathered.until),
        taught=teach(context, job, lesson),
        refitted=to_serve(context, job, lesson),
        champion=job.champion,
        comparison=compare(context, job, lesson),
        proof=taken.proof,
        folder=job.lesson(lesson),
    )
    facts = register_challenger(context, job.params, job.manifest, judged)
    url = context.tracker.run_url(facts["run_id"])
    links = {"MLflow run": url} if url else {}
    return StageResult("promote", facts, links=links, warnings=_left_out(job.params))


def _left_out(params: Params) -> tuple[str, ...]:
    """What to say where the main job has stages of the user's own."""
    if not params.stages:
        return ()
    names = ", ".join(params.stages)
    return (f"stages of your own did not run: {names}; a retraining has its own steps alone",)


def facts_of(context: StageContext, job: RetrainingJob) -> dict[str, Any]:
    """What the steps before the last have found, for the outcome."""
    lesson, gathered = _lesson(context, job), _gathered(job)
    document, found = teach(context, job, lesson).document, compare(context, job, lesson)
    return {
        "decision": job.order.decision,
        "why": job.order.reason,
        "rows_since": gathered.since,
        "rows_until": gathered.until,
        "rows_unreadable": gathered.unreadable,
        "odd_cells": list(gathered.odd_cells),
        **taken_in(job).facts,
        "dataset_version": Versions(job.workspace.root).dataset_version() or "",
        **{name: document[name] for name in ("learner", "continues")},
        "metric": found.metric,
        **found.evidence,
        "rows_serving": to_serve(context, job, lesson).rows,
    }


def _named(step: str, number: int) -> str:
    return f"{step} again" if number else step


def _side_by_side(figures: Mapping[str, Mapping[str, float | None]]) -> list[dict[str, Any]]:
    """A table of figures: a row a figure, a column a model."""
    return [
        {"figure": name, **{who: values[name] for who, values in figures.items()}}
        for name in figures["challenger"]
    ]


def _lesson_steps(number: int) -> tuple[Stage[RetrainingJob], Stage[RetrainingJob]]:
    """One lesson and its verdict; the second only where old rows may bring something back."""
    own = f"{OWN}/lesson-{number}"

    def needed(context: StageContext, job: RetrainingJob) -> bool:
        return number == 0 or _again(context, job)

    return (
        Stage(
            name=_named("teach", number),
            run=partial(_teach, number),
            deps=("data/shards", "models/params.json"),
            outs=(Out(f"{own}/candidate"), Out(f"{own}/reduced")),
            stands=lambda context, job: find_taught(context, job, number) is not None,
            needed=needed,
        ),
        Stage(
            name=_named("compare", number),
            run=partial(_compare, number),
            deps=("data/shards", f"{OWN}/validated", f"{own}/candidate"),
            outs=(Out(f"{own}/comparison.json"),),
            stands=lambda context, job: find_comparison(context, job, number) is not None,
            needed=needed,
        ),
    )


STEPS: tuple[Stage[RetrainingJob], ...] = (
    Stage(
        name="gather",
        run=_gather,
        deps=("data/live", "data/shards"),
        outs=(Out(f"{OWN}/rows"), Out("data/live/split.json")),
        stands=_is_gathered,
        warnings=lambda _, job: (*job.champion.notes, *_gathered(job).said),
    ),
    Stage(
        name="append",
        run=_append,
        deps=(f"{OWN}/rows", "data/live", "data/validated"),
        outs=(
            Out(f"{OWN}/suite.json"),
            Out(f"{OWN}/validated"),
            Out(f"{OWN}/quarantine"),
            Out(f"{OWN}/validation.json"),
            Out("data/live"),
            Out("data/shards"),
            Out("data/versions.json"),
        ),
        stands=lambda *_: False,  # each of its parts looks for itself, and costs little done
    ),
    *_lesson_steps(0),
    *_lesson_steps(1),
    Stage(
        name="refit",
        run=_refit,
        deps=(
            "data/shards",
            f"{OWN}/validated",
            f"{OWN}/lesson-0/candidate",
            f"{OWN}/lesson-0/comparison.json",
            f"{OWN}/lesson-1/candidate",
            f"{OWN}/lesson-1/comparison.json",
        ),
        outs=tuple(
            Out(f"{OWN}/lesson-{number}/{left}")
            for number in (0, 1)
            for left in ("refitted", "serving", "refit.json")
        ),
        stands=lambda c, job: find_refitted(c, job, _lesson(c, job)) is not None,
    ),
    Stage(
        name="promote",
        run=_promote,
        deps=(
            "data/shards",
            f"{OWN}/rows",
            f"{OWN}/validated",
            f"{OWN}/validation.json",
            f"{OWN}/lesson-0",
            f"{OWN}/lesson-1",
        ),
        outs=tuple(Out(f"{OWN}/lesson-{number}/reference.json") for number in (0, 1)),
        stands=lambda *_: False,  # once it has ended there is an outcome, and no retraining
    ),
)
"""The steps of a retraining, in order. Where they are in DVC, the main job's stages are: a
retraining adds shards to data/shards as ``shard`` does."""
