"""relearn: the serving model of a challenger, from all labelled live rows, those that judged too.

The challenger was judged on proof and frozen test rows; once that is done they may teach what
serves, as in the main job's ``refit``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tidemill.config import Params
from tidemill.errors import BudgetExceeded
from tidemill.learning import fit
from tidemill.stages.context import StageContext
from tidemill.stages.lesson import Lesson
from tidemill.stages.meter import Meter
from tidemill.stages.refit import REFIT, note_refit
from tidemill.stages.teach import Taught
from tidemill.stages.unseen import unseen_outputs
from tidemill.storage import FileEntry, ShardManifest, hash_file, hash_json, read_hashed
from tidemill.tracking import LoadedModel

__all__ = ["Refitted", "refit_challenger"]


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


def refit_challenger(
    context: StageContext,
    params: Params,
    champion: LoadedModel,
    manifest: ShardManifest,
    taught: Taught,
    proof: tuple[Path, Sequence[FileEntry]],
    folder: Path,
    *,
    live: str,
    rehearse: bool,
) -> Refitted:
    """Leave ``folder/serving``: the challenger's lesson once more, with nothing kept from it.

    A challenger that goes on does so from the champion's serving model, over all rows of the
    live set and the proof rows (and as many old ones, where the lesson had them), by its
    reducer; one from scratch learns all rows, old and live. Parameters and rounds are those of
    ``taught``. With ``training.refit: none`` the judged model serves.

    Parameters
    ----------
    proof : (Path, sequence of FileEntry)
        Folder and files of the proof rows.

    Notes
    -----
    Memory: as for ``teach``. The same arguments leave the same bytes; what is finished is not
    made again.
    """
    if params.training.refit == "none":
        return _judged(taught)
    key = _key(params, champion, taught, proof[1])
    out = folder / "serving"
    if (out / REFIT).exists():
        known = read_hashed(out / REFIT)
        if known["key"] == key:
            return _refitted(out, known)
    work = folder / "refitted" / key[:16]
    lesson = Lesson(context, params, champion.pipeline, manifest.all_training(), live, work)
    with Meter() as meter:
        try:
            estimator, document = _learn(lesson, taught, champion, proof, rehearse=rehearse)
        except BudgetExceeded as exc:
            return replace(_judged(taught), warning=f"the judged model serves: {exc.message}")
        document["key"] = key
        digest = lesson.save(estimator, document, out, name=REFIT, judged=taught.folder)
    note_refit(folder, digest, meter.seconds)
    return _refitted(out, document)


def _key(params: Params, champion: LoadedModel, taught: Taught, proof: Sequence[FileEntry]) -> str:
    """Names all that the serving model depends on."""
    warm = _warm(taught)
    return hash_json(
        {
            "taught": taught.digest,
            "champion": champion.digest,
            "proof": [file.sha256 for file in proof],
            "reduction": None if warm else params.reduction.model_dump(mode="json"),
        }
    )


def _warm(taught: Taught) -> bool:
    return taught.document["continues"] is not None


def _learn(
    lesson: Lesson,
    taught: Taught,
    champion: LoadedModel,
    proof: tuple[Path, Sequence[FileEntry]],
    *,
    rehearse: bool,
) -> tuple[Any, dict[str, Any]]:
    """The estimator that learnt all of it, and what is to be kept of how it came about."""
    warm = _warm(taught)
    known, nothing = lesson.warm_blocks(rehearse) if warm else lesson.all_blocks()
    held_out = lesson.with_files(nothing, proof[1], proof[0])
    rows = replace(known, blocks=(*known.blocks, *held_out.blocks))
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
    )
    fitted = learn(rows)
    unseen = unseen_outputs(fitted.estimator, known, held_out, schema, lambda b: learn(b).estimator)
    told = ("learner", "strategy", "params", "seed", "schema", "continues", "continued")
    return fitted.estimator, {
        **{name: said[name] for name in told},
        "iterations": fitted.n_iterations,
        "rows": sum(rows.rows),
        "why": "all labelled live rows, those that judged too",
        "twins": 0 if unseen is None else 2,
        "unseen": None if unseen is None else unseen.to_json(),
    }


def _judged(taught: Taught) -> Refitted:
    said = taught.document
    return Refitted(taught.folder, taught.digest, said["rows"], said["iterations"])


def _refitted(folder: Path, document: dict[str, Any]) -> Refitted:
    digest = hash_file(folder / "model" / "candidate.json")
    return Refitted(folder, digest, document["rows"], document["iterations"])
