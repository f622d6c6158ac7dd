"""Running the main job: one stage, or all that are not current; DVC records each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ruamel.yaml import YAML

from tidemill.config import Params, load_params
from tidemill.contracts import Engine
from tidemill.errors import ConfigError
from tidemill.ingestion import docs_offer
from tidemill.pipeline.advancing import Execute, Runner, also_saying, measured, runs_ended
from tidemill.pipeline.graph import STAGES, find_stage, stage_specs
from tidemill.pipeline.observing import Observer, Quiet
from tidemill.pipeline.overriding import overridden, refuse_overridden, take_back
from tidemill.pipeline.stage import Stage
from tidemill.pipeline.summary import RunSummary, StageRun
from tidemill.pipeline.with_own import with_own
from tidemill.settings import Settings
from tidemill.stages import StageContext, code_reachable, summarise
from tidemill.storage import Workspace, write_json
from tidemill.tracking import Tracker
from tidemill.versioning import Versions, dvc_document, ensure_repo, write_dvc_yaml

__all__ = ["context_for", "prepare_versions", "run_pipeline", "run_stage"]


def run_stage(
    name: str, workspace: Workspace, *, settings: Settings, engine: Engine, observer: Observer
) -> StageRun:
    """Run one stage, whether it is current or not: what ``dvc repro`` calls."""
    refuse_overridden(workspace)
    params = load_params(workspace.root)
    context = context_for(workspace, params, settings, engine)
    stages = with_own(STAGES, params, workspace.root)
    with runs_ended(context), code_reachable(workspace.root):
        return measured(find_stage(name, stages), context, params, observer)


def run_pipeline(
    workspace: Workspace,
    *,
    settings: Settings,
    engine: Engine,
    execute: Execute = lambda _name, call: call(),
    observer: Observer | None = None,
    force: bool = False,
    anew: Collection[str] = (),
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
        Run current stages too, and let none take anything over from the version before.
    anew : collection of str
        The same of these stages alone.
    until : str or None
        The last stage to run.
    assignments : sequence of str
        ``section.key=value`` to write to params.yaml; a run that fails leaves it as it was.
    links : mapping of str to str, optional
        Addresses of pages about this run, for its summary.
    """
    watcher: Observer = observer or Quiet()
    started = time.perf_counter()
    take_back(workspace, watcher.warned)
    with overridden(workspace, assignments) as changed:
        params = load_params(workspace.root)
        stages = with_own(STAGES, params, workspace.root)
        last = find_stage(until, stages).name if until else None
        _require_sections(workspace, stages)
        context = replace(context_for(workspace, params, settings, engine), changed=changed)
        prepare_versions(workspace, params)
        with (
            runs_ended(context),
            code_reachable(workspace.root),
            Versions(workspace.root) as versions,
        ):
            early = _with_tracker_early(context, execute)
            recorded = _recorded(versions, early)
            is_current, forced = versions.is_current, lambda name: force or name in anew
            runner = Runner(context, params, recorded, watcher, is_current, forced)
            runs = runner.run(stages, last=last, mended=versions.repair())
        facts = _facts(context, params, [run.stage for run in runs], links or {})
        summary = RunSummary(tuple(runs), time.perf_counter() - started, facts)
        write_json(workspace.reports / "summary.json", summary.to_json())
    return summary


def _facts(
    context: StageContext, params: Params, stages: Sequence[str], links: Mapping[str, str]
) -> dict[str, Any]:
    """What the stages left, what was changed for them, and where to look."""
    workspace = context.workspace
    facts = summarise(workspace, stages, tuple(params.stages))
    if context.changed:
        facts["changed_settings"] = dict(context.changed)
    if "run_id" in facts:
        facts["mlflow_run"] = context.tracker.run_page(facts["run_id"])
    facts |= links
    facts["reports"] = str(workspace.reports)
    if (workspace.reports / "validation.json").is_file():
        facts["data_docs"] = docs_offer(workspace.data_docs)
    return facts


def _with_tracker_early(context: StageContext, execute: Execute) -> Execute:
    """Let MLflow load and its store be made while the workers of ingest scan."""

    def prepare() -> None:
        # Whoever needs the tracker meets the same error, at a place that can report it.
        with suppress(Exception):
            context.tracker.prepare()

    def run(stage: str, call: Callable[[], StageRun]) -> StageRun:
        if stage == "ingest":
            threading.Thread(target=prepare, name="tracker", daemon=True).start()
        return execute(stage, call)

    return run


def _recorded(versions: Versions, execute: Execute) -> Execute:
    """Record with DVC what each stage read and left, and say which outputs were damaged."""

    def run(stage: str, call: Callable[[], StageRun]) -> StageRun:
        healed = tuple(
            f"{path} was not as {stage} had left it, and was made anew"
            for path in versions.damaged(stage)
        )
        read = versions.dep_digests(stage)
        done = execute(stage, call)
        versions.commit(stage, expected=read)
        return also_saying(healed, done)

    return run


def prepare_versions(workspace: Workspace, params: Params) -> None:
    """Make the workspace a DVC repository whose dvc.yaml states this graph."""
    ensure_repo(workspace.root)
    write_dvc_yaml(workspace.root, dvc_document(stage_specs(params, workspace.root)))


def _require_sections(workspace: Workspace, stages: Sequence[Stage[Params]]) -> None:
    """DVC can only follow sections that params.yaml spells out."""
    written = YAML(typ="safe", pure=True).load(workspace.params.read_text(encoding="utf-8"))
    wanted = {name.partition(".")[0] for stage in stages for name in stage.params}
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
