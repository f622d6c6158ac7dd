"""teach: a challenger from the champion and live rows, warm where the learner can go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemill.config import Params
from tidemill.contracts import Fit, Scalar
from tidemill.features import training_profile
from tidemill.learning import calibrated_fit, fit, goes_on
from tidemill.profiling import CategoryProfile, NumericProfile
from tidemill.retraining.job import RetrainingJob
from tidemill.retraining.lesson import Lesson
from tidemill.stages.ancestry import Learnt, ancestry_of, lessons_of
from tidemill.stages.context import StageContext
from tidemill.storage import (
    ShardManifest,
    StoreFolder,
    hash_file,
    hash_json,
    is_left,
    read_keyed,
    read_output,
)
from tidemill.tracking import LoadedModel

__all__ = ["MAX_CONTINUED", "Taught", "find_taught", "teach"]

MAX_CONTINUED = 8
"""So often in a row a model goes on; then one from scratch takes its place (trees add up)."""


@dataclass(frozen=True, slots=True)
class Taught:
    """A challenger: its folder (as of ``train``), digest, and what training.json says."""

    folder: Path
    digest: str
    document: dict[str, Any]


def find_taught(context: StageContext, job: RetrainingJob, number: int) -> Taught | None:
    """The finished challenger of a lesson; None while there is none of what it depends on now."""
    return _finished(job.lesson(number), _key(context, job, _start(context, job), number))


def teach(context: StageContext, job: RetrainingJob, number: int) -> Taught:
    """Leave ``candidate`` in the lesson's folder: the pipeline, and how it came to be.

    Where the champion is of the configured learner, and that can go on, the challenger has the
    champion's reducer and goes on from its learner over the live set's training rows; the set's
    validation rows stop it early. Elsewhere, and where features that never varied do so now (the
    champion's reducer left them out), reducer and learner are fitted from scratch on all training
    rows, old and live. Rounds stop by the figure that decides, where the learner can follow it.

    Parameters
    ----------
    number : int
        Of the lesson: in the second one that goes on sees as many old rows, evenly spaced, lest
        it forget.

    Notes
    -----
    Memory: as for ``train``; a warm start sees live and rehearsed rows only. The same arguments
    leave the same bytes; a finished candidate of them is not made again.
    """
    params, champion, manifest, folder = job.params, job.champion, job.manifest, job.lesson(number)
    start, rehearse = _start(context, job), number > 0
    key = _key(context, job, start, number)
    done = _finished(folder, key)
    if done is not None:
        return done
    work = folder / "reduced" / key[:16]
    lesson = Lesson(context, params, champion.judged, manifest, job.live.name, work)
    train, validation = lesson.warm_blocks(rehearse) if start.warm else lesson.all_blocks()
    fitted = fit(
        params.training,
        start.tuned,
        train,
        validation,
        task=manifest.schema.task,
        classes=manifest.schema.classes,
        seed=params.seed,
        metric=job.figures[1],
        start=champion.judged[-1] if start.warm else None,
        engine=context.engine,
    )
    fitted, calibration = calibrated_fit(fitted, validation, manifest.schema.task, params.training)
    document = _told(params, champion, lesson, start, fitted, rehearse=rehearse)
    document |= {"key": key, "rows": sum(train.rows), **calibration.noted()}
    learnt = _learnt(lesson, champion, start, rehearse=rehearse)
    digest = lesson.save(fitted.estimator, document, folder / "candidate", learnt=learnt)
    return Taught(folder / "candidate", digest, document)


@dataclass(frozen=True, slots=True)
class _Start:
    """Whether a challenger goes on from the champion, and with which parameters it learns."""

    warm: bool
    continued: int
    tuned: dict[str, Scalar]
    awoken: tuple[str, ...]


def _start(context: StageContext, job: RetrainingJob) -> _Start:
    params, champion = job.params, job.champion
    name = params.training.learner
    same = champion.metadata.get("learner") == name
    continued = int(champion.metadata.get("continued", 0)) + 1
    able = same and goes_on(params.training, champion.judged[-1])
    awoken = _awoken(champion, job.manifest, job.live.name, context.shards) if able else ()
    warm = able and continued <= MAX_CONTINUED and not awoken
    return _Start(warm, continued, _tuned(context) if same else {}, awoken)


def _key(context: StageContext, job: RetrainingJob, start: _Start, number: int) -> str:
    """Names all that a candidate depends on."""
    return hash_json(
        {
            "shards": hash_file(context.workspace.shards / "manifest.json"),
            "champion": job.champion.digest,
            "training": job.params.training.model_dump(mode="json", exclude={"refit"}),
            "reduction": None if start.warm else job.params.reduction.model_dump(mode="json"),
            "params": start.tuned,
            "seed": job.params.seed,
            "live": job.live.name,
            "rehearse": number > 0,
            "metric": job.figures[1],
        }
    )


def _told(
    params: Params,
    champion: LoadedModel,
    lesson: Lesson,
    start: _Start,
    fitted: Fit,
    *,
    rehearse: bool,
) -> dict[str, Any]:
    """How a candidate came to be."""
    why = _why(champion.version if start.warm else None, rehearse, start.awoken)
    return {
        "learner": params.training.learner,
        "strategy": fitted.strategy,
        "why": "; ".join((why, *fitted.warnings)),
        "params": {**start.tuned, **params.training.params},
        "iterations": fitted.n_iterations,
        "curve": [list(point) for point in fitted.curve],
        "seed": params.seed,
        "schema": lesson.manifest.schema.to_json(),
        "continues": champion.version if start.warm else None,
        "continued": start.continued if start.warm else 0,
    }


def _learnt(
    lesson: Lesson, champion: LoadedModel, start: _Start, *, rehearse: bool
) -> Sequence[Learnt] | None:
    """The lessons of what was taught; None where the champion's are not known."""
    if start.warm:
        return _lessons(lesson, champion, rehearse=rehearse)
    return lessons_of(lesson.context, lesson.manifest)


def _lessons(lesson: Lesson, champion: LoadedModel, *, rehearse: bool) -> list[Learnt] | None:
    """The champion's lessons and this one; where rows were rehearsed, as if all old ones were."""
    before = ancestry_of(champion.metadata)
    if before is None:
        return None
    names = [lesson.live, *([""] if rehearse else [])]
    new = lessons_of(lesson.context, lesson.manifest, names)
    known = {one.rows_of for one in before}
    return [*before, *(one for one in new if one.rows_of not in known)]


def _awoken(
    champion: LoadedModel, manifest: ShardManifest, live: str, shards: StoreFolder
) -> tuple[str, ...]:
    """Features that the champion does not read, with one value in the source, and more now."""
    read = set(champion.judged[0].feature_names_in_)
    unread = [column.name for column in manifest.schema.features if column.name not in read]
    if not unread:
        return ()
    before, now = (
        training_profile(manifest.of_origin(origin), shards).columns for origin in ("", live)
    )
    return tuple(name for name in unread if not _varies(before[name]) and _varies(now[name]))


def _varies(column: NumericProfile | CategoryProfile) -> bool:
    if isinstance(column, NumericProfile):
        return column.minimum < column.maximum
    return column.n_distinct > 1


def _why(champion: int | None, rehearse: bool, awoken: tuple[str, ...]) -> str:
    if champion is None:
        moved = f": {', '.join(awoken)} never varied before" if awoken else ""
        return f"from scratch on old and live rows{moved}"
    rows = "live rows and as many old ones" if rehearse else "live rows"
    return f"goes on from champion {champion} with {rows}"


def _tuned(context: StageContext) -> dict[str, Scalar]:
    path = context.workspace.best_params
    return read_output(path, lambda tuned: dict(tuned["params"])) if is_left(path) else {}


def _finished(folder: Path, key: str) -> Taught | None:
    candidate = folder / "candidate"
    document = read_keyed(candidate / "training.json", key)
    if document is None:
        return None
    return Taught(candidate, hash_file(candidate / "model" / "candidate.json"), document)
