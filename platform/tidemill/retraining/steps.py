"""The steps of a retraining, in order; each goes on from what it had left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tidemill.config import Params, load_params
from tidemill.contracts import Engine
from tidemill.errors import ConfigError, ModelMissing
from tidemill.pipeline import (
    Execute,
    Observer,
    Quiet,
    Stage,
    StageRun,
    context_for,
    measured,
    prepare_versions,
    runs_ended,
    take_back,
)
from tidemill.retraining.order import Order, Outcome, Rows, outcome_of, receipts, sweep
from tidemill.retraining.sets import (
    keep_cut,
    known_sides,
    set_name,
    staying_sets,
    take_out_unfinished,
)
from tidemill.settings import Settings
from tidemill.stages import StageContext, StageResult, run_shard
from tidemill.stages.challenger import Challenger, register_challenger
from tidemill.stages.gathering import gather_rows
from tidemill.stages.live import LiveSet, categories_so_far, take_in
from tidemill.stages.relearn import Refitted, refit_challenger
from tidemill.stages.retrain import Comparison, Proof, compare, deciding_figures
from tidemill.stages.shard import source_key
from tidemill.stages.teach import Taught, teach
from tidemill.storage import (
    ShardManifest,
    Workspace,
    hash_file,
    read_hashed,
    write_hashed,
)
from tidemill.tracking import LoadedModel, Registry, load_champion
from tidemill.versioning import Versions, note_version

__all__ = ["retrain"]


def retrain(
    workspace: Workspace,
    rows: Rows,
    order: Order,
    *,
    settings: Settings,
    engine: Engine,
    execute: Execute = lambda _name, call: call(),
    observer: Observer | None = None,
) -> Outcome:
    """Learn from labelled live rows, and promote the challenger if it is better.

    The caller holds the workspace lock.

    Parameters
    ----------
    rows : callable
        Opens the labelled rows: ``event_id``, ``at``, the features, the target; the same ones at
        every call. Called once, when they were not gathered before.
    execute : callable
        Runs a step's call, for example as a Prefect task.

    Raises
    ------
    ModelMissing
        If there is no champion.
    ConfigError
        If the shards are not those of the present settings and data.
    TidemillError
        Whatever a step raises; the next call goes on after the last finished step.
    """
    done = outcome_of(workspace, order.decision)
    if done is not None:
        sweep(workspace, order.decision)
        return done
    watcher: Observer = observer or Quiet()
    take_back(workspace, watcher.warned)
    params = load_params(workspace.root)
    context = context_for(workspace, params, settings, engine)
    with runs_ended(context):
        work = _Retraining(context, params, order, rows)
        runs = [_step(name, call, work, execute, watcher) for name, call in work.steps()]
    work.finish()
    return Outcome(read_hashed(work.folder / "outcome.json"), tuple(runs))


def _step(
    name: str,
    call: Callable[[], StageResult],
    work: _Retraining,
    execute: Execute,
    observer: Observer,
) -> StageRun:
    def run(context: StageContext, _: Params) -> StageResult:
        work.context = context
        return call()

    stage = Stage(name=name, run=run, deps=(), outs=(), params=())
    observer.stage_started(name)
    done = execute(name, lambda: measured(stage, work.context, work.params, observer))
    observer.stage_finished(done)
    return done


class _Retraining:
    """One retraining under way; its steps in order."""

    def __init__(self, context: StageContext, params: Params, order: Order, rows: Rows) -> None:
        self.context, self.params, self.order, self._rows = context, params, order, rows
        self.folder = receipts(context.workspace, order.decision)
        self._require_shards()
        self.model = params.model_name
        self.champion = self._champion()
        self.facts: dict[str, Any] = {"decision": order.decision, "why": order.reason}
        self.lesson = 0
        self.live: LiveSet
        self.proof: Proof
        self.taught: Taught
        self.comparison: Comparison
        self.refitted: Refitted

    def steps(self) -> Iterator[tuple[str, Callable[[], StageResult]]]:
        """The steps; one that forgot too much of the old world learns again with old rows."""
        yield "gather", self.gather
        yield "append", self.append
        yield "teach", self.teach
        yield "compare", self.compare
        if self.comparison.ruling.forgot and self.taught.document["continues"] is not None:
            yield from self._again()
        yield "refit", self.refit
        yield "promote", self.promote

    def _again(self) -> Iterator[tuple[str, Callable[[], StageResult]]]:
        """A second lesson, and the first one back where it is to serve after all."""
        first = self.taught, self.comparison
        self.lesson = 1
        yield "teach again", self.teach
        yield "compare again", self.compare
        if not self.comparison.outdoes(first[1]):
            self.lesson = 0
            self.taught, self.comparison = first
            self.facts |= self._taught() | self._compared()

    @property
    def manifest(self) -> ShardManifest:
        return ShardManifest.read(self.context.workspace.shards)

    def _require_shards(self) -> None:
        workspace = self.context.workspace
        found = ShardManifest.read(workspace.shards).key
        if found != source_key(workspace, self.params.sharding, self.params.seed):
            raise ConfigError(
                "data/shards is not what data/validated and params.yaml would make: the test rows "
                "of a retraining must be the champion's",
                remedy="run `tidemill run` first",
            )

    def _champion(self) -> LoadedModel:
        """The champion that the challenger is to beat: also after the challenger took its place."""
        uri = self.context.tracker.uri
        found = Registry(self.context.tracker).champion(self.model)
        if found is None:
            raise ModelMissing(
                f"the model {self.model!r} has no champion to go on from",
                remedy="train and register one with: tidemill run",
                model_name=self.model,
            )
        noted = self.folder / "champion.json"
        ours = {hash_file(seal) for seal in self.folder.glob("lesson-*/*/model/candidate.json")}
        if noted.exists() and found.digest in ours:
            return load_champion(uri, self.model, version=self._before(noted))
        write_hashed(noted, {"version": found.version})
        return load_champion(uri, self.model, version=found.version)

    def _before(self, noted: Path) -> int:
        """The version that was champion when the retraining began."""
        remedy = "run `tidemill rollback`, delete the file and run the same again"
        return int(read_hashed(noted, remedy=remedy)["version"])

    def gather(self) -> StageResult:
        """Write the labelled rows to disk, learn and proof apart."""
        workspace = self.context.workspace
        sides = known_sides(workspace, self.params.monitoring.retraining.proof_fraction)
        gathered = gather_rows(
            self._rows(),
            self.manifest.schema,
            sides,
            self.folder / "rows",
            staying_sets(workspace, self.order.decision),
            categories_so_far(self.manifest, workspace.shards),
            max_invalid_fraction=self.params.ingestion.max_invalid_fraction,
        )
        keep_cut(workspace, sides, gathered.cut)
        self.facts |= {
            "rows_since": gathered.since,
            "rows_until": gathered.until,
            "rows_unreadable": gathered.unreadable,
            "odd_cells": list(gathered.odd_cells),
        }
        facts = {
            "learn": gathered.learn,
            "proof": gathered.proof,
            "left out": gathered.left_out,
            "learnt before": gathered.repeated,
            "unreadable": gathered.unreadable,
            "without a time": gathered.untimed,
        }
        told = (*self.champion.notes, *gathered.said)
        return StageResult("gather", facts, {"odd cells": list(gathered.odd_cells)}, warnings=told)

    def append(self) -> StageResult:
        """Validate, append, and note the new version of the dataset."""
        workspace, decision = self.context.workspace, self.order.decision
        self.live, proof, rows = take_in(
            self.context,
            self.params,
            self.manifest.schema,
            self.folder,
            set_name(workspace, decision),
        )
        self.proof = Proof(self.folder / "validated", proof)
        taken_out = take_out_unfinished(workspace, decision, self.folder)
        version = self._sharded()
        message = f"{rows['rows_learn']} live rows of decision {decision}"
        message += f": {self.order.reason}" if self.order.reason else ""
        note_version(workspace.root, version, message, {"live": self.live.name})
        self.facts |= {**rows, "dataset_version": version}
        return StageResult(
            "append",
            facts={**rows, "version": version, "message": message},
            warnings=tuple(
                f"the live rows of {name} are taken out: that retraining did not finish"
                for name in taken_out
            ),
        )

    def _sharded(self) -> str:
        """Let the shards have the live set, if they have not; the version of the dataset."""
        workspace, params = self.context.workspace, self.params
        prepare_versions(workspace, params)
        with Versions(workspace.root) as versions:
            versions.repair()
            if self.live.name not in self.manifest.appended or not versions.is_current("shard"):
                read = versions.dep_digests("shard")
                run_shard(self.context, sharding=params.sharding, seed=params.seed)
                versions.commit("shard", expected=read)
            return versions.dataset_version() or ""

    @property
    def _lesson_folder(self) -> Path:
        return self.folder / f"lesson-{self.lesson}"

    def _named(self, step: str) -> str:
        return f"{step} again" if self.lesson else step

    def teach(self) -> StageResult:
        """Fit the challenger on the workspace's shards and the rows to learn from."""
        _, figure = deciding_figures(self.params, self.manifest.schema.task, self.order.accused)
        self.taught = teach(
            self.context,
            self.params,
            self.champion,
            self.manifest,
            self.live.name,
            self._lesson_folder,
            rehearse=self.lesson > 0,
            metric=figure,
        )
        said = self.taught.document
        names = ("learner", "rows", "iterations", "why")
        facts = {name: said[name] for name in names}
        self.facts |= self._taught()
        return StageResult(
            self._named("teach"), facts={**facts, "candidate": self.taught.digest[:12]}
        )

    def _taught(self) -> dict[str, Any]:
        return {name: self.taught.document[name] for name in ("learner", "continues")}

    def compare(self) -> StageResult:
        """Judge challenger and champion."""
        self.comparison = found = compare(
            self.context,
            self.params,
            self.manifest,
            self.taught,
            self.champion,
            self.proof,
            self._lesson_folder,
            accused=self.order.accused,
        )
        self.facts |= self._compared()
        sides = {"proof": found.proof, "frozen test rows": found.frozen}
        tables = {where: _side_by_side(figures) for where, figures in sides.items()}
        facts = {"better": found.accepted, **found.evidence, "reason": found.ruling.reason}
        return StageResult(self._named("compare"), facts=facts, tables=tables)

    def _compared(self) -> dict[str, Any]:
        return {"metric": self.comparison.metric, **self.comparison.evidence}

    def refit(self) -> StageResult:
        """Fit what is to serve of the challenger."""
        self.refitted = made = refit_challenger(
            self.context,
            self.params,
            self.champion,
            self.manifest,
            self.taught,
            (self.proof.folder, self.proof.files),
            self._lesson_folder,
            live=self.live.name,
            rehearse=self.lesson > 0,
        )
        self.facts["rows_serving"] = made.rows
        facts = {"rows": made.rows, "iterations": made.iterations, "candidate": made.digest[:12]}
        warnings = () if made.warning is None else (made.warning,)
        return StageResult("refit", facts=facts, warnings=warnings)

    def promote(self) -> StageResult:
        """Register the challenger, and promote it if it is better."""
        judged = Challenger(
            decision=self.order.decision,
            reason=self.order.reason,
            live=self.live.name,
            days=(self.facts["rows_since"], self.facts["rows_until"]),
            taught=self.taught,
            refitted=self.refitted,
            champion=self.champion,
            comparison=self.comparison,
            proof=self.proof,
            folder=self._lesson_folder,
        )
        facts = register_challenger(self.context, self.params, self.manifest, judged)
        self.facts |= facts
        url = self.context.tracker.run_url(facts["run_id"])
        return StageResult("promote", facts=facts, links={"MLflow run": url} if url else {})

    def finish(self) -> None:
        """Keep the outcome, and nothing else that is large."""
        write_hashed(self.folder / "outcome.json", self.facts)
        sweep(self.context.workspace, self.order.decision)


def _side_by_side(figures: Mapping[str, Mapping[str, float | None]]) -> list[dict[str, Any]]:
    """A table of figures: a row a figure, a column a model."""
    return [
        {"figure": name, **{who: values[name] for who, values in figures.items()}}
        for name in figures["challenger"]
    ]
