"""relearn: the serving model of a challenger, from all labelled live rows, those that judged too.

The challenger was judged on proof and frozen test rows; once that is done they may teach what
serves, as in the main job's ``refit``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tidemill.errors import BudgetExceeded
from tidemill.learning import Calibration, fit
from tidemill.retraining.job import RetrainingJob
from tidemill.retraining.lesson import Lesson
from tidemill.retraining.taking_in import Proof, taken_in
from tidemill.retraining.taught import Taught, teach
from tidemill.stages.context import StageContext
from tidemill.stages.meter import Meter
from tidemill.stages.refit import REFIT, note_refit
from tidemill.stages.unseen import unseen_outputs
from tidemill.storage import hash_file, hash_json, read_keyed
from tidemill.tracking import LoadedModel

__all__ = ["Refitted", "find_refitted", "refit_challenger", "to_serve"]


@dataclass(frozen=True, slots=True)
class Refitted:
    """What is to be registered of a challenger.

    Parameters
    ----------
    folder : Path
        Holds ``model``, with both pipelines; that of the judged one where no other serves.
    digest : str
    rows, iterations : int
        What the serving model learnt from, and its rounds.
    warning : str or None
        Why the judged model serves although it should not.
    """

    folder: Path
    digest: str
    rows: int
    iterations: int
    warning: str | None = None


def find_refitted(context: StageContext, job: RetrainingJob, number: int) -> Refitted | None:
    """What was refitted of a lesson; None while nothing was of what it depends on now."""
    if job.params.training.refit == "none":
        return None
    return _finished(job.lesson(number) / "serving", _key(job, teach(context, job, number)))


def to_serve(context: StageContext, job: RetrainingJob, number: int) -> Refitted:
    """What is to be registered of a lesson: what was refitted, else the judged model."""
    return find_refitted(context, job, number) or _judged(teach(context, job, number))


def refit_challenger(context: StageContext, job: RetrainingJob, number: int) -> Refitted:
    """Leave ``serving`` in the lesson's folder: the lesson once more, with nothing kept from it.

    A challenger that goes on does so from the champion's serving model, over all rows of the
    live set and the proof rows (and as many old ones, where the lesson had them), by its
    reducer; one from scratch learns all rows, old and live. Parameters and rounds are those of
    the lesson. With ``training.refit: none`` the judged model serves.

    Notes
    -----
    Memory: as for ``teach``. The same arguments leave the same bytes; what is finished is not
    made again.
    """
    params, champion, folder = job.params, job.champion, job.lesson(number)
    taught = teach(context, job, number)
    if params.training.refit == "none":
        return _judged(taught)
    key, out = _key(job, taught), folder / "serving"
    if (known := _finished(out, key)) is not None:
        return known
    work, rows = folder / "refitted" / key[:16], job.manifest.all_training()
    lesson = Lesson(context, params, champion.pipeline, rows, job.live.name, work)
    proof = taken_in(job).proof
    with Meter() as meter:
        try:
            estimator, document = _learn(lesson, taught, champion, proof, rehearse=number > 0)
        except BudgetExceeded as exc:
            return replace(_judged(taught), warning=f"the judged model serves: {exc.message}")
        document["key"] = key
        digest = lesson.save(estimator, document, out, name=REFIT, judged=taught.folder)
    note_refit(folder, digest, meter.seconds)
    return _refitted(out, document)


def _key(job: RetrainingJob, taught: Taught) -> str:
    """Names all that the serving model depends on."""
    reduction = None if _warm(taught) else job.params.reduction.model_dump(mode="json")
    return hash_json(
        {
            "taught": taught.digest,
            "champion": job.champion.digest,
            "proof": [file.sha256 for file in taken_in(job).proof.files],
            "reduction": reduction,
        }
    )


def _finished(out: Path, key: str) -> Refitted | None:
    known = read_keyed(out / REFIT, key)
    return None if known is None else _refitted(out, known)


def _warm(taught: Taught) -> bool:
    return taught.document["continues"] is not None


def _learn(
    lesson: Lesson,
    taught: Taught,
    champion: LoadedModel,
    proof: Proof,
    *,
    rehearse: bool,
) -> tuple[Any, dict[str, Any]]:
    """The estimator that learnt all of it, and what is to be kept of how it came about."""
    warm = _warm(taught)
    known, nothing = lesson.warm_blocks(rehearse) if warm else lesson.all_blocks()
    held_out = lesson.with_files(nothing, proof.files, proof.folder)
    rows = known.followed_by(held_out)
    schema, said = lesson.manifest.schema, taught.document
    learn = partial(
        fit,
        lesson.params.training,
        said["params"],
        validation=nothing,
        task=schema.task,
        classes=schema.classes,
        seed=lesson.params.seed,
        start=champion.pipeline[-1] if warm else None,
        rounds=max(said["iterations"], 1),
        engine=lesson.context.engine,
    )
    calibration = Calibration.of_model(said)
    fitted = learn(rows)
    serving = calibration.applied(fitted.estimator)
    unseen = unseen_outputs(
        serving, known, held_out, schema, lambda b: calibration.applied(learn(b).estimator)
    )
    told = ("learner", "strategy", "params", "seed", "schema", "continues", "continued")
    return serving, {
        **{name: said[name] for name in told},
        "iterations": fitted.n_iterations,
        "rows": sum(rows.rows),
        "why": "; ".join(("all labelled live rows, those that judged too", *fitted.warnings)),
        "twins": 0 if unseen is None else 2,
        "unseen": None if unseen is None else unseen.to_json(),
        **calibration.noted(),
    }


def _judged(taught: Taught) -> Refitted:
    said = taught.document
    return Refitted(taught.folder, taught.digest, said["rows"], said["iterations"])


def _refitted(folder: Path, document: dict[str, Any]) -> Refitted:
    digest = hash_file(folder / "model" / "candidate.json")
    return Refitted(folder, digest, document["rows"], document["iterations"])
