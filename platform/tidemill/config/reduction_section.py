"""The section ``reduction`` of params.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from tidemill.config.sections import Fraction, Section
from tidemill.contracts import Scalar
from tidemill.learners import AUTO, LEARNERS
from tidemill.steps import STEPS, setting_problems

__all__ = ["ReductionConfig"]

StepEntry = str | dict[str, dict[str, Scalar]]

_SEQUENCE: tuple[StepEntry, ...] = ("select", "project")


class ReductionConfig(Section):
    """The reducer: impute, encode and scale; then a sequence of steps."""

    impute: Literal["auto", "mean", "median", "zero", "none"] = Field(
        "mean",
        description="for numeric features; none keeps missing values for learners that can; auto: "
        "none where the learner can, else mean",
    )
    indicator: bool = Field(False, description="add a column that says 'was missing'")
    encode: Literal["auto", "one_hot", "ordinal"] = Field(
        "one_hot", description="auto: one_hot for linear learners, ordinal for trees"
    )
    min_frequency: Fraction = Field(0.001, description="rarer categories share one 'rare' bucket")
    max_categories: int = Field(100, ge=2, le=10_000, description="kept categories per feature")
    high_cardinality: Literal["auto", "target", "rare"] = Field(
        "auto",
        exclude_if=lambda value: value == "auto",  # what it was before it could be said
        description="columns with more categories than max_categories: target adds the mean of the "
        "target in each, told to training rows without their own; rare leaves it at the bucket; "
        "auto adds it where it explains more than chance",
    )
    text: Literal["auto", "target", "drop"] = Field(
        "auto",
        exclude_if=lambda value: value == "auto",  # what it was before it could be said
        description="columns of free text: target scores their words by the target, each training "
        "row by a model that has not learnt it; drop leaves them out; auto scores where that "
        "explains more than chance",
    )
    scale: Literal["auto", "standard", "none"] = Field(
        "standard", description="auto: standard for linear learners and before pca, else none"
    )
    min_variance: float = Field(0.0, ge=0.0, description="features with no more are dropped")
    max_correlation: float = Field(
        1.0, gt=0.0, le=1.0, description="of two features that correlate more, the later goes"
    )
    project: Literal["none", "pca"] = "none"
    components: int | float = Field(
        0.95, description="pca: a number of components, or the share of variance they explain"
    )
    steps: tuple[StepEntry, ...] = Field(
        _SEQUENCE,
        exclude_if=lambda steps: steps == _SEQUENCE,  # what it was before it could be said
        description="what becomes of the encoded columns, in order: steps of tidemill or of "
        "installed packages, or module:Name, each alone or as {step: {setting: value}}; project "
        "stands where reduction.project goes",
    )

    @property
    def named_steps(self) -> tuple[tuple[str, dict[str, Scalar]], ...]:
        """The steps in order, each with its own settings."""
        return tuple(_named(entry) for entry in self.steps)

    @property
    def leaves_missing(self) -> bool:
        """Whether missing values come to the learner: none imputes, and no step fills them."""
        return self.impute == "none" and not any(
            STEPS[name].fills_missing for name, _ in self.named_steps
        )

    def for_learner(self, learner: str) -> ReductionConfig:
        """The same with every ``auto`` replaced by what that learner learns best from.

        >>> ReductionConfig(encode="auto", impute="auto").for_learner("lightgbm").encode
        'ordinal'
        """
        if AUTO not in (self.impute, self.encode, self.scale):
            return self
        wants_scaled = LEARNERS[learner].wants_scaled
        steps = [name for name, _ in self.named_steps if name != "project"]
        projects = self.project != "none"
        gaps = LEARNERS[learner].takes_missing and not projects
        gaps = gaps and all(STEPS[name].takes_missing for name in steps)
        wanted = {
            "impute": "none" if gaps else "mean",
            "encode": "one_hot" if wants_scaled else "ordinal",
            "scale": "standard" if wants_scaled or projects else "none",
        }
        found = {name: how for name, how in wanted.items() if getattr(self, name) == AUTO}
        return self.model_copy(update=found)

    @field_validator("steps")
    @classmethod
    def _known_steps(cls, steps: tuple[StepEntry, ...]) -> tuple[StepEntry, ...]:
        for entry in steps:
            if isinstance(entry, dict) and len(entry) != 1:
                raise ValueError("an entry is the name of a step, or {step: {setting: value}}")
            name, given = _named(entry)
            for key, problem in setting_problems(STEPS.known(name), given).items():
                raise ValueError(f"{name}.{key}: {problem}")
        return steps


def _named(entry: StepEntry) -> tuple[str, dict[str, Scalar]]:
    return (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
