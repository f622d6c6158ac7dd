"""The only Prefect tasks: a stage, and a group of a stage's items."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.futures import PrefectFuture, as_completed
from prefect.logging import get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner

from tidemill.errors import TidemillError
from tidemill.orchestration.artifacts import publish_stage

if TYPE_CHECKING:
    from tidemill.pipeline import StageRun

__all__ = ["begun_tasks", "current_task", "execute_as_task", "run_children"]

Result = TypeVar("Result")

# Errors that the child tasks have tried to get over already: the stage does not start again.
_spent: weakref.WeakSet[TidemillError] = weakref.WeakSet()

_begun: ContextVar[set[UUID] | None] = ContextVar("tidemill_begun_tasks", default=None)


@contextmanager
def begun_tasks() -> Iterator[set[UUID]]:
    """Collect the ids of the task runs that begin inside."""
    ids: set[UUID] = set()
    token = _begun.set(ids)
    try:
        yield ids
    finally:
        _begun.reset(token)


def _note_begun() -> None:
    context, ids = TaskRunContext.get(), _begun.get()
    if context is not None and ids is not None:
        ids.add(context.task_run.id)


def _retryable(_task: Any, _run: Any, state: Any) -> bool:
    return _can_help(state.result(raise_on_failure=False))


def _can_help(error: object) -> bool:
    """Whether the type of the error says that a retry can help."""
    return isinstance(error, TidemillError) and error.retryable and error not in _spent


@task(
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_condition_fn=_retryable,
    task_run_name="{label} {number}/{total}",
)
def process_group(work: Callable[[], Any], label: str, number: int, total: int) -> Any:  # noqa: ARG001
    """Run one group of a stage's items, and wait for it."""
    _note_begun()
    return work()


@task(
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=_retryable,
    task_run_name="{stage}",
)
def run_stage(stage: str, call: Callable[[], StageRun]) -> StageRun:
    """Run one stage and put what it says on the flow run's page."""
    _note_begun()
    run = call()
    get_run_logger().info(
        "%s took %.1f s and %.0f MB at most", stage, run.seconds, run.peak_memory_bytes / 1e6
    )
    publish_stage(run)
    return run


def execute_as_task(stage: str, call: Callable[[], StageRun]) -> StageRun:
    """Run a stage as a task of the flow that runs now: the pipeline's ``execute``.

    The task is called, not submitted: a submitted one that waits for children can deadlock
    (PrefectHQ/prefect#17060).
    """
    result: StageRun = run_stage.with_options(name=stage)(stage, call)
    return result


def current_task() -> object:
    """The task run that this code belongs to; None outside of one."""
    context = TaskRunContext.get()
    return context.task_run.id if context else None


def run_children(
    works: Sequence[Callable[[], Result]],
    *,
    label: str,
    threads: int,
    retries: int,
    retry_delay_seconds: float,
    stop: Callable[[], None],
) -> list[Result]:
    """Run callables as child tasks, ``threads`` at a time, and return their results in order.

    The first error calls ``stop``, cancels what has not begun, and is raised as it is. One that no
    retry helps does so where it is raised: Prefect takes its time to write that a task has failed.
    """
    child = process_group.with_options(
        name=label, retries=retries, retry_delay_seconds=retry_delay_seconds
    )
    final: list[BaseException] = []

    def guarded(work: Callable[[], Result]) -> Result:
        if final:
            raise CancelledError(f"another group of {label} failed")
        try:
            return work()
        except BaseException as error:
            if not _can_help(error):
                final.append(error)
                stop()
            raise

    runner: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=threads)
    with runner:
        futures: list[PrefectFuture[Any]] = [
            runner.submit(
                child,
                {
                    "work": partial(guarded, work),
                    "label": label,
                    "number": number,
                    "total": len(works),
                },
            )
            for number, work in enumerate(works, start=1)
        ]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException as error:
            stop()
            first = final[0] if final else error  # others may end sooner, for its sake
            if isinstance(first, TidemillError):
                _spent.add(first)
            raise first from None
        return [future.result() for future in futures]
