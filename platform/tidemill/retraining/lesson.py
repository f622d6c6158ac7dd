"""lesson: what a challenger learns from, reduced; and the folder that its pipeline goes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.config import Params
from tidemill.features import fit_reducer, load_reducer, save_reducer
from tidemill.schema import Role
from tidemill.stages.ancestry import Learnt
from tidemill.stages.blocks import ReducedBlocks, ReducePart, reduce_parts
from tidemill.stages.candidate import leave_candidate
from tidemill.stages.context import StageContext
from tidemill.storage import FileEntry, ShardEntry, ShardManifest, StoreFolder, fresh_directory

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["Lesson"]

_REHEARSED_BLOCKS = 32


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
            train = train.followed_by(old)
        return train, validation

    def all_blocks(self) -> tuple[ReducedBlocks, ReducedBlocks]:
        """All training and validation rows, by a reducer of their own."""
        shards = self.context.shards
        reducer, _ = fit_reducer(
            self.manifest, shards, self.params.reduction, engine=self.context.engine
        )
        save_reducer(reducer, fresh_directory(self.reducer_folder))
        train, validation = (
            self._reduced(
                [ReducePart.whole(entry) for entry in self.manifest.of(role)],
                fitted_on=role is Role.TRAIN,
            )
            for role in (Role.TRAIN, Role.VALIDATION)
        )
        return train, validation

    def with_files(
        self, blocks: ReducedBlocks, files: Sequence[FileEntry], folder: StoreFolder
    ) -> ReducedBlocks:
        """Those blocks, and after them the rows of files of ours in ``folder``."""
        parts = [
            ReducePart(f"file-{number:05d}", file, tuple(range(len(file.blocks))))
            for number, file in enumerate(files)
        ]
        more = self._reduced(parts, folder)
        return blocks.followed_by(more)

    def _reduced(
        self, parts: list[ReducePart], rows: StoreFolder | None = None, *, fitted_on: bool = False
    ) -> ReducedBlocks:
        return reduce_parts(
            self.context,
            parts,
            self.manifest.schema,
            self.reducer_folder,
            self.work,
            label="reduce live rows",
            rows=rows,
            fitted_on=fitted_on,
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
            shards=self.context.shards,
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
