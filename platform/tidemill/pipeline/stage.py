"""One node of a graph: of the main job, and of the retraining."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tidemill.stages import StageContext, StageResult
from tidemill.versioning import Out

__all__ = ["Stage"]

Given = TypeVar("Given")
"""What a graph is about: the parameters of the main job; one retraining."""


@dataclass(frozen=True, slots=True)
class Stage(Generic[Given]):
    """One node of a graph.

    Parameters
    ----------
    name : str
    run : callable
        Takes the context and what the graph is about; reads only what ``deps`` and ``params``
        name.
    deps, outs : tuple
        Paths relative to the workspace.
    params : tuple of str
        Sections of params.yaml that the result depends on.
    more_params : callable
        Sections that it depends on beside those, as what the graph is about has it.
    needed : callable
        Whether this run of the graph has a use for it; asked when those before it are done.
    stands : callable
        Whether what it left stands, so far as the record of the graph does not know: a version
        in MLflow, the receipts of a retraining.
    warnings : callable
        What is still to be said of it where it stands, and does not run.
    reads_source : bool
        Whether ``dataset.source`` itself is a dep.
    reads_suite : bool
        Whether the expectation suite is.
    reads_live : bool
        Whether data/live is, where there is one.
    """

    name: str
    run: Callable[[StageContext, Given], StageResult]
    deps: tuple[str, ...]
    outs: tuple[Out, ...]
    params: tuple[str, ...] = ()
    more_params: Callable[[Given], tuple[str, ...]] = lambda _: ()
    needed: Callable[[StageContext, Given], bool] = lambda *_: True
    stands: Callable[[StageContext, Given], bool] = lambda *_: True
    warnings: Callable[[StageContext, Given], tuple[str, ...]] = lambda *_: ()
    reads_source: bool = False
    reads_suite: bool = False
    reads_live: bool = False
