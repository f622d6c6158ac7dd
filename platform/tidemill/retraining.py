"""A retraining, from labelled live rows to a judged challenger: six steps that may be repeated.

gather
    Labelled rows, part by part, to learn and proof.
append
    Learn rows are validated and become new shards beside the old ones; a version of the dataset.
teach
    The challenger learns, from where the champion is if the learner can go on.
compare
    Both are judged on proof and on the frozen test shards. A challenger that is better on proof
    but has forgotten more than is allowed learns once again, with old rows among the live ones;
    the first one goes on where a change of meaning explains what it lost and the second is no
    better.
refit
    What is to serve of the challenger learns all labelled rows, those that judged too.
promote
    The challenger is registered; it serves if it is better.

Each leaves a receipt below ``.tidemill/retrain/DECISION``: a killed retraining goes on after the
last of them, and a finished one changes nothing when it is asked for again.

A set of live rows stays for good once its retraining has finished, and its rows are not learnt
again, whoever gives them. The ledger gives the rows of any other one to the next decision, so the
next retraining takes out what an unfinished one had appended: no row is in two sets, and none of
the ledger's is in no set for ever. (Rows out of a file must be given again.) One that is asked for
again after that appends its rows anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tidemill.config import Params, load_params
from tidemill.contracts import Engine
from tidemill.errors import ConfigError, ModelMissing, UsageError
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
)
from tidemill.settings import Settings
from tidemill.stages import StageContext, StageResult, run_shard
from tidemill.stages.live import LiveSet, categories_so_far, gather_rows, live_sets, take_in
from tidemill.stages.relearn import Refitted, refit_challenger
from tidemill.stages.retrain import (
    Comparison,
    Proof,
    compare,
    deciding_figures,
    register_challenger,
)
from tidemill.stages.shard import source_key
from tidemill.stages.teach import Taught, teach
from tidemill.storage import (
    ShardManifest,
    Workspace,
    discard_directory,
    hash_file,
    read_json,
    write_json,
)
from tidemill.tracking import LoadedModel, Registry, load_champion
from tidemill.versioning import Versions, note_version

__all__ = ["Order", "Outcome", "Rows", "outcome_of", "retrain", "sweep"]

Rows = Callable[[], Iterable[pa.RecordBatch | pa.Table]]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be retrained, and why.

    Parameters
    ----------
    decision : str
        Names the retraining: the same again goes on, or finds it done.
    reason : str
        One sentence.
    accused : tuple of str
        The figures that confirmed the champion's harm, the most telling first; empty where none
        is named. The first decides on proof, unless the tuned figure is among them.
    """

    decision: str
    reason: str = ""
    accused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.decision):
            raise UsageError(
                f"{self.decision!r} cannot name a retraining",
                remedy="use letters, digits, - and _, at most 64",
                decision=self.decision,
            )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a retraining.

    Parameters
    ----------
    facts : dict
        ``model``, ``version`` (of the challenger), ``champion`` (the version it was compared
        with), ``promoted``, ``reason``, figures and rows; also in outcome.json.
    stages : tuple of StageRun
        The steps, with what they cost; empty if all was done before.
    """

    facts: dict[str, Any]
    stages: tuple[StageRun, ...] = ()


def outcome_of(workspace: Workspace, decision: str) -> Outcome | None:
    """The outcome of a finished retraining; None while it is not."""
    path = _folder(workspace, decision) / "outcome.json"
    return Outcome(read_json(path)) if path.exists() else None


def sweep(workspace: Workspace, decision: str) -> None:
    """Remove what a finished retraining has left beside its outcome: copies of live rows.

    The caller holds the workspace lock. Again, after a kill: goes on.
    """
    for path in list(_folder(workspace, decision).iterdir()):
        if path.is_dir():
            discard_directory(path)
        elif path.name != "outcome.json":
            path.unlink(missing_ok=True)  # half of a folder goes with the next one of its name


def _folder(workspace: Workspace, decision: str) -> Path:
    return workspace.hidden / "retrain" / decision


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
    params = load_params(workspace.root)
    context = context_for(workspace, params, settings, engine)
    watcher: Observer = observer or Quiet()
    with runs_ended(context):
        work = _Retraining(context, params, order, rows)
        runs = [_step(name, call, work, execute, watcher) for name, call in work.steps()]
    work.finish()
    return Outcome(read_json(work.folder / "outcome.json"), tuple(runs))


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
        self.folder = _folder(context.workspace, order.decision)
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
            first = self.taught, self.comparison
            self.lesson = 1
            yield "teach again", self.teach
            yield "compare again", self.compare
            if not self.comparison.outdoes(first[1]):
                self.lesson = 0
                self.taught, self.comparison = first
                self.facts |= self._compared()
        yield "refit", self.refit
        yield "promote", self.promote

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
            return load_champion(uri, self.model, version=read_json(noted)["version"])
        write_json(noted, {"version": found.version})
        return load_champion(uri, self.model, version=found.version)

    def gather(self) -> StageResult:
        """Write the labelled rows to disk, learn and proof apart."""
        gathered = gather_rows(
            self._rows(),
            self.manifest.schema,
            self._proof_share(),
            self.folder / "rows",
            [known for known in live_sets(self.context.workspace) if self._stays(known)],
            categories_so_far(self.manifest, self.context.workspace.shards),
        )
        facts = {
            "learn": gathered.learn,
            "proof": gathered.proof,
            "left out": gathered.left_out,
            "learnt before": gathered.repeated,
        }
        return StageResult("gather", facts=facts, warnings=self.champion.notes)

    def _stays(self, live: LiveSet) -> bool:
        """Whether a set is another retraining's, and that one has finished (or is not known)."""
        decision = live.name.split("-", 1)[-1]
        workspace = self.context.workspace
        begun = _folder(workspace, decision).is_dir()
        ended = not begun or outcome_of(workspace, decision) is not None
        return decision != self.order.decision and ended

    def _proof_share(self) -> float:
        """The share of the first retraining: another one would let rows change sides."""
        wanted = self.params.monitoring.retraining.proof_fraction
        path = self.context.workspace.live / "split.json"
        if not path.exists():
            write_json(path, {"proof_fraction": wanted})
        return float(read_json(path)["proof_fraction"])

    def append(self) -> StageResult:
        """Validate, append, and note the new version of the dataset."""
        workspace, params = self.context.workspace, self.params
        schema = self.manifest.schema
        self.live, proof, rows = take_in(
            self.context, params, schema, self.folder, self._set_name()
        )
        self.proof = Proof(self.folder / "validated", proof)
        taken_out = self._take_out_unfinished()
        prepare_versions(workspace, params)
        with Versions(workspace.root) as versions:
            versions.repair()
            if self.live.name not in self.manifest.appended or not versions.is_current("shard"):
                read = versions.dep_digests("shard")
                run_shard(self.context, sharding=params.sharding, seed=params.seed)
                versions.commit("shard", expected=read)
            version = versions.dataset_version() or ""
        message = f"{rows['rows_learn']} live rows of decision {self.order.decision}"
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

    def _take_out_unfinished(self) -> list[str]:
        """Remove the sets of other retrainings that have begun and not finished."""
        workspace, names = self.context.workspace, []
        for known in live_sets(workspace):
            if known.name.split("-", 1)[-1] != self.order.decision and not self._stays(known):
                names.append(known.name)
                place = self.folder / "taken out"  # DVC hashes all that lies in data/live
                discard_directory(place)
                known.folder.rename(place)
                discard_directory(place)
        return names

    def _set_name(self) -> str:
        sets = live_sets(self.context.workspace)
        for known in sets:
            if known.name.split("-", 1)[-1] == self.order.decision:
                return known.name
        number = 1 + max((int(known.name.split("-", 1)[0]) for known in sets), default=0)
        return f"{number:04d}-{self.order.decision}"

    @property
    def _lesson_folder(self) -> Path:
        return self.folder / f"lesson-{self.lesson}"

    def _named(self, step: str) -> str:
        return f"{step} again" if self.lesson else step

    def teach(self) -> StageResult:
        """Fit the challenger."""
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
        self.facts |= {"learner": said["learner"], "continues": said["continues"]}
        return StageResult(
            self._named("teach"), facts={**facts, "candidate": self.taught.digest[:12]}
        )

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
        tables = {
            where: [
                {"figure": name, **{who: values[name] for who, values in figures.items()}}
                for name in figures["challenger"]
            ]
            for where, figures in (("proof", found.proof), ("frozen test rows", found.frozen))
        }
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
        facts = register_challenger(
            self.context,
            self.params,
            self.manifest,
            self.taught,
            self.champion,
            self.comparison,
            self.proof,
            self.refitted,
            self._lesson_folder,
            decision=self.order.decision,
            live=self.live.name,
            reason=self.order.reason,
        )
        self.facts |= facts
        url = self.context.tracker.run_url(facts["run_id"])
        return StageResult("promote", facts=facts, links={"MLflow run": url} if url else {})

    def finish(self) -> None:
        """Keep the outcome, and nothing else that is large."""
        write_json(self.folder / "outcome.json", self.facts)
        sweep(self.context.workspace, self.order.decision)
