"""What the flows do, inside a flow run: the pipeline with Prefect's engine, and its page.

Prefect is imported inside functions: the command line must not pay for it before it needs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.config import load_params
from tidemill.contracts import Engine
from tidemill.engines import open_engine
from tidemill.errors import GateShut
from tidemill.orchestration.crashes import mark_crashed, recorded
from tidemill.orchestration.engine import PrefectEngine
from tidemill.settings import Settings, load_settings
from tidemill.storage import SourceFiles, Workspace, workspace_lock

if TYPE_CHECKING:
    from tidemill.pipeline import Execute, Observer, RunSummary

__all__ = [
    "LOCK_SECONDS",
    "Pipeline",
    "flow_run_id",
    "flow_settings",
    "mark_the_dead",
    "run_in_flow",
    "run_name",
    "score_in_flow",
    "train_in_flow",
]

Scalar = str | int | float | bool | None
Pipeline = Callable[..., "RunSummary"]

LOCK_SECONDS = 600.0


def run_in_flow(
    workspace: Workspace,
    *,
    settings: Settings,
    engine: Engine,
    observer: Observer | None,
    force: bool = False,
    until: str | None = None,
    assignments: Sequence[str] = (),
    pipeline: Pipeline | None = None,
) -> RunSummary:
    """Run the pipeline inside the flow run that this code belongs to.

    The caller holds the workspace lock.

    Raises
    ------
    TidemillError
        Whatever a stage raised, as it is; its message and remedy are on the flow run's page.
    """
    from tidemill.orchestration.artifacts import failures_published

    with failures_published():
        return _run(workspace, settings, engine, observer, force, until, assignments, pipeline)


def train_in_flow(
    workspace: str = ".",
    overrides: Mapping[str, Scalar] | None = None,
    require_promotion: bool = False,
    engine: str | None = None,
) -> dict[str, Any]:
    """The body of the deployed flow: lock, settings, pipeline, gate; returns the summary.

    ``engine`` wins over the environment's, as in all three bodies.

    Raises
    ------
    GateShut
        If promotion is required and did not happen.
    """
    from tidemill.orchestration.artifacts import failures_published

    place = Workspace.at(workspace or ".")
    settings = flow_settings(engine)
    with failures_published():
        mark_the_dead(place)
        with (
            workspace_lock(place, wait_seconds=LOCK_SECONDS),
            open_engine(settings, preload=("tidemill.stages",), store=place.store()) as opened,
        ):
            # JSON is YAML: what params.yaml then says is what was asked for.
            assignments = [f"{key}={json.dumps(value)}" for key, value in (overrides or {}).items()]
            summary = _run(place, settings, opened, assignments=assignments)
        if require_promotion and not summary.facts.get("promoted"):
            raise GateShut(
                f"not promoted: {summary.facts.get('promotion_reason')}",
                remedy="look at reports/metrics.json, or lower registration.min_improvement",
            )
    return summary.to_json()


def score_in_flow(
    workspace: str,
    input: str,  # noqa: A002
    output: str,
    model: str = "champion",
    engine: str | None = None,
) -> dict[str, Any]:
    """The body of the scoring flow: predict every row of ``input``; returns the figures.

    Relative paths start at the workspace.
    """
    from tidemill.orchestration.artifacts import failures_published, publish_result
    from tidemill.pipeline import context_for
    from tidemill.stages import score_files

    place = Workspace.at(workspace or ".")
    settings = flow_settings(engine)
    with (
        failures_published(),
        recorded(place, flow_run_id()),
        open_engine(settings, preload=("tidemill.stages",), store=place.store()) as opened,
    ):
        params = load_params(place.root)
        context = context_for(place, params, settings, PrefectEngine(opened))
        scored = score_files(
            context,
            params=params,
            source=SourceFiles(place.root).absolute(input),
            output=place.root / output,
            model=model,
        )
        publish_result(scored)
    return {**scored.facts, **scored.tables}


def _run(
    workspace: Workspace,
    settings: Settings,
    engine: Engine,
    observer: Observer | None = None,
    force: bool = False,
    until: str | None = None,
    assignments: Sequence[str] = (),
    pipeline: Pipeline | None = None,
) -> RunSummary:
    from tidemill.orchestration.artifacts import RunLog, publish_summary
    from tidemill.orchestration.tasks import execute_as_task

    run = pipeline or _pipeline()
    execute: Execute = execute_as_task
    with recorded(workspace, flow_run_id()):
        summary = run(
            workspace,
            settings=settings,
            engine=PrefectEngine(engine),
            execute=execute,
            observer=observer or RunLog(),
            force=force,
            until=until,
            assignments=assignments,
            links=_links(settings),
        )
        publish_summary(summary)
    return summary


def _links(settings: Settings) -> dict[str, str]:
    """The page of this flow run, unless its server ends with it."""
    from prefect.utilities.urls import url_for

    page = url_for("flow-run", obj_id=flow_run_id())
    if page is None or settings.prefect_api_url is None:
        return {}
    return {"prefect_page": page}


def flow_settings(engine: str | None) -> Settings:
    """The environment's settings, with the engine that a flow run was asked for."""
    return load_settings(engine=engine, engine_setting="the flow's parameter engine")


def run_name() -> str:
    """The name of the flow run in whose context this is called: what it does, and where."""
    from prefect.runtime import flow_run

    place = Workspace.at(flow_run.parameters.get("workspace") or ".")
    return f"{flow_run.flow_name} {place.root.name}"


def _pipeline() -> Pipeline:
    from tidemill.pipeline import run_pipeline

    return run_pipeline


def flow_run_id() -> Any:
    """The id of the flow run that this code belongs to."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("this must be called inside a flow run")
    return context.flow_run.id


def mark_the_dead(workspace: Workspace) -> None:
    """Mark the workspace's flow runs whose process is gone as Crashed."""
    from prefect import get_client
    from prefect.logging import get_run_logger

    with get_client(sync_client=True) as client:
        for flow_run_id in mark_crashed(workspace, client):
            get_run_logger().warning("flow run %s was killed: marked as Crashed", flow_run_id)
