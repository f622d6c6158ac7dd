"""``tidemill run``, ``stage``, ``score``, ``up``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.options import EngineOption, JsonOption, WaitOption, WorkspaceOption, existing
from tidemill.screen import Screen

if TYPE_CHECKING:
    from tidemill.contracts import WorkerCosts
    from tidemill.pipeline import Observer, RunSummary
    from tidemill.settings import Settings
    from tidemill.storage import Workspace

__all__ = ["add_commands", "show_summary"]

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Write a setting to params.yaml."),
]


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to ``app``."""
    app.command("run")(run)
    app.command("stage")(stage)
    app.command("score")(score)
    app.command("up")(up)
    app.command("links")(links)


def run(
    workspace: WorkspaceOption = Path(),
    settings: SetOption = None,
    direct: Annotated[bool, typer.Option("--direct", help="Without Prefect.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Run current stages too.")] = False,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    require_promotion: Annotated[
        bool, typer.Option("--require-promotion", help="Exit 4 when not promoted.")
    ] = False,
    engine: EngineOption = None,
    wait: WaitOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Run every stage that is not current, to a registered model."""
    from tidemill.cli.observer import at_work
    from tidemill.config import params_text, set_params
    from tidemill.errors import GateShut
    from tidemill.settings import load_settings

    screen = Screen(as_json=as_json)
    place = existing(workspace)
    environment = load_settings(engine=engine)
    with at_work(place, screen, wait=wait) as observer:
        if settings:  # before anything is started for them
            set_params(params_text(place.root), settings)
        through = _run_directly if direct else _run_through_prefect
        summary = through(
            place,
            environment,
            observer=observer,
            force=force,
            until=until,
            assignments=settings or [],
        )
    shut = require_promotion and not summary.facts.get("promoted")
    if not (shut and as_json):  # one document on stdout, whatever happens
        show_summary(screen, summary)
    if shut:
        raise GateShut(
            f"not promoted: {summary.facts.get('promotion_reason')}",
            remedy="look at reports/metrics.json, or lower registration.min_improvement",
            summary=summary.to_json(),
        )


def _run_directly(
    place: Workspace,
    settings: Settings,
    *,
    observer: Observer,
    force: bool,
    until: str | None,
    assignments: list[str],
) -> RunSummary:
    from tidemill.engines import open_engine
    from tidemill.pipeline import run_pipeline

    with open_engine(settings, preload=("tidemill.stages",), store=place.store()) as engine:
        return run_pipeline(
            place,
            settings=settings,
            engine=engine,
            observer=observer,
            force=force,
            until=until,
            assignments=assignments,
        )


def _run_through_prefect(
    place: Workspace,
    settings: Settings,
    *,
    observer: Observer,
    force: bool,
    until: str | None,
    assignments: list[str],
) -> RunSummary:
    from tidemill.orchestration import run_through_prefect

    return run_through_prefect(
        place,
        settings=settings,
        observer=observer,
        force=force,
        until=until,
        assignments=assignments,
        preload=("tidemill.pipeline",),
    )


def show_summary(screen: Screen, summary: RunSummary) -> None:
    """Print what a run did, stage by stage, and what came of it."""
    stages = [
        {
            "stage": run.stage,
            "state": run.state,
            "seconds": f"{run.seconds:.1f}" if run.state == "ran" else None,
            "peak MB": round(run.peak_memory_bytes / 1e6) or None,
            **_worker_cells(run.workers),
        }
        for run in summary.stages
    ]
    screen.result(summary.to_json(), "stages", stages)
    facts = {k: v for k, v in summary.facts.items() if not isinstance(v, dict | list)}
    if "positive_class" in facts:
        facts["positive_class"] += " (dataset.positive sets it)"
    screen.facts("result", facts)
    changed = summary.facts.get("changed_settings", {})
    settings = [{"setting": name, "change": change} for name, change in changed.items()]
    screen.table("settings changed in params.yaml", settings)


def _worker_cells(costs: WorkerCosts | None) -> dict[str, str | int]:
    if costs is None:
        return {}
    return {
        "worker CPU seconds": f"{costs.cpu_seconds:.1f}",
        "worker peak MB": round(costs.peak_memory_bytes / 1e6),
    }


def stage(
    name: Annotated[str, typer.Argument(help="look, ingest, shard, ..., register")],
    workspace: WorkspaceOption = Path(),
    engine: EngineOption = None,
    wait: WaitOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Run one stage: what `dvc repro` calls."""
    from tidemill.cli.observer import at_work
    from tidemill.config import load_params
    from tidemill.engines import open_engine
    from tidemill.pipeline import STAGES, find_stage, run_stage, with_own
    from tidemill.settings import load_settings

    screen = Screen(as_json=as_json)
    place = existing(workspace)
    find_stage(name, with_own(STAGES, load_params(place.root), place.root))
    environment = load_settings(engine=engine)
    with (
        at_work(place, screen, wait=wait) as observer,
        open_engine(environment, preload=("tidemill.stages",), store=place.store()) as opened,
    ):
        observer.stage_started(name)
        done = run_stage(name, place, settings=environment, engine=opened, observer=observer)
        observer.stage_finished(done)
    if as_json:
        screen.document({"stage": name, "seconds": done.seconds, **done.result.facts})


def score(
    source: Annotated[str, typer.Option("--input", help="A file, folder or glob.")],
    output: Annotated[
        Path, typer.Option("--output", help="The file to write: it ends in .parquet or .csv.")
    ],
    model: Annotated[
        str, typer.Option(help="champion, challenger, or a version number.")
    ] = "champion",
    workspace: WorkspaceOption = Path(),
    engine: EngineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict every row of a table with a registered model, in bounded memory."""
    from tidemill.config import load_params
    from tidemill.engines import open_engine
    from tidemill.pipeline import context_for
    from tidemill.settings import load_settings
    from tidemill.stages import score_files
    from tidemill.storage import Workspace

    screen = Screen(as_json=as_json)
    place = Workspace.at(workspace)
    params = load_params(place.root)
    environment = load_settings(engine=engine)
    with open_engine(environment, preload=("tidemill.stages",), store=place.store()) as opened:
        context = context_for(place, params, environment, opened)
        scored = score_files(context, params=params, source=source, output=output, model=model)
    for warning in scored.warnings:
        screen.note(f"warning: {warning}")
    if as_json:
        screen.document({**scored.facts, **scored.tables})
    screen.facts("scored", scored.facts)


def up(
    workspace: WorkspaceOption = Path(),
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect server.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow server.")] = 5000,
    monitor_port: Annotated[int, typer.Option(help="Port of the monitor.")] = 8010,
) -> None:
    """Start Prefect, MLflow and the monitor, deploy the flows and work; Ctrl-C stops all."""
    from tidemill.config import load_params
    from tidemill.orchestration import up as serve
    from tidemill.settings import load_settings
    from tidemill.storage import Workspace

    screen = Screen()
    place = Workspace.at(workspace)
    load_params(place.root)
    serve(
        place,
        settings=load_settings(),
        prefect_port=prefect_port,
        mlflow_port=mlflow_port,
        monitor_port=monitor_port,
        on_event=screen.note,
    )


def links(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Print new links that open the running services in your browser; each works once."""
    from tidemill.orchestration import links as make_links
    from tidemill.storage import Workspace

    found = make_links(Workspace.at(workspace))
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document(found)
        return
    for name, link in found.items():
        screen.out.print(f"{name}: {link}", markup=False, soft_wrap=True)
    screen.note("each works once, within an hour")
