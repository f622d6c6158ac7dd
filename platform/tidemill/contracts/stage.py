"""A stage of the user's own: a function beside params.yaml, between the stages of tidemill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tidemill.contracts.engine import Engine
from tidemill.contracts.learner import Scalar
from tidemill.contracts.partials import Progress

__all__ = ["OwnStage", "StageJob"]


@dataclass(frozen=True, slots=True)
class StageJob:
    """All that a stage of the user's own is given.

    Parameters
    ----------
    name : str
        Of the stage.
    params : mapping of str to value
        ``stages.NAME.params`` of params.yaml.
    seed : int
        ``seed`` of params.yaml, for all that is drawn.
    reads : mapping of str to Path
        Each path of ``stages.NAME.reads``, as written there, and where it lies.
    writes : mapping of str to Path
        Each path of ``stages.NAME.writes``, and where to write it: a place of its own, empty,
        whose folder exists.
    engine : Engine
        Maps functions over items in the workers of the run.
    progress : callable or None
        For the engine's maps.
    """

    name: str
    params: Mapping[str, Any]
    seed: int
    reads: Mapping[str, Path]
    writes: Mapping[str, Path]
    engine: Engine
    progress: Progress | None = field(default=None, compare=False)


class OwnStage(Protocol):
    """The function that ``stages.NAME.call`` names.

    - It reads files of ``job.reads`` alone, and does not change them.
    - It leaves a file or folder at each place of ``job.writes``; nothing of it is seen in the
      workspace before it has returned. What it raises, or a kill, leaves the workspace as it was,
      and the stage begins anew.
    - Equal reads, params, seed and code leave equal bytes, whatever the engine and its workers:
      no clock, network or order of a set gets into them. (Only then do ``dvc repro`` and
      ``tidemill run`` leave the same.)
    - Its memory is bounded, whatever the rows: it takes tables by blocks, and lets
      ``job.engine.map`` or ``fold`` do what costs time.
    - What it returns are figures: finite numbers, texts, booleans by name, or None.
    """

    def __call__(self, job: StageJob, /) -> Mapping[str, Scalar] | None:
        """Do the work of the stage."""
