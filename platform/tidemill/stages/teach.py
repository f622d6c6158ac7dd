"""teach: a challenger from the champion and live rows, warm where the learner can go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemill.config import Params
from tidemill.contracts import Fit, Scalar
from tidemill.features import training_profile
from tidemill.learners import LEARNERS
from tidemill.learning import fit
from tidemill.profiling import CategoryProfile, NumericProfile
from tidemill.stages.ancestry import Learnt, ancestry_of, lessons_of
from tidemill.stages.context import StageContext
from tidemill.stages.lesson import Lesson
from tidemill.storage import (
    ShardManifest,
    StoreFolder,
    hash_file,
    hash_json,
    read_hashed,
    read_output,
)
from tidemill.tracking import LoadedModel

__all__ = ["MAX_CONTINUED", "Taught", "teach"]

MAX_CONTINUED = 8
"""So often in a row a model goes on; then one from scratch takes its place (trees add up)."""


@dataclass(frozen=True, slots=True)
class Taught:
    """A challenger: its folder (as of ``train``), digest, and what training.json says."""

    folder: Path
    digest: str
    document: dict[str, Any]


def teach(
    context: StageContext,
    params: Params,
    champion: LoadedModel,
    manifest: ShardManifest,
    live: str,
    folder: Path,
    *,
    rehearse: bool,
    metric: str,
) -> Taught:
    """Leave ``folder/candidate``: the pipeline, and how it came to be.

    Where the champion is of the configured learner, and that can go on, the challenger has the
    champion's reducer and goes on from its learner over the live set's training rows; the set's
    validation rows stop it early. Elsewhere, and where features that never varied do so now (the
    champion's reducer left them out), reducer and learner are fitted from scratch on all training
    rows, old and live.

    Parameters
    ----------
    manifest : ShardManifest
        The shards, the live set ``live`` among them.
    rehearse : bool
        Whether one that goes on sees as many old rows, evenly spaced, lest it forget.
    metric : str
        The figure that is to get better: rounds stop by it, where the learner can follow it.

    Notes
    -----
    Memory: as for ``train``; a warm start sees live and rehearsed rows only. The same arguments
    leave the same bytes; a finished candidate of them is not made again.
    """
    start = _start(context, params, champion, manifest, live)
    key = _key(context, params, champion, live, start, rehearse=rehearse, metric=metric)
    done = _finished(folder / "candidate", key)
    if done is not None:
        return done
    job = Lesson(context, params, champion.judged, manifest, live, folder / "reduced" / key[:16])
    train, validation = job.warm_blocks(rehearse) if start.warm else job.all_blocks()
    fitted = fit(
        params.training,
        start.tuned,
        train,
        validation,
        task=manifest.schema.task,
        classes=manifest.schema.classes,
        seed=params.seed,
        metric=metric,
        start=champion.judged[-1] if start.warm else None,
    )
    document = _told(params, champion, job, start, fitted, rehearse=rehearse)
    document |= {"key": key, "rows": sum(train.rows)}
    learnt = _learnt(job, champion, start, rehearse=rehearse)
    digest = job.save(fitted.estimator, document, folder / "candidate", learnt=learnt)
    return Taught(folder / "candidate", digest, document)


@dataclass(frozen=True, slots=True)
class _Start:
    """Whether a challenger goes on from the champion, and with which parameters it learns."""

    warm: bool
    continued: int
    tuned: dict[str, Scalar]
    awoken: tuple[str, ...]


def _start(
    context: StageContext, params: Params, champion: LoadedModel, manifest: ShardManifest, live: str
) -> _Start:
    name = params.training.learner
    same = champion.metadata.get("learner") == name
    continued = int(champion.metadata.get("continued", 0)) + 1
    able = same and LEARNERS[name].continues
    awoken = _awoken(champion, manifest, live, context.shards) if able else ()
    warm = able and continued <= MAX_CONTINUED and not awoken
    return _Start(warm, continued, _tuned(context) if same else {}, awoken)


def _key(
    context: StageContext,
    params: Params,
    champion: LoadedModel,
    live: str,
    start: _Start,
    *,
    rehearse: bool,
    metric: str,
) -> str:
    """Names all that a candidate depends on."""
    return hash_json(
        {
            "shards": hash_file(context.workspace.shards / "manifest.json"),
            "champion": champion.digest,
            "training": params.training.model_dump(mode="json", exclude={"refit"}),
            "reduction": None if start.warm else params.reduction.model_dump(mode="json"),
            "params": start.tuned,
            "seed": params.seed,
            "live": live,
            "rehearse": rehearse,
            "metric": metric,
        }
    )


def _told(
    params: Params,
    champion: LoadedModel,
    job: Lesson,
    start: _Start,
    fitted: Fit,
    *,
    rehearse: bool,
) -> dict[str, Any]:
    """How a candidate came to be."""
    return {
        "learner": params.training.learner,
        "strategy": fitted.strategy,
        "why": _why(champion.version if start.warm else None, rehearse, start.awoken),
        "params": {**start.tuned, **params.training.params},
        "iterations": fitted.n_iterations,
        "curve": [list(point) for point in fitted.curve],
        "seed": params.seed,
        "schema": job.manifest.schema.to_json(),
        "continues": champion.version if start.warm else None,
        "continued": start.continued if start.warm else 0,
    }


def _learnt(
    job: Lesson, champion: LoadedModel, start: _Start, *, rehearse: bool
) -> Sequence[Learnt] | None:
    """The lessons of what was taught; None where the champion's are not known."""
    if start.warm:
        return _lessons(job, champion, rehearse=rehearse)
    return lessons_of(job.context, job.manifest)


def _lessons(job: Lesson, champion: LoadedModel, *, rehearse: bool) -> list[Learnt] | None:
    """The champion's lessons and this one; where rows were rehearsed, as if all old ones were."""
    before = ancestry_of(champion.metadata)
    if before is None:
        return None
    names = [job.live, *([""] if rehearse else [])]
    new = lessons_of(job.context, job.manifest, names)
    known = {lesson.rows_of for lesson in before}
    return [*before, *(lesson for lesson in new if lesson.rows_of not in known)]


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
    return read_output(path, lambda tuned: dict(tuned["params"])) if path.exists() else {}


def _finished(candidate: Path, key: str) -> Taught | None:
    receipt = candidate / "training.json"
    if not receipt.exists():
        return None
    document = read_hashed(receipt)
    if document["key"] != key:
        return None
    return Taught(candidate, hash_file(candidate / "model" / "candidate.json"), document)
