"""challenger: a judged challenger becomes a version, with a reference of its own; maybe serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from tidemill.config import Params
from tidemill.drift import HeldOut
from tidemill.features import encode_target
from tidemill.ingestion import read_report
from tidemill.learning import predict_scores, threshold_of
from tidemill.metrics import HIGHER_IS_BETTER, in_words
from tidemill.retraining.comparing import Comparison
from tidemill.retraining.order import receipts
from tidemill.retraining.relearn import Refitted
from tidemill.retraining.taking_in import Proof
from tidemill.retraining.taught import Taught
from tidemill.schema import TableSchema
from tidemill.stages.context import StageContext
from tidemill.stages.reference import make_reference
from tidemill.stages.refit import refit_seconds, unseen_of
from tidemill.stages.register import log_data, origin_tags
from tidemill.storage import ShardManifest, read_blocks, write_json
from tidemill.tracking import LoadedModel, Registered, Registry, open_candidate
from tidemill.versioning import Versions

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["Challenger", "register_challenger"]

PROOF_BLOCKS = 64
MIN_BLOCK_ROWS = 50


@dataclass(frozen=True, slots=True)
class Challenger:
    """What became of one decision: the models, and how they were judged.

    Parameters
    ----------
    decision, reason : str
        What asked for it, and why.
    live : str
        Name of the set of live rows that it learnt.
    days : (str or None, str or None)
        The first and the last day of the rows that taught and judged it.
    taught : Taught
        What was judged.
    refitted : Refitted
        What is to serve of it.
    champion : LoadedModel
        What it was compared with.
    comparison : Comparison
    proof : Proof
    folder : Path
        Where its receipts lie.
    """

    decision: str
    reason: str
    live: str
    days: tuple[str | None, str | None]
    taught: Taught
    refitted: Refitted
    champion: LoadedModel
    comparison: Comparison
    proof: Proof
    folder: Path


def register_challenger(
    context: StageContext, params: Params, manifest: ShardManifest, challenger: Challenger
) -> dict[str, Any]:
    """Make the challenger a version with a reference of its own; promote it if it is better.

    Everything may be repeated.

    Raises
    ------
    Busy
        If another version was promoted since the comparison.
    """
    tracker, comparison = context.tracker, challenger.comparison
    versions = Versions(context.workspace.root)
    run_id = _run(context, params, challenger)
    _log(context, run_id, params, manifest, challenger.taught, comparison, versions)
    _log_refit(context, run_id, challenger)
    registry = Registry(tracker)
    made = _registered(context, params, manifest, challenger, registry, run_id, versions)
    if comparison.accepted:
        registry.promote(
            params.model_name,
            made.version,
            replaces=challenger.champion.version,
            evidence=comparison.evidence,
        )
    _describe(context, params, run_id, challenger, made.version)
    tracker.finish(run_id, "FINISHED")
    return {
        "model": params.model_name,
        "version": made.version,
        "champion": challenger.champion.version,
        "promoted": comparison.accepted,
        "reason": comparison.ruling.reason,
        "run_id": run_id,
        "digest": challenger.refitted.digest,
    }


def _run(context: StageContext, params: Params, challenger: Challenger) -> str:
    return context.tracker.open_run(
        f"retrain-{challenger.decision}",
        name=f"challenger of v{challenger.champion.version}, decision {challenger.decision[:12]}",
        tags={
            "tidemill.model": params.model_name,
            "tidemill.decision": challenger.decision,
            "tidemill.reason": challenger.reason,
        },
    )


def _describe(
    context: StageContext, params: Params, run_id: str, challenger: Challenger, version: int
) -> None:
    """Name the run by what tells it apart, and say what asked for it and what came of it."""
    metric = challenger.comparison.metric
    since, until = challenger.days
    value = challenger.comparison.frozen["challenger"][metric]
    parts = (
        f"v{version} challenger of v{challenger.champion.version}",
        since and f"{since} to {until}",
        None if value is None else f"{metric} {value:.4f}",
    )
    context.tracker.describe(
        run_id,
        name=", ".join(part for part in parts if part),
        text="\n\n".join(_told(challenger, f"{params.model_name} version {version}")),
        judged=f"test/{metric}",
        greater=HIGHER_IS_BETTER[metric],
        version=(params.model_name, version),
    )


def _told(challenger: Challenger, made: str) -> Iterator[str]:
    """The run's description."""
    found, (since, until) = challenger.comparison, challenger.days
    yield (
        f"{made} ({challenger.taught.document['learner']}), challenger of version "
        f"{challenger.champion.version}: labelled live rows "
        + (f"from {since} to {until}." if since else "without times.")
    )
    why = f": {challenger.reason}" if challenger.reason else ""
    yield f"Asked for by decision {challenger.decision}{why}."
    for name in dict.fromkeys((found.figure, found.metric)):
        yield (
            f"{in_words(name)}: {_both(found.proof, name)} on {challenger.proof.rows:,} live rows "
            f"that judge; {_both(found.frozen, name)} on the frozen test rows."
        )
    yield f"{'Promoted' if found.accepted else 'Not promoted'}: {found.ruling.reason}."


def _both(side: Mapping[str, Mapping[str, float | None]], name: str) -> str:
    mine, theirs = (_figure(side[who][name]) for who in ("challenger", "champion"))
    return f"{mine}, of the champion {theirs}"


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _registered(
    context: StageContext,
    params: Params,
    manifest: ShardManifest,
    challenger: Challenger,
    registry: Registry,
    run_id: str,
    versions: Versions,
) -> Registered:
    comparison, refitted = challenger.comparison, challenger.refitted
    world = manifest.of_origin(challenger.live)
    report = receipts(context.workspace, challenger.decision) / "validation.json"
    read_report(report, remedy=f"delete {report.with_name('validated')} and run the same again")
    return registry.register(
        refitted.folder / "model",
        model_name=params.model_name,
        run_id=run_id,
        digest=refitted.digest,
        reference=[_written_reference(context, world, challenger)],
        attachments=[
            challenger.folder / "comparison.json",
            report,
            challenger.taught.folder / "training.json",
            context.workspace.params,
        ],
        metrics={
            **{f"test_{k}": v for k, v in comparison.frozen["challenger"].items()},
            **{f"proof_{k}": v for k, v in comparison.proof["challenger"].items()},
        },
        metric=comparison.metric,
        tags={
            **origin_tags(versions, context.workspace.root),
            "tidemill.decision": challenger.decision,
        },
    )


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
    # Under the name that lists of runs compare, of challengers and of those before them.
    tracker.log_stage(run_id, "test", {}, comparison.frozen["challenger"])
    log_data(context, run_id, params, manifest, versions)


def _log_refit(context: StageContext, run_id: str, challenger: Challenger) -> None:
    refitted = challenger.refitted
    figures = {"rows": refitted.rows, "iterations": refitted.iterations}
    seconds = refit_seconds(challenger.folder, refitted.digest)
    context.tracker.log_stage(run_id, "refit", {}, {**figures, "seconds": seconds})


def _written_reference(context: StageContext, world: ShardManifest, challenger: Challenger) -> Path:
    """The world that it was taught for: the live rows, and what was said of the proof rows."""
    both = open_candidate(challenger.refitted.folder / "model")
    made = make_reference(
        context,
        world,
        both.judged,
        metric=challenger.comparison.metric,
        proof=_held_out(both.judged, world.schema, challenger.proof),
        serving=both.pipeline,
        unseen=unseen_of(challenger.refitted.folder),
    )
    path = challenger.folder / "reference.json"
    write_json(path, made.to_json())
    return path


def _held_out(pipeline: Pipeline, schema: TableSchema, proof: Proof) -> list[HeldOut]:
    """What the challenger says of the proof rows, by at most some 64 stretches of them."""
    size = max(MIN_BLOCK_ROWS, -(-proof.rows // PROOF_BLOCKS))
    found = []
    for file in proof.files:
        for table in read_blocks(proof.folder.verified(file)):
            if schema.time is not None:
                table = table.take(pc.sort_indices(table[schema.time.name]))
            scores = predict_scores(pipeline[-1], pipeline[0].transform(table), schema.task)
            truth = encode_target(table[schema.target.name], schema)
            cuts = np.arange(size, len(truth) - size // 2, size)
            pairs = zip(np.split(scores, cuts), np.split(truth, cuts), strict=True)
            above = threshold_of(pipeline[-1])
            found += [HeldOut.of(schema, said, true, threshold=above) for said, true in pairs]
    return found
