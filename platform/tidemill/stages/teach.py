"""teach: a challenger from the champion and live rows, warm where the learner can go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.config import Params, Scalar
from tidemill.features import fit_reducer, load_reducer, save_reducer, training_profile
from tidemill.learning import LEARNERS, fit
from tidemill.profiling import CategoryProfile, NumericProfile
from tidemill.schema import Role
from tidemill.stages.ancestry import Learnt, ancestry_of, lessons_of
from tidemill.stages.blocks import ReducedBlocks, ReducePart, reduce_parts
from tidemill.stages.candidate import leave_candidate
from tidemill.stages.context import StageContext
from tidemill.storage import (
    FileEntry,
    ShardEntry,
    ShardManifest,
    fresh_directory,
    hash_file,
    hash_json,
    read_json,
)
from tidemill.tracking import LoadedModel

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["MAX_CONTINUED", "Lesson", "Taught", "teach"]

MAX_CONTINUED = 8
"""So often in a row a model goes on; then one from scratch takes its place (trees add up)."""

_REHEARSED_BLOCKS = 32


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
    training = params.training
    learner = champion.metadata.get("learner")
    tuned = _tuned(context) if learner == training.learner else {}
    continued = int(champion.metadata.get("continued", 0)) + 1
    able = learner == training.learner and LEARNERS[training.learner].continues
    awoken = _awoken(champion, manifest, live, context.workspace.shards) if able else ()
    warm = able and continued <= MAX_CONTINUED and not awoken
    key = hash_json(
        {
            "shards": hash_file(context.workspace.shards / "manifest.json"),
            "champion": champion.digest,
            "training": training.model_dump(mode="json", exclude={"refit"}),
            "reduction": None if warm else params.reduction.model_dump(mode="json"),
            "params": tuned,
            "seed": params.seed,
            "live": live,
            "rehearse": rehearse,
            "metric": metric,
        }
    )
    done = _finished(folder / "candidate", key)
    if done is not None:
        return done
    work = folder / "reduced" / key[:16]
    job = Lesson(context, params, champion.judged, manifest, live, work)
    train, validation = job.warm_blocks(rehearse) if warm else job.all_blocks()
    fitted = fit(
        training,
        tuned,
        train,
        validation,
        task=manifest.schema.task,
        classes=manifest.schema.classes,
        seed=params.seed,
        metric=metric,
        start=champion.judged[-1] if warm else None,
    )
    document: dict[str, Any] = {
        "key": key,
        "learner": training.learner,
        "strategy": fitted.strategy,
        "why": _why(champion.version if warm else None, rehearse, awoken),
        "params": {**tuned, **training.params},
        "iterations": fitted.n_iterations,
        "curve": [list(point) for point in fitted.curve],
        "rows": sum(train.rows),
        "seed": params.seed,
        "schema": manifest.schema.to_json(),
        "continues": champion.version if warm else None,
        "continued": continued if warm else 0,
    }
    learnt = _lessons(job, champion, rehearse=rehearse) if warm else lessons_of(context, manifest)
    digest = job.save(fitted.estimator, document, folder / "candidate", learnt=learnt)
    return Taught(folder / "candidate", digest, document)


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
    champion: LoadedModel, manifest: ShardManifest, live: str, shards: Path
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
    found: dict[str, Scalar] = read_json(path)["params"] if path.exists() else {}
    return found


def _finished(candidate: Path, key: str) -> Taught | None:
    receipt = candidate / "training.json"
    if not receipt.exists():
        return None
    document = read_json(receipt)
    if document["key"] != key:
        return None
    return Taught(candidate, hash_file(candidate / "model" / "candidate.json"), document)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a challenger learns from, reduced.

    Parameters
    ----------
    context, params : StageContext, Params
    model : Pipeline
        The champion's, whose reducer one that goes on has.
    manifest : ShardManifest
        All shards, with the roles that they have in this lesson.
    live : str
        Name of the set of live rows.
    work : Path
        For reducer and matrices; named by all that they depend on.
    """

    context: StageContext
    params: Params
    model: Pipeline
    manifest: ShardManifest
    live: str
    work: Path

    @property
    def reducer_folder(self) -> Path:
        """Where the lesson's reducer lies."""
        return self.work / "reducer"

    def warm_blocks(self, rehearse: bool) -> tuple[ReducedBlocks, ReducedBlocks]:
        """Live training rows, with as many old ones if asked; live validation rows."""
        save_reducer(self.model[0], fresh_directory(self.reducer_folder))
        live = self.manifest.of_origin(self.live)
        train = self._reduced([ReducePart.whole(e) for e in live.of(Role.TRAIN)])
        validation = self._reduced([ReducePart.whole(e) for e in live.of(Role.VALIDATION)])
        if rehearse:
            old = self._reduced(_spread(self.manifest.of_origin("").of(Role.TRAIN)))
            old = old.sample(sum(train.rows))
            train = replace(train, blocks=(*train.blocks, *old.blocks))
        return train, validation

    def all_blocks(self) -> tuple[ReducedBlocks, ReducedBlocks]:
        """All training and validation rows, by a reducer of their own."""
        shards = self.context.workspace.shards
        reducer, _ = fit_reducer(
            self.manifest, shards, self.params.reduction, engine=self.context.engine
        )
        save_reducer(reducer, fresh_directory(self.reducer_folder))
        train, validation = (
            self._reduced([ReducePart.whole(entry) for entry in self.manifest.of(role)])
            for role in (Role.TRAIN, Role.VALIDATION)
        )
        return train, validation

    def with_files(
        self, blocks: ReducedBlocks, files: Sequence[FileEntry], folder: Path
    ) -> ReducedBlocks:
        """Those blocks, and after them the rows of files of ours in ``folder``."""
        parts = [
            ReducePart(f"file-{number:05d}", file, tuple(range(len(file.blocks))))
            for number, file in enumerate(files)
        ]
        more = self._reduced(parts, folder)
        return replace(blocks, blocks=(*blocks.blocks, *more.blocks))

    def _reduced(self, parts: list[ReducePart], rows: Path | None = None) -> ReducedBlocks:
        return reduce_parts(
            self.context,
            parts,
            self.manifest.schema,
            self.reducer_folder,
            self.work,
            label="reduce live rows",
            rows=rows,
        )

    def save(
        self,
        estimator: Any,
        document: dict[str, Any],
        folder: Path,
        *,
        name: str = "training.json",
        learnt: Sequence[Learnt] | None = None,
        judged: Path | None = None,
    ) -> str:
        """Put the pipeline beside ``document`` into ``folder``; see :func:`leave_candidate`."""
        from sklearn.pipeline import Pipeline

        return leave_candidate(
            Pipeline([("reducer", load_reducer(self.reducer_folder)), ("learner", estimator)]),
            document,
            folder,
            staged=folder.with_name(f".{folder.name}.staged"),
            manifest=self.manifest.of_origin(self.live),
            shards=self.context.workspace.shards,
            name=name,
            learnt=learnt,
            judged=judged,
        )


def _spread(shards: tuple[ShardEntry, ...]) -> list[ReducePart]:
    """At most 32 blocks, evenly spaced over all of them, of which rows are sampled."""
    every = [(entry, block) for entry in shards for block in range(len(entry.file.blocks))]
    wanted = min(_REHEARSED_BLOCKS, len(every))
    picked = [every[int(i)] for i in np.linspace(0, len(every) - 1, wanted).round()]
    return [
        ReducePart(
            f"old-{entry.id:05d}",
            entry.file,
            tuple(dict.fromkeys(block for other, block in picked if other is entry)),
        )
        for entry in dict.fromkeys(entry for entry, _ in picked)
    ]
