"""Running the graph: one stage, or all that are not current; DVC records each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from ruamel.yaml import YAML

from tidemill.config import Params, load_params
from tidemill.contracts import Engine
from tidemill.errors import ConfigError, TidemillError
from tidemill.ingestion import docs_offer
from tidemill.pipeline.graph import STAGES, Stage, find_stage, stage_specs
from tidemill.pipeline.observing import Observer, Quiet
from tidemill.pipeline.overriding import overridden, refuse_overridden, take_back
from tidemill.pipeline.summary import RunSummary, StageRun
from tidemill.settings import Settings
from tidemill.stages import (
    Meter,
    StageContext,
    StageResult,
    registration_stands,
    shard_warnings,
    summarise,
)
from tidemill.storage import Workspace, write_json
from tidemill.tracking import Tracker
from tidemill.versioning import Versions, dvc_document, ensure_repo, write_dvc_yaml

__all__ = [
    "Execute",
    "context_for",
    "measured",
    "prepare_versions",
    "run_pipeline",
    "run_stage",
    "runs_ended",
]

Execute = Callable[[str, Callable[[], StageRun]], StageRun]
"""Runs a stage's call under its name."""


def run_stage(
    name: str, workspace: Workspace, *, settings: Settings, engine: Engine, observer: Observer
) -> StageRun:
    """Run one stage, whether it is current or not: what ``dvc repro`` calls."""
    refuse_overridden(workspace)
    params = load_params(workspace.root)
    context = context_for(workspace, params, settings, engine)
    with runs_ended(context):
        return measured(find_stage(name), context, params, observer)


def run_pipeline(
    workspace: Workspace,
    *,
    settings: Settings,
    engine: Engine,
    execute: Execute = lambda _name, call: call(),
    observer: Observer | None = None,
    force: bool = False,
    until: str | None = None,
    assignments: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
) -> RunSummary:
    """Run every stage that is not current, in order, and record each with DVC.

    Parameters
    ----------
    execute : callable
        Runs a stage's call, for example as a Prefect task.
    force : bool
        Run current stages too.
    until : str or None
        The last stage to run.
    assignments : sequence of str
        ``section.key=value`` to write to params.yaml; a run that fails leaves it as it was.
    links : mapping of str to str, optional
        Addresses of pages about this run, for its summary.
    """
    watcher: Observer = observer or Quiet()
    started = time.perf_counter()
    last = find_stage(until).name if until else STAGES[-1].name
    take_back(workspace, watcher.warned)
    with overridden(workspace, assignments) as changed:
        params = load_params(workspace.root)
        _require_sections(workspace)
        context = replace(context_for(workspace, params, settings, engine), changed=changed)
        prepare_versions(workspace, params)
        runs: list[StageRun] = []
        with runs_ended(context), Versions(workspace.root) as versions:
            mended = versions.repair()
            for stage in STAGES:
                run = _advance(stage, versions, context, params, execute, watcher, force)
                run, mended = _also_saying(mended, run), ()
                watcher.stage_finished(run)
                runs.append(run)
                if stage.name == last:
                    break
        facts = _facts(context, [run.stage for run in runs], links or {})
        summary = RunSummary(tuple(runs), time.perf_counter() - started, facts)
        write_json(workspace.reports / "summary.json", summary.to_json())
    return summary


def _also_saying(mended: tuple[str, ...], run: StageRun) -> StageRun:
    """A run that also warns of what was mended before it."""
    warnings = (*mended, *run.result.warnings)
    return replace(run, result=replace(run.result, warnings=warnings))


def _facts(
    context: StageContext, stages: Sequence[str], links: Mapping[str, str]
) -> dict[str, Any]:
    """What the stages left, what was changed for them, and where to look."""
    workspace = context.workspace
    facts = summarise(workspace, stages)
    if context.changed:
        facts["changed_settings"] = dict(context.changed)
    if "run_id" in facts:
        facts["mlflow_run"] = context.tracker.run_page(facts["run_id"])
    facts |= links
    facts["reports"] = str(workspace.reports)
    if (workspace.reports / "validation.json").is_file():
        facts["data_docs"] = docs_offer(workspace.data_docs)
    return facts


def _advance(
    stage: Stage,
    versions: Versions,
    context: StageContext,
    params: Params,
    execute: Execute,
    observer: Observer,
    force: bool,
) -> StageRun:
    """Run one stage unless it is current, and record what it read and left."""
    if not force and _is_current(stage, versions, context):
        warnings = shard_warnings(context.workspace) if stage.name == "shard" else ()
        return StageRun(stage.name, "current", 0.0, 0, StageResult(stage.name, warnings=warnings))
    if stage.name == "ingest":
        _open_tracker_early(context)
    observer.stage_started(stage.name)
    healed = tuple(
        f"{path} was not as {stage.name} had left it, and was made anew"
        for path in versions.damaged(stage.name)
    )
    read = versions.dep_digests(stage.name)
    run = execute(stage.name, lambda: measured(stage, context, params, observer))
    versions.commit(stage.name, expected=read)
    return _also_saying(healed, run)


def _is_current(stage: Stage, versions: Versions, context: StageContext) -> bool:
    # What register leaves lies in MLflow, which DVC does not know.
    if stage.name == "register" and not registration_stands(context):
        return False
    return versions.is_current(stage.name)


def measured(stage: Stage, context: StageContext, params: Params, observer: Observer) -> StageRun:
    """Run a stage's function; what it said, and what it cost."""

    def progress(finished: int, total: int, /) -> None:
        observer.stage_progress(stage.name, finished, total)

    with Meter() as meter:
        result = stage.run(replace(context, progress=progress), params)
    return StageRun(stage.name, "ran", meter.seconds, meter.peak_memory_bytes, result)


def _open_tracker_early(context: StageContext) -> None:
    """Let MLflow load and its store be made while the workers scan."""

    def prepare() -> None:
        # Whoever needs the tracker meets the same error, at a place that can report it.
        with suppress(Exception):
            context.tracker.prepare()

    threading.Thread(target=prepare, name="tracker", daemon=True).start()


def prepare_versions(workspace: Workspace, params: Params) -> None:
    """Make the workspace a DVC repository whose dvc.yaml states this graph."""
    ensure_repo(workspace.root)
    write_dvc_yaml(workspace.root, dvc_document(stage_specs(params, workspace.root)))


def _require_sections(workspace: Workspace) -> None:
    """DVC can only follow sections that params.yaml spells out."""
    written = YAML(typ="safe", pure=True).load(workspace.params.read_text(encoding="utf-8"))
    wanted = {name for stage in STAGES for name in stage.params}
    missing = sorted(wanted - set(written))
    if missing:
        raise ConfigError(
            f"params.yaml does not spell out: {', '.join(missing)}",
            remedy="add the missing lines, for the defaults: "
            + ", ".join(f"{name}: {{}}" if name != "seed" else "seed: 42" for name in missing),
            missing=missing,
        )


def context_for(
    workspace: Workspace, params: Params, settings: Settings, engine: Engine
) -> StageContext:
    """What every stage of a run is given."""
    tracker = Tracker(
        settings.tracking_uri(workspace.root),
        params.experiment_name,
        served_at=settings.mlflow_pages(workspace.root),
    )
    return StageContext(workspace=workspace, settings=settings, engine=engine, tracker=tracker)


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
