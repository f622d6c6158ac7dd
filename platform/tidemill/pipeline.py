"""The graph, stated once: every door runs these stages with these inputs and outputs.

``dvc repro`` runs ``tidemill stage NAME`` for each; Prefect wraps each as a task; ``tidemill run
--direct`` calls them in turn. What is current is DVC's word, taken from dvc.lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ruamel.yaml import YAML

from tidemill.config import DatasetConfig, Params, load_params
from tidemill.contracts import Engine
from tidemill.errors import ConfigError, TidemillError, UsageError, nearest
from tidemill.ingestion.discover import find_files
from tidemill.settings import Settings
from tidemill.stages import (
    Meter,
    StageContext,
    StageResult,
    registration_stands,
    run_evaluate,
    run_ingest,
    run_look,
    run_reduce,
    run_register,
    run_shard,
    run_train,
    run_tune,
    summarise,
)
from tidemill.storage import Workspace, write_json
from tidemill.tracking import Tracker
from tidemill.versioning import (
    Out,
    StageSpec,
    Versions,
    dvc_document,
    ensure_repo,
    write_dvc_yaml,
)

__all__ = [
    "STAGES",
    "Execute",
    "Observer",
    "Quiet",
    "RunSummary",
    "Stage",
    "StageRun",
    "context_for",
    "find_stage",
    "measured",
    "prepare_versions",
    "run_pipeline",
    "run_stage",
    "runs_ended",
    "source_deps",
    "stage_specs",
]


@dataclass(frozen=True, slots=True)
class Stage:
    """One node of the graph.

    Parameters
    ----------
    name : str
    run : callable
        Takes the context and the parameters; reads of the latter only what ``params`` names.
    deps, outs : tuple
        Paths relative to the workspace.
    params : tuple of str
        Sections of params.yaml that the result depends on.
    reads_source : bool
        Whether ``dataset.source`` itself is a dep.
    reads_suite : bool
        Whether the expectation suite is.
    reads_live : bool
        Whether data/live is, where there is one.
    """

    name: str
    run: Callable[[StageContext, Params], StageResult]
    deps: tuple[str, ...]
    outs: tuple[Out, ...]
    params: tuple[str, ...]
    reads_source: bool = False
    reads_suite: bool = False
    reads_live: bool = False


STAGES: tuple[Stage, ...] = (
    Stage(
        name="look",
        run=lambda context, p: run_look(context, dataset=p.dataset),
        deps=(),
        outs=(Out("data/source.json"), Out("data/schema.json")),
        params=("dataset",),
        reads_source=True,
    ),
    Stage(
        name="ingest",
        run=lambda context, p: run_ingest(context, dataset=p.dataset, ingestion=p.ingestion),
        deps=("data/source.json", "data/schema.json"),
        outs=(
            Out("data/validated", persist=True, cache=False),
            Out("data/quarantine", persist=True, cache=False),
            Out("reports/validation.json", persist=True, cache=False),
        ),
        params=("dataset", "ingestion"),
        reads_source=True,
        reads_suite=True,
    ),
    Stage(
        name="shard",
        run=lambda context, p: run_shard(context, sharding=p.sharding, seed=p.seed),
        deps=("data/validated",),
        outs=(Out("data/shards", persist=True),),
        params=("sharding", "seed"),
        reads_live=True,
    ),
    Stage(
        name="reduce",
        run=lambda context, p: run_reduce(context, reduction=p.reduction),
        deps=("data/shards",),
        outs=(Out("models/reducer"), Out("reports/reduction.json")),
        params=("reduction",),
    ),
    Stage(
        name="tune",
        run=lambda context, p: run_tune(context, tuning=p.tuning, training=p.training, seed=p.seed),
        deps=("data/shards", "models/reducer"),
        outs=(Out("models/params.json"),),
        params=("tuning", "training", "seed"),
    ),
    Stage(
        name="train",
        run=lambda context, p: run_train(context, training=p.training, seed=p.seed),
        deps=("data/shards", "models/reducer", "models/params.json"),
        outs=(Out("models/candidate"),),
        params=("training", "seed"),
    ),
    Stage(
        name="evaluate",
        run=lambda context, p: run_evaluate(context, evaluation=p.evaluation),
        deps=("data/shards", "models/candidate"),
        outs=(
            Out("reports/metrics.json", kind="metric", cache=False),
            Out("reports/figures", kind="plot"),
        ),
        params=("evaluation",),
    ),
    Stage(
        name="register",
        run=lambda context, p: run_register(context, params=p),
        deps=("data/shards", "models/candidate", "reports/metrics.json", "reports/validation.json"),
        outs=(),
        params=("dataset", "evaluation", "registration"),
    ),
)


@dataclass(frozen=True, slots=True)
class StageRun:
    """One stage of one run: what it said, and what it cost.

    ``state`` is ``ran`` or ``current``; a current stage cost nothing and says nothing new.
    """

    stage: str
    state: str
    seconds: float
    peak_memory_bytes: int
    result: StageResult


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did."""

    stages: tuple[StageRun, ...]
    seconds: float
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The document of reports/summary.json."""
        return {
            **self.facts,
            "seconds": round(self.seconds, 3),
            "stages": [
                {
                    "stage": run.stage,
                    "state": run.state,
                    "seconds": round(run.seconds, 3),
                    "peak_memory_mb": round(run.peak_memory_bytes / 1e6, 1),
                    **({"warnings": list(run.result.warnings)} if run.result.warnings else {}),
                }
                for run in self.stages
            ],
        }


class Observer(Protocol):
    """Told what happens, for people to see."""

    def stage_started(self, stage: str) -> None:
        """Take note that a stage begins."""

    def stage_progress(self, stage: str, finished: int, total: int) -> None:
        """Take note that ``finished`` of ``total`` items of a map are done."""

    def stage_finished(self, run: StageRun) -> None:
        """Take note of a finished or current stage."""


class Quiet:
    """An observer that says nothing."""

    def stage_started(self, stage: str) -> None:
        """Say nothing."""

    def stage_progress(self, stage: str, finished: int, total: int) -> None:
        """Say nothing."""

    def stage_finished(self, run: StageRun) -> None:
        """Say nothing."""


Execute = Callable[[str, Callable[[], StageRun]], StageRun]


def find_stage(name: str) -> Stage:
    """Return the stage of that name.

    Raises
    ------
    UsageError
        If there is none; the nearest name is offered.
    """
    for stage in STAGES:
        if stage.name == name:
            return stage
    names = [stage.name for stage in STAGES]
    close = nearest(name, names)
    raise UsageError(
        f"there is no stage {name!r}",
        remedy=(f"did you mean {close!r}? " if close else "") + f"stages: {', '.join(names)}",
        name=name,
        available=names,
    )


def stage_specs(params: Params, root: Path) -> tuple[StageSpec, ...]:
    """The graph as DVC states it, for the source and suite of ``params``."""
    source = source_deps(params.dataset, root)
    live = ("data/live",) if (root / "data" / "live").is_dir() else ()
    return tuple(
        StageSpec(
            name=stage.name,
            command=f"tidemill stage {stage.name}",
            deps=(
                *(source if stage.reads_source else ()),
                *((params.ingestion.suite,) if stage.reads_suite else ()),
                *(live if stage.reads_live else ()),
                *stage.deps,
            ),
            outs=stage.outs,
            params=stage.params,
        )
        for stage in STAGES
    )


def source_deps(dataset: DatasetConfig, root: Path) -> tuple[str, ...]:
    """The files or folders that DVC hashes for the source.

    A file or folder stands for itself, and a glob below a folder of the workspace for that
    folder, so that ``dvc repro`` sees new files. Other globs, and folders that hold the
    workspace itself, stand for the files that they name now.
    """
    fixed = _fixed_part(dataset.source)
    place = (root / fixed).resolve()
    globbed = fixed != dataset.source
    holds_workspace = root.resolve().is_relative_to(place)
    inside = place.is_relative_to(root.resolve())
    if not holds_workspace and (inside or not globbed):
        return (fixed,)
    return tuple(_shown(path, root) for path in find_files(dataset, root))


def _fixed_part(source: str) -> str:
    parts: list[str] = []
    for part in Path(source).parts:
        if any(sign in part for sign in "*?["):
            return str(Path(*parts)) if parts else "."
        parts.append(part)
    return source


def _shown(path: Path, root: Path) -> str:
    absolute = path.resolve()
    inside = absolute.is_relative_to(root.resolve())
    return absolute.relative_to(root.resolve()).as_posix() if inside else absolute.as_posix()


def context_for(
    workspace: Workspace, params: Params, settings: Settings, engine: Engine
) -> StageContext:
    """What every stage of a run is given."""
    tracker = Tracker(
        settings.tracking_uri(workspace.root),
        params.registration.experiment or params.dataset.name,
    )
    return StageContext(workspace=workspace, settings=settings, engine=engine, tracker=tracker)


def run_stage(
    name: str, workspace: Workspace, *, settings: Settings, engine: Engine, observer: Observer
) -> StageRun:
    """Run one stage, whether it is current or not: what ``dvc repro`` calls."""
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
    """
    watcher: Observer = observer or Quiet()
    started = time.perf_counter()
    params = load_params(workspace.root)
    last = find_stage(until).name if until else STAGES[-1].name
    _require_sections(workspace)
    context = context_for(workspace, params, settings, engine)
    prepare_versions(workspace, params)
    runs: list[StageRun] = []
    with runs_ended(context), Versions(workspace.root) as versions:
        versions.repair()
        for stage in STAGES:
            run = _advance(stage, versions, context, params, execute, watcher, force)
            watcher.stage_finished(run)
            runs.append(run)
            if stage.name == last:
                break
    facts = summarise(workspace, [run.stage for run in runs])
    summary = RunSummary(tuple(runs), time.perf_counter() - started, facts)
    write_json(workspace.reports / "summary.json", summary.to_json())
    return summary


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
        return StageRun(stage.name, "current", 0.0, 0, StageResult(stage.name))
    if stage.name == "ingest":
        _open_tracker_early(context)
    observer.stage_started(stage.name)
    read = versions.dep_digests(stage.name)
    run = execute(stage.name, lambda: measured(stage, context, params, observer))
    versions.commit(stage.name, expected=read)
    return run


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
