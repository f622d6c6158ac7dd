"""retrain: the challenger that learnt from live rows is judged, registered, and maybe serves.

Judged twice: on *proof*, labelled live rows that nobody learnt from, it must beat the champion;
on the frozen test shards, which show the world as it was, it may lose no more than is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from tidemill.config import Params
from tidemill.drift import HeldOut
from tidemill.drift.performance import worse_by
from tidemill.learning import predict_scores
from tidemill.metrics import improves, in_words
from tidemill.schema import Role, TableSchema
from tidemill.stages.ancestry import Frozen, ancestry_of, frozen_rows
from tidemill.stages.blocks import encode_target
from tidemill.stages.context import StageContext
from tidemill.stages.judging import chosen_metric, defined, judge, judge_files
from tidemill.stages.reference import make_reference
from tidemill.stages.refit import refit_seconds
from tidemill.stages.register import log_data, origin_tags
from tidemill.stages.relearn import Refitted
from tidemill.stages.teach import Taught
from tidemill.storage import (
    FileEntry,
    ShardManifest,
    hash_json,
    read_blocks,
    read_json,
    write_json,
)
from tidemill.tracking import LoadedModel, Registry, open_candidate
from tidemill.versioning import Versions

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["Comparison", "Proof", "compare", "register_challenger"]

PROOF_BLOCKS = 64
MIN_BLOCK_ROWS = 50


@dataclass(frozen=True, slots=True)
class Proof:
    """The labelled live rows that judge: files of validated rows in a folder."""

    folder: Path
    files: tuple[FileEntry, ...]

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(file.rows for file in self.files)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Challenger and champion, side by side.

    Parameters
    ----------
    metric : str
        The figure that decides.
    proof, frozen : dict of str to (figure to value)
        Of ``challenger`` and ``champion``, on the proof rows and on the frozen test shards; a
        figure that rows do not define is None.
    better : bool
        Whether the challenger is to serve.
    forgot : bool
        Whether only what it lost on the frozen test rows speaks against it.
    reason : str
        One sentence.
    """

    metric: str
    proof: dict[str, dict[str, float | None]]
    frozen: dict[str, dict[str, float | None]]
    better: bool
    forgot: bool
    reason: str

    @property
    def evidence(self) -> dict[str, float | None]:
        """What is kept with a promotion."""
        return {
            f"{who}_{where}_{self.metric}": figures[who][self.metric]
            for where, figures in (("proof", self.proof), ("frozen", self.frozen))
            for who in ("challenger", "champion")
        }


def compare(
    context: StageContext,
    params: Params,
    manifest: ShardManifest,
    taught: Taught,
    champion: LoadedModel,
    proof: Proof,
    folder: Path,
) -> Comparison:
    """Judge both models on proof and frozen rows; the verdict is kept in ``folder``.

    Notes
    -----
    Memory: one block, its matrix and its scores, per worker.
    """
    key = hash_json([taught.digest, champion.digest, [f.sha256 for f in proof.files]])
    receipt = folder / "comparison.json"
    if receipt.exists() and (known := read_json(receipt))["key"] == key:
        return Comparison(**known["comparison"])
    metric = chosen_metric(
        params.evaluation.metric, manifest.schema.task, setting="evaluation.metric"
    )
    challenger = open_candidate(taught.folder / "model")
    lessons = {
        "the challenger": ancestry_of(challenger.metadata),
        f"champion {champion.version}": ancestry_of(champion.metadata),
    }
    frozen = frozen_rows(context, manifest, lessons)
    models = {"challenger": challenger.pipeline, "champion": champion.judged}
    figures = _figures(context, manifest, models, proof, frozen)
    better, forgot, reason = _verdict(
        params, metric, figures, rows=proof.rows, champion=champion.version, frozen=frozen
    )
    told = {
        where: {who: defined(values) for who, values in found.items()}
        for where, found in figures.items()
    }
    found = Comparison(metric, told["proof"], told["frozen"], better, forgot, reason)
    write_json(receipt, {"key": key, "comparison": asdict(found)})
    return found


def _figures(
    context: StageContext,
    manifest: ShardManifest,
    models: Mapping[str, Pipeline],
    proof: Proof,
    frozen: Frozen,
) -> dict[str, dict[str, dict[str, float]]]:
    """Figures of each model on proof and on frozen rows; NaN where those cannot judge."""
    figures: dict[str, dict[str, dict[str, float]]] = {"proof": {}, "frozen": {}}
    for who, pipeline in models.items():
        on_proof = judge_files(
            context, pipeline, proof.files, proof.folder, manifest.schema, label="proof"
        )
        figures["proof"][who] = on_proof.values()
        figures["frozen"][who] = (
            judge(context, pipeline, manifest, Role.TEST, only=frozen.only).values()
            if frozen.usable
            else dict.fromkeys(figures["proof"][who], math.nan)
        )
    return figures


def _verdict(
    params: Params,
    metric: str,
    figures: dict[str, dict[str, dict[str, float]]],
    *,
    rows: int,
    champion: int,
    frozen: Frozen,
) -> tuple[bool, bool, str]:
    new, old = (figures["proof"][who][metric] for who in ("challenger", "champion"))
    after, before = (figures["frozen"][who][metric] for who in ("challenger", "champion"))
    if math.isnan(new) or (frozen.usable and math.isnan(after)):
        where = "proof" if math.isnan(new) else "frozen test"
        return False, False, f"{in_words(metric)} is not defined on the {where} rows"
    allowed = params.monitoring.retraining.max_regression
    loss = 0.0 if math.isnan(before) else worse_by(metric, before, after)
    said = (
        f"{in_words(metric)} is {new:.4f} on {rows} proof rows against champion {champion}'s "
        f"{old:.4f}"
    )
    if frozen.usable:
        said += f", and {after:.4f} on the frozen test rows against {before:.4f}"
    if frozen.said:
        said += f" ({frozen.said})"
    if not improves(metric, new, old, params.registration.min_improvement):
        return False, False, f"no better on proof: {said}"
    if loss > allowed:
        lost = f"lost {loss:.4f} on the frozen test rows, {allowed:g} is allowed"
        return False, True, f"{lost}: {said}"
    return True, False, f"better on proof: {said}"


def register_challenger(
    context: StageContext,
    params: Params,
    manifest: ShardManifest,
    taught: Taught,
    champion: LoadedModel,
    comparison: Comparison,
    proof: Proof,
    refitted: Refitted,
    folder: Path,
    *,
    decision: str,
    live: str,
    reason: str,
) -> dict[str, Any]:
    """Make the challenger a version with a reference of its own; promote it if it is better.

    Everything may be repeated.

    Raises
    ------
    Busy
        If another version was promoted since the comparison.
    """
    tracker, versions = context.tracker, Versions(context.workspace.root)
    model = params.model_name
    run_id = tracker.open_run(
        f"retrain-{decision}",
        name=f"retrain {decision[:12]}",
        tags={"tidemill.model": model, "tidemill.decision": decision, "tidemill.reason": reason},
    )
    _log(context, run_id, params, manifest, taught, comparison, versions)
    figures = {"rows": refitted.rows, "iterations": refitted.iterations}
    seconds = refit_seconds(folder, refitted.digest)
    tracker.log_stage(run_id, "refit", {}, {**figures, "seconds": seconds})
    reference = folder / "reference.json"
    world = manifest.of_origin(live)
    _write_reference(reference, context, world, refitted, proof, comparison.metric)
    registry = Registry(tracker)
    registered = registry.register(
        refitted.folder / "model",
        model_name=model,
        run_id=run_id,
        digest=refitted.digest,
        reference=[reference],
        attachments=[
            folder / "comparison.json",
            proof.folder.parent / "validation.json",
            taught.folder / "training.json",
            context.workspace.params,
        ],
        metrics={
            **{f"test_{k}": v for k, v in comparison.frozen["challenger"].items()},
            **{f"proof_{k}": v for k, v in comparison.proof["challenger"].items()},
        },
        tags={
            **origin_tags(versions, context.workspace.root),
            "tidemill.decision": decision,
        },
    )
    if comparison.better:
        registry.promote(
            model, registered.version, replaces=champion.version, evidence=comparison.evidence
        )
    tracker.finish(run_id, "FINISHED")
    return {
        "model": model,
        "version": registered.version,
        "champion": champion.version,
        "promoted": comparison.better,
        "reason": comparison.reason,
        "run_id": run_id,
        "digest": refitted.digest,
    }


def _log(
    context: StageContext,
    run_id: str,
    params: Params,
    manifest: ShardManifest,
    taught: Taught,
    comparison: Comparison,
    versions: Versions,
) -> None:
    tracker, document = context.tracker, taught.document
    tracker.log_stage(run_id, "params", params.model_dump(mode="json"), {})
    tracker.log_stage(run_id, "train", document["params"], {"iterations": document["iterations"]})
    for where, figures in (("proof", comparison.proof), ("frozen", comparison.frozen)):
        for who, values in figures.items():
            tracker.log_stage(run_id, f"{where}_{who}", {}, values)
    log_data(context, run_id, params, manifest, versions)


def _write_reference(
    path: Path,
    context: StageContext,
    manifest: ShardManifest,
    refitted: Refitted,
    proof: Proof,
    metric: str,
) -> None:
    """Keep the world that it was taught for: the live rows, and what was said of the proof rows."""
    both = open_candidate(refitted.folder / "model")
    held_out = _held_out(both.judged, manifest.schema, proof)
    made = make_reference(
        context, manifest, both.judged, metric=metric, proof=held_out, serving=both.pipeline
    )
    write_json(path, made.to_json())


def _held_out(pipeline: Pipeline, schema: TableSchema, proof: Proof) -> list[HeldOut]:
    """What the challenger says of the proof rows, by at most some 64 stretches of them."""
    size = max(MIN_BLOCK_ROWS, -(-proof.rows // PROOF_BLOCKS))
    found = []
    for file in proof.files:
        for table in read_blocks(proof.folder / file.path):
            if schema.time is not None:
                table = table.take(pc.sort_indices(table[schema.time.name]))
            scores = predict_scores(pipeline[-1], pipeline[0].transform(table), schema.task)
            truth = encode_target(table[schema.target.name], schema)
            cuts = np.arange(size, len(truth) - size // 2, size)
            pairs = zip(np.split(scores, cuts), np.split(truth, cuts), strict=True)
            found += [HeldOut.of(schema, said, true) for said, true in pairs]
    return found
