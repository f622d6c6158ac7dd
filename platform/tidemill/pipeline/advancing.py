"""The runner of both graphs: what is not current runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from tidemill.contracts import Metered
from tidemill.errors import TidemillError
from tidemill.pipeline.observing import Observer
from tidemill.pipeline.stage import Stage
from tidemill.pipeline.summary import StageRun
from tidemill.stages import Meter, StageContext, StageResult

__all__ = ["Execute", "Runner", "also_saying", "measured", "runs_ended"]

Given = TypeVar("Given")

Execute = Callable[[str, Callable[[], StageRun]], StageRun]
"""Runs a stage's call under its name."""


@dataclass(frozen=True, slots=True)
class Runner(Generic[Given]):
    """Runs stages in order; those that are current are not run.

    Parameters
    ----------
    context : StageContext
    given : Given
        What the graph is about.
    execute : callable
        Runs a stage's call, for example as a Prefect task, and records what it has left.
    observer : Observer
    is_current : callable
        Whether a stage that stands ran, and nothing that it reads, leaves or is has changed since.
    anew : callable
        Whether a stage is to run though it is current, and take nothing over from the version
        before.
    """

    context: StageContext
    given: Given
    execute: Execute
    observer: Observer
    is_current: Callable[[str], bool] = lambda _name: True
    anew: Callable[[str], bool] = lambda _name: False

    def run(
        self,
        stages: Iterable[Stage[Given]],
        *,
        last: str | None = None,
        mended: tuple[str, ...] = (),
    ) -> list[StageRun]:
        """Run what is needed and not current, up to the stage named ``last``.

        The first of them also warns of what was ``mended`` before.

        Raises
        ------
        TidemillError
            Whatever a stage raises; those before it are recorded.
        """
        runs: list[StageRun] = []
        for stage in stages:
            if not stage.needed(self.context, self.given):
                continue
            run, mended = also_saying(mended, self._advance(stage)), ()
            self.observer.stage_finished(run)
            runs.append(run)
            if stage.name == last:
                break
        return runs

    def _advance(self, stage: Stage[Given]) -> StageRun:
        """Run one stage unless it is current."""
        context = replace(self.context, anew=self.anew(stage.name))
        if not context.anew and self._is_current(stage):
            warnings = stage.warnings(self.context, self.given)
            result = StageResult(stage.name, warnings=warnings)
            return StageRun(stage.name, "current", 0.0, 0, result)
        self.observer.stage_started(stage.name)
        return self.execute(stage.name, lambda: measured(stage, context, self.given, self.observer))

    def _is_current(self, stage: Stage[Given]) -> bool:
        return stage.stands(self.context, self.given) and self.is_current(stage.name)


def also_saying(said: tuple[str, ...], run: StageRun) -> StageRun:
    """A run that also warns of what was mended before it."""
    return replace(run, result=replace(run.result, warnings=(*said, *run.result.warnings)))


def measured(
    stage: Stage[Given], context: StageContext, given: Given, observer: Observer
) -> StageRun:
    """Run a stage's function; what it said, and what it cost here and at workers elsewhere."""

    def progress(finished: int, total: int, /) -> None:
        observer.stage_progress(stage.name, finished, total)

    metered = context.engine if isinstance(context.engine, Metered) else None
    if metered is not None:
        metered.take_costs()  # of work before
    with Meter() as meter:
        result = stage.run(replace(context, progress=progress), given)
    costs = metered.take_costs() if metered is not None else None
    return StageRun(stage.name, "ran", meter.seconds, meter.peak_memory_bytes, result, costs)


@contextmanager
def runs_ended(context: StageContext) -> Iterator[None]:
    """Leave no MLflow run RUNNING behind, however the work ends."""
    try:
        yield
    except BaseException:
        with suppress(TidemillError):
            context.tracker.finish_all("FAILED")
        raise
    context.tracker.finish_all("FINISHED")
