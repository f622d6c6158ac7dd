"""compare: the challenger that learnt from live rows is judged beside the champion.

Judged twice: on *proof*, labelled live rows that nobody learnt from, and on the frozen test shards,
which show the world as it was; the rule stands in ``gate``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tidemill.config import Params
from tidemill.drift import other_answers
from tidemill.errors import IntegrityError
from tidemill.metrics import (
    Figures,
    Lead,
    lead_of,
    metric_names,
    no_better_than_dummy,
    shortfall,
)
from tidemill.profiling import fold
from tidemill.retraining.gate import Evidence, Ruling, excuse, rule
from tidemill.retraining.job import RetrainingJob
from tidemill.retraining.taking_in import Proof, taken_in
from tidemill.retraining.taught import Taught, teach
from tidemill.schema import Role
from tidemill.stages.ancestry import Frozen, ancestry_of, frozen_rows
from tidemill.stages.context import StageContext
from tidemill.stages.shard_figures import defined, measure_stretches, stretch_ends
from tidemill.storage import (
    ShardManifest,
    discard_directory,
    hash_json,
    read_keyed,
    write_hashed,
)
from tidemill.tracking import LoadedModel, fetch_reference, load_reference, open_candidate

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["Comparison", "compare", "find_comparison"]


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
        """A JSON document of its fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(**{**document, "ruling": Ruling(**document["ruling"])})


def find_comparison(context: StageContext, job: RetrainingJob, number: int) -> Comparison | None:
    """The verdict of a lesson; None while there is none of what it depends on now."""
    return _kept(_receipt(job, number), _key(job, teach(context, job, number)))


def compare(context: StageContext, job: RetrainingJob, number: int) -> Comparison:
    """Judge both models on proof and frozen rows; the verdict is kept in the lesson's folder.

    The first of the figures that confirmed the champion's harm, if any did, decides on proof,
    unless the tuned figure is among them.

    Notes
    -----
    Memory: one block, its matrix and its scores, per worker; twenty times the figures.
    """
    params, champion, folder = job.params, job.champion, job.lesson(number)
    taught = teach(context, job, number)
    key, receipt = _key(job, taught), _receipt(job, number)
    if (known := _kept(receipt, key)) is not None:
        return known
    metric, figure = job.figures
    names = (figure, *job.order.accused)
    proof = taken_in(job).proof
    evidence, parts = _evidence(context, job.manifest, taught, champion, proof, metric, names)
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
    write_hashed(receipt, {"key": key, "comparison": found.to_json()})
    return found


def _key(job: RetrainingJob, taught: Taught) -> str:
    """Names all that a verdict depends on."""
    proof = [file.sha256 for file in taken_in(job).proof.files]
    return hash_json([taught.digest, job.champion.digest, proof, list(job.order.accused)])


def _receipt(job: RetrainingJob, number: int) -> Path:
    return job.lesson(number) / "comparison.json"


def _kept(receipt: Path, key: str) -> Comparison | None:
    known = read_keyed(receipt, key)
    return None if known is None else Comparison.from_json(known["comparison"])


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
    stretches = {
        who: measure_stretches(
            context, model, proof.files, proof.folder, manifest.schema, label="proof"
        )
        for who, model in models.items()
    }
    held = _on_frozen(context, models, manifest, frozen)
    undefined = dict.fromkeys(metric_names(manifest.schema.task), math.nan)
    evidence = Evidence(
        metric=metric,
        figure=names[0],
        proof={who: fold(parts).values() for who, parts in stretches.items()},
        frozen={who: fold(held[who]).values() if held else undefined for who in models},
        leads={name: _lead(name, stretches) for name in dict.fromkeys((*names, metric))},
        rows=proof.rows,
        champion=champion.version,
        frozen_lead=_lead(metric, held) if held else None,
        frozen_usable=frozen.usable,
        frozen_said=frozen.said,
        doubt=no_better_than_dummy(fold(stretches["challenger"]), manifest.schema.classes),
    )
    return evidence, stretches["champion"]


def _lead(name: str, parts: Mapping[str, Sequence[Figures]]) -> Lead:
    return lead_of(name, parts["challenger"], parts["champion"])


def _on_frozen(
    context: StageContext, models: Mapping[str, Pipeline], manifest: ShardManifest, frozen: Frozen
) -> dict[str, tuple[Figures, ...]]:
    """Figures by stretch of the frozen test rows that may judge; empty where they cannot."""
    if not frozen.usable:
        return {}
    ends = stretch_ends(context, manifest, Role.TEST)
    return {
        who: measure_stretches(
            context,
            model,
            [entry.file for entry in manifest.of(Role.TEST)],
            context.shards,
            manifest.schema,
            label="evaluate test",
            only=frozen.only,
            ends=ends,
        )
        for who, model in models.items()
    }


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
