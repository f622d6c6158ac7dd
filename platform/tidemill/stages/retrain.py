"""retrain: the challenger that learnt from live rows is judged, registered, and maybe serves.

Judged twice: on *proof*, labelled live rows that nobody learnt from, and on the frozen test shards,
which show the world as it was; the rule stands in ``gate``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow.compute as pc

from tidemill.config import Params
from tidemill.drift import HeldOut, other_answers
from tidemill.errors import IntegrityError
from tidemill.learning import predict_scores
from tidemill.metrics import Figures, lead_of, shortfall
from tidemill.profiling import fold
from tidemill.schema import Role, TableSchema, Task
from tidemill.stages.ancestry import ancestry_of, frozen_rows
from tidemill.stages.blocks import encode_target
from tidemill.stages.context import StageContext
from tidemill.stages.gate import Evidence, Ruling, deciding_figure, excuse, rule
from tidemill.stages.judging import chosen_metric, defined, judge, judge_stretches
from tidemill.stages.reference import make_reference
from tidemill.stages.refit import refit_seconds
from tidemill.stages.register import log_data, origin_tags
from tidemill.stages.relearn import Refitted
from tidemill.stages.teach import Taught
from tidemill.storage import (
    FileEntry,
    ShardManifest,
    discard_directory,
    hash_json,
    read_blocks,
    read_json,
    write_json,
)
from tidemill.tracking import (
    LoadedModel,
    Registry,
    fetch_reference,
    load_reference,
    open_candidate,
)
from tidemill.versioning import Versions

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["Comparison", "Proof", "compare", "deciding_figures", "register_challenger"]

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
        The tuned figure.
    figure : str
        The one that decided on proof: of those that confirmed the harm.
    proof, frozen : dict of str to (figure to value)
        Of ``challenger`` and ``champion``, on the proof rows and on the frozen test shards; a
        figure that rows do not define is None.
    ruling : Ruling
        What the gate says.
    """

    metric: str
    figure: str
    proof: dict[str, dict[str, float | None]]
    frozen: dict[str, dict[str, float | None]]
    ruling: Ruling

    @property
    def accepted(self) -> bool:
        """Whether the challenger is to serve."""
        return self.ruling.better or self.ruling.excused

    def outdoes(self, other: Self) -> bool:
        """Whether its challenger is to serve rather than the other one, of the same champion."""
        if self.ruling.better or not other.accepted:
            return True
        mine, theirs = (each.proof["challenger"][self.figure] for each in (self, other))
        if not self.accepted or mine is None or theirs is None:
            return False
        return shortfall(self.figure, theirs, mine) < 0

    @property
    def evidence(self) -> dict[str, float | str | None]:
        """What is kept with a promotion."""
        return {
            "decided_by": self.figure,
            **{
                f"{who}_{where}_{name}": figures[who][name]
                for name in dict.fromkeys((self.figure, self.metric))
                for where, figures in (("proof", self.proof), ("frozen", self.frozen))
                for who in ("challenger", "champion")
            },
        }

    def to_json(self) -> dict[str, Any]:
        """A JSON document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(**{**document, "ruling": Ruling(**document["ruling"])})


def compare(
    context: StageContext,
    params: Params,
    manifest: ShardManifest,
    taught: Taught,
    champion: LoadedModel,
    proof: Proof,
    folder: Path,
    *,
    accused: Sequence[str] = (),
) -> Comparison:
    """Judge both models on proof and frozen rows; the verdict is kept in ``folder``.

    Parameters
    ----------
    accused : sequence of str
        The figures that confirmed the champion's harm, if any did: the first of them decides on
        proof, unless the tuned figure is among them.

    Notes
    -----
    Memory: one block, its matrix and its scores, per worker; twenty times the figures.
    """
    digests = [taught.digest, champion.digest, [f.sha256 for f in proof.files]]
    key = hash_json([*digests, list(accused)])
    receipt = folder / "comparison.json"
    if receipt.exists() and (known := read_json(receipt))["key"] == key:
        return Comparison.from_json(known["comparison"])
    metric, figure = deciding_figures(params, manifest.schema.task, accused)
    evidence, parts = _evidence(
        context, manifest, taught, champion, proof, metric, (figure, *accused)
    )
    ruling = rule(
        evidence,
        min_improvement=params.registration.min_improvement,
        max_regression=params.monitoring.retraining.max_regression,
    )
    if ruling.forgot:
        ruling = _excused(context, params, ruling, evidence, champion, fold(parts), folder)
    proved, held = (
        {who: defined(values) for who, values in side.items()}
        for side in (evidence.proof, evidence.frozen)
    )
    found = Comparison(metric, figure, proved, held, ruling)
    write_json(receipt, {"key": key, "comparison": found.to_json()})
    return found


def deciding_figures(params: Params, task: Task, accused: Sequence[str]) -> tuple[str, str]:
    """The tuned figure, and the one that decides on proof: see :func:`deciding_figure`."""
    metric = chosen_metric(params.evaluation.metric, task, setting="evaluation.metric")
    return metric, deciding_figure(accused, metric, task)


def _evidence(
    context: StageContext,
    manifest: ShardManifest,
    taught: Taught,
    champion: LoadedModel,
    proof: Proof,
    metric: str,
    names: Sequence[str],
) -> tuple[Evidence, Sequence[Figures]]:
    """What both models show; and the champion's figures on proof, stretch by stretch."""
    challenger = open_candidate(taught.folder / "model")
    lessons = {
        "the challenger": ancestry_of(challenger.metadata),
        f"champion {champion.version}": ancestry_of(champion.metadata),
    }
    frozen = frozen_rows(context, manifest, lessons)
    models = {"challenger": challenger.pipeline, "champion": champion.judged}
    on_proof = {
        who: judge_stretches(
            context, model, proof.files, proof.folder, manifest.schema, label="proof"
        )
        for who, model in models.items()
    }
    proved = {who: dict(fold(parts).values()) for who, parts in on_proof.items()}
    return Evidence(
        metric=metric,
        figure=names[0],
        proof=proved,
        frozen={
            who: judge(context, model, manifest, Role.TEST, only=frozen.only).values()
            if frozen.usable
            else dict.fromkeys(proved[who], math.nan)
            for who, model in models.items()
        },
        leads={
            name: lead_of(name, on_proof["challenger"], on_proof["champion"])
            for name in dict.fromkeys(names)
        },
        rows=proof.rows,
        champion=champion.version,
        frozen_usable=frozen.usable,
        frozen_said=frozen.said,
    ), on_proof["champion"]


def _excused(
    context: StageContext,
    params: Params,
    ruling: Ruling,
    evidence: Evidence,
    champion: LoadedModel,
    figures: Figures,
    folder: Path,
) -> Ruling:
    """The ruling, once it is known whether proof has other answers than held-out rows had.

    Parameters
    ----------
    figures : Figures
        Of the champion on proof.
    """
    place = folder / "champion-reference"
    fetch_reference(context.tracker.uri, params.model_name, champion.version, place)
    try:
        quality = load_reference(place).quality
    except IntegrityError as exc:
        doubt = f"{ruling.reason}; whether a meaning has changed is not known: {exc.message}"
        return replace(ruling, reason=doubt)
    finally:
        discard_directory(place)
    monitoring = params.monitoring
    others = other_answers(quality, figures, monitoring.harm)
    return excuse(ruling, evidence, others, max_regression=monitoring.retraining.max_regression)


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
    if comparison.accepted:
        registry.promote(
            model, registered.version, replaces=champion.version, evidence=comparison.evidence
        )
    tracker.finish(run_id, "FINISHED")
    return {
        "model": model,
        "version": registered.version,
        "champion": champion.version,
        "promoted": comparison.accepted,
        "reason": comparison.ruling.reason,
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
