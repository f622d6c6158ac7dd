"""The door of ``tidemill run``: the pipeline as a Prefect flow run, in this process."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from tidemill.contracts import Engine
from tidemill.engines import open_engine
from tidemill.errors import ServiceUnavailable
from tidemill.orchestration.flows import Pipeline, run_in_flow
from tidemill.orchestration.owner import known_auth
from tidemill.orchestration.server import TemporaryServer, require_prefect
from tidemill.settings import Settings
from tidemill.storage import Workspace

if TYPE_CHECKING:
    from tidemill.pipeline import Observer, RunSummary

__all__ = ["run_through_prefect"]

_SETTLE_SECONDS = 5.0
_POLL_SECONDS = 0.1
_PAGE = 200


def run_through_prefect(
    workspace: Workspace,
    settings: Settings,
    *,
    observer: Observer | None = None,
    force: bool = False,
    until: str | None = None,
    assignments: Sequence[str] = (),
    engine: Engine | None = None,
    preload: Sequence[str] = (),
    pipeline: Pipeline | None = None,
) -> RunSummary:
    """Run the pipeline as a flow run and return its summary.

    The caller holds the workspace lock.

    Parameters
    ----------
    settings : Settings
        ``prefect_api_url`` is the server; None starts a temporary one, which ends with us.
    observer, force, until, assignments
        As for ``run_pipeline``.
    engine : Engine or None
        Does the work; None opens the one of ``settings``.
    preload : sequence of str
        Modules to import while a temporary server starts, as far as there is time.
    pipeline : callable or None
        Runs the stages; None is ``tidemill.pipeline.run_pipeline``.

    Raises
    ------
    ServiceUnavailable
        If Prefect does not answer.
    TidemillError
        Whatever a stage raised, as it is.
    """
    # Read when Prefect is imported; whoever sets it sees Prefect's log on the terminal.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    with (
        _api(workspace, settings, preload) as (api_url, auth),
        _pointed_at(api_url, auth),
        nullcontext(engine)
        if engine
        else open_engine(settings, preload=("tidemill.stages",), store=workspace.store()) as inner,
    ):
        call = partial(
            run_in_flow,
            workspace,
            settings=settings,
            engine=inner,
            observer=observer,
            force=force,
            until=until,
            assignments=assignments,
            pipeline=pipeline,
        )
        with _settled(temporary=settings.prefect_api_url is None):
            return _flow_run(workspace, call, api_url)


@contextmanager
def _api(
    workspace: Workspace, settings: Settings, preload: Sequence[str]
) -> Iterator[tuple[str, str | None]]:
    """The API's address, and the credential that opens it."""
    if settings.prefect_api_url:
        require_prefect(settings.prefect_api_url)
        yield settings.prefect_api_url, known_auth(workspace, settings.prefect_api_url)
        return
    with TemporaryServer() as server:
        # Prefect itself and what the stages need load on the other core meanwhile.
        modules = iter(["tidemill.orchestration.tasks", *preload])
        server.wait(meanwhile=lambda: _import_next(modules))
        yield server.api_url, server.auth


def _import_next(modules: Iterator[str]) -> bool:
    name = next(modules, None)
    if name is not None:
        importlib.import_module(name)
    return name is not None


@contextmanager
def _pointed_at(api_url: str, auth: str | None) -> Iterator[None]:
    """Send all of Prefect in this process to ``api_url``."""
    from prefect.context import _temporary_global_settings_context, get_settings_context
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    opened = {} if auth is None else {PREFECT_API_AUTH_STRING: auth}
    with (
        temporary_settings({PREFECT_API_URL: api_url, **opened}),
        # Prefect's own threads do not see this one's context.
        _temporary_global_settings_context(get_settings_context()),
    ):
        yield


@contextmanager
def _settled(*, temporary: bool) -> Iterator[None]:
    """Leave only when a temporary server has recorded how the block's task runs ended.

    Their states travel as events and are written some time after the flow run itself has ended; a
    server that is stopped at once would show them as running for ever.
    """
    from tidemill.orchestration.tasks import begun_tasks

    with begun_tasks() as ids:
        try:
            yield
        finally:
            if temporary:
                _await_ends(ids)


def _await_ends(ids: Collection[UUID]) -> None:
    import httpx
    from prefect import get_client
    from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterId
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=_SETTLE_SECONDS)
    EventsWorker.drain_all(timeout=_SETTLE_SECONDS)
    deadline = time.monotonic() + _SETTLE_SECONDS
    waiting = set(ids)
    with suppress(httpx.HTTPError), get_client(sync_client=True) as client:
        while waiting and time.monotonic() < deadline:
            some = TaskRunFilter(id=TaskRunFilterId(any_=sorted(waiting)[:_PAGE]))
            runs = client.read_task_runs(task_run_filter=some, limit=_PAGE)
            ended = {run.id for run in runs if run.state is not None and run.state.is_final()}
            waiting -= ended
            if not ended:
                time.sleep(_POLL_SECONDS)


def _flow_run(workspace: Workspace, call: Callable[[], RunSummary], api_url: str) -> RunSummary:
    import httpx
    from prefect import flow, get_client, tags

    from tidemill.orchestration.crashes import mark_crashed

    # The name of the deployed flow: both are one flow in Prefect's eyes.
    @flow(name="train-model", flow_run_name=f"run {workspace.root.name}", persist_result=False)
    def train_model(workspace: str) -> RunSummary:  # noqa: ARG001
        return call()

    try:
        with get_client(sync_client=True) as client:
            mark_crashed(workspace, client)
        with tags("tidemill", f"workspace:{workspace.root.name}"):
            return train_model(str(workspace.root))
    except httpx.TransportError as exc:
        raise ServiceUnavailable(
            f"Prefect at {api_url} stopped answering: {exc}",
            remedy="run the same command again; finished shards are not redone",
            service="prefect",
            address=api_url,
        ) from exc
