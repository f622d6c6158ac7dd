"""promotion: whether what was just registered serves, by what it and the champion's model show."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill.config import Params
from tidemill.errors import DataRefused
from tidemill.metrics import improves, in_words
from tidemill.schema import Role, TableSchema
from tidemill.stages.ancestry import ancestry_of, frozen_rows
from tidemill.stages.context import StageContext
from tidemill.stages.shard_figures import measure_shards
from tidemill.storage import ShardManifest
from tidemill.tracking import Candidate, LoadedModel, Registry, load_champion

__all__ = ["Contest", "Promotion"]

_BY_HAND = (
    "nothing here can judge both, and the champion stays; bring back the settings that it was made "
    "with, or move the alias in MLflow by hand"
)


@dataclass(frozen=True, slots=True)
class Promotion:
    """Whether the challenger serves from now on, and why; and what lay beside the champion."""

    promoted: bool
    reason: str
    champion_value: float | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contest:
    """A registered candidate against whoever serves.

    Parameters
    ----------
    context, params : StageContext, Params
    registry : Registry
    version : int
        The candidate's.
    candidate : Candidate
    manifest : ShardManifest
        Whose test rows judge.
    metric : str
        The figure that decides.
    value : float or None
        The candidate's on the test rows; None where they do not define it.
    """

    context: StageContext
    params: Params
    registry: Registry
    version: int
    candidate: Candidate
    manifest: ShardManifest
    metric: str
    value: float | None

    def settle(self) -> Promotion:
        """Promote the candidate if there is no champion, or it is better than the champion's."""
        if self.value is None:
            return Promotion(
                False, f"{in_words(self.metric)} is not defined on the test rows", None
            )
        champion = self.registry.champion(self.params.model_name)
        if champion is not None and champion.version == self.version:
            return Promotion(True, "it is the champion already", self.value)
        if champion is None:
            self._promote(None, {self.metric: self.value})
            return Promotion(True, "there was no champion", None)
        try:
            return self._against(champion.version, self.value)
        except DataRefused as exc:
            said = f"champion {champion.version} cannot score these shards: {exc}"
            return Promotion(False, said, None)

    def _against(self, number: int, value: float) -> Promotion:
        """The candidate, whose figure is ``value``, against the champion of that number."""
        tracker = self.context.tracker
        champion = load_champion(tracker.uri, self.params.model_name, version=number)
        if self.candidate.judged_sha256 == champion.judged_sha256:
            self._promote(number, {self.metric: value})
            said = (
                f"the same model was judged as champion {number}'s; what serves of it is fitted "
                "anew"
            )
            return Promotion(True, said, value)
        found = self._compared(champion, value)
        if isinstance(found, str):
            return Promotion(False, found, None)
        return self._decided(champion, *found)

    def _decided(self, champion: LoadedModel, ours: float, theirs: float, said: str) -> Promotion:
        """By the figures of both, on test rows that neither has learnt."""
        margin = self.params.registration.min_improvement
        name, number = in_words(self.metric), champion.version
        if not improves(self.metric, ours, theirs, margin):
            reason = (
                f"{name} {ours:.4f} does not beat champion {number}'s {theirs:.4f} by more than "
                f"{margin:g}{said}"
            )
            return Promotion(False, reason, theirs, champion.notes)
        self._promote(number, {self.metric: ours, f"champion_{self.metric}": theirs})
        reason = f"{name} {ours:.4f} beats champion {number}'s {theirs:.4f}{said}"
        return Promotion(True, reason, theirs, champion.notes)

    def _compared(self, champion: LoadedModel, value: float) -> tuple[float, float, str] | str:
        """Figures of candidate and champion on test rows that neither has learnt, and a remark.

        Or why there are none.
        """
        name = f"champion {champion.version}"
        if difference := _difference(champion.schema, self.manifest.schema):
            return (
                f"{name} answers another question ({difference}): move the "
                "alias in MLflow by hand, or register under another registration.model"
            )
        lessons = {
            "the candidate": ancestry_of(self.candidate.metadata),
            name: ancestry_of(champion.metadata),
        }
        frozen = frozen_rows(self.context, self.manifest, lessons)
        if not frozen.usable:
            return f"{frozen.said}: {_BY_HAND}"
        test = (self.manifest, Role.TEST)
        figures = measure_shards(self.context, champion.judged, *test, only=frozen.only).values()
        if frozen.only is not None:
            own = measure_shards(
                self.context, self.candidate.judged, *test, only=frozen.only
            ).values()
            value = own[self.metric]
        return value, figures[self.metric], f" ({frozen.said})" if frozen.said else ""

    def _promote(self, replaces: int | None, evidence: dict[str, float]) -> None:
        name = self.params.model_name
        self.registry.promote(name, self.version, replaces=replaces, evidence=evidence)


def _difference(theirs: TableSchema, ours: TableSchema) -> str | None:
    """What the champion predicts that we do not: figures of the two mean different things."""
    for what, its, here in (
        ("target", theirs.target.name, ours.target.name),
        ("task", theirs.task.value, ours.task.value),
        ("classes", theirs.classes, ours.classes),
    ):
        if its != here:
            return f"{what} {its}, here {here}"
    return None
