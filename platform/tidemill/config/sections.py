"""The sections of params.yaml that the stages read: frozen, and checked once, at the edge."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tidemill.bucket_rules import BUCKET_RULES
from tidemill.contracts import Scalar
from tidemill.database_addresses import password_problem
from tidemill.learners import AUTO, LEARNERS, strategies
from tidemill.searchers import PRUNERS, SAMPLERS
from tidemill.store_schemes import STORES

__all__ = [
    "UNTOLD",
    "Address",
    "EvaluationConfig",
    "Fraction",
    "HoldoutConfig",
    "IngestionConfig",
    "RegistrationConfig",
    "Section",
    "ShardingConfig",
    "ThresholdConfig",
    "TrainingConfig",
    "TuningConfig",
]

UNTOLD = "untold"
"""The type of a problem whose value no error may repeat."""


def _without_password(address: str) -> str:
    problem = password_problem(address)
    if problem is not None:
        raise PydanticCustomError(UNTOLD, "{problem}", {"problem": f"is {problem}"})
    return address


Address = Annotated[str, AfterValidator(_without_password)]
"""Refused, and not repeated, where a password stands in it."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Inside = Annotated[float, Field(gt=0.0, lt=1.0)]
Cost = Annotated[float, Field(gt=0.0, le=1e9)]


class Section(BaseModel):
    """A frozen section of params.yaml."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), hide_input_in_errors=True
    )


class IngestionConfig(Section):
    """Validation of every batch."""

    suite: str = Field("expectations/suite.json", description="the Great Expectations suite")
    max_invalid_fraction: Fraction = Field(
        0.1, description="over this share of invalid rows the data are refused"
    )
    max_target_missing: Fraction = Field(
        0.5, description="over this share of rows without target the data are refused"
    )
    batch_rows: int = Field(65_536, ge=256, description="rows in memory at once, per worker")


class HoldoutConfig(Section):
    """Which rows are train, validation and test."""

    by: Literal["time", "order", "hash", "stratified", "file"] = Field(
        "hash",
        description="time: latest rows; order: last rows; hash: by hash of the key or row; "
        "stratified: by hash within each class; file: a glob of source files",
    )
    test: float | int | str = Field(
        0.2,
        description="a fraction below 1; or where the test rows begin: a time (by: time), "
        "a row number counted from 0 (by: order), a glob of source files (by: file)",
    )
    test_end: str | None = Field(None, description="by time: rows from here on are left out")
    validation: Annotated[float, Field(ge=0.0, lt=0.9)] = Field(
        0.1, description="the share of the remaining rows used for validation"
    )

    @field_validator("test", "test_end", mode="before")
    @classmethod
    def _time_as_text(cls, value: Any) -> Any:
        # YAML reads an unquoted 2024-01-14 as a date.
        return value.isoformat() if isinstance(value, dt.date) else value


class ShardingConfig(Section):
    """How validated rows become shards."""

    strategy: str = Field(
        "hash", description="one of tidemill or of an installed package, or module:Name"
    )
    by: str | None = Field(
        None, description="hash, range: the column; default dataset.key, else the row's place"
    )
    shards: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)] = "auto"
    shard_mb: int = Field(128, ge=1, le=4096, description="size aimed at with shards: auto")
    block_rows: Literal["auto"] | Annotated[int, Field(ge=64, le=1_048_576)] = "auto"
    holdout: HoldoutConfig = HoldoutConfig()

    @field_validator("strategy")
    @classmethod
    def _known_rule(cls, name: str) -> str:
        return BUCKET_RULES.known(name)


class TuningConfig(Section):
    """The search for the learner's parameters."""

    sampler: str = Field(
        "tpe", description="one of tidemill or of an installed package, or module:Name"
    )
    pruner: str = Field(
        "median",
        exclude_if=lambda pruner: pruner == "median",  # what it was before it could be said
        description="gives up trials early: one of tidemill or of an installed package, or "
        "module:Name",
    )
    scheduler: Literal["none", "halving", "hyperband"] = Field(
        "none",
        exclude_if=lambda scheduler: scheduler == "none",  # what it was before it could be said
        description="how many rows a trial learns: none (max_rows), halving (few first; the best "
        "quarter goes on to four times as many, up to max_rows), hyperband (halvings that begin "
        "with few rows, with more, with max_rows)",
    )
    trials: int = Field(10, ge=0, description="0 turns tuning off")
    timeout_seconds: float | None = Field(
        None, gt=0, description="ends the study early and gives up reproducibility"
    )
    cpu_seconds: float | None = Field(
        None,
        gt=0,
        exclude_if=lambda limit: limit is None,  # what it was before it could be said
        description="of all trials together; ends the study early as timeout_seconds does",
    )
    workers: int = Field(
        1,
        ge=1,
        description="trials at once, each in a worker of the engine; 1: here, with all cores",
    )
    wave: int = Field(
        4, ge=1, description="trials proposed together, whatever the workers; part of the study"
    )
    metric: str = Field(
        "auto",
        description="auto (as evaluation.metric has it for a first model), or a figure of the task "
        "such as roc_auc; fits are stopped by it too",
    )
    folds: Literal["auto"] | Annotated[int, Field(ge=0, le=100)] = Field(
        "auto",
        exclude_if=lambda folds: folds == "auto",
        description="of the cross-validation that judges a trial: auto (5 where training and "
        "validation rows are at most 10,000, else 0), 0 (none: the validation rows judge), or a "
        "number from 2",
    )
    max_rows: int = Field(
        200_000,
        ge=100,
        description="training rows a trial may see; of a scheduler, what the last rung learns",
    )
    space: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="parameter: {low, high, log, step} or {choices: [...]}; "
        "empty: the learner's own",
    )

    @field_validator("folds")
    @classmethod
    def _not_one(cls, folds: int | str) -> int | str:
        if folds == 1:
            raise ValueError("one fold has nothing to learn from: give 0, or at least 2")
        return folds

    @field_validator("sampler")
    @classmethod
    def _known_sampler(cls, name: str) -> str:
        return SAMPLERS.known(name)

    @field_validator("pruner")
    @classmethod
    def _known_pruner(cls, name: str) -> str:
        return PRUNERS.known(name)


class ThresholdConfig(Section):
    """What the decisions of two classes are to reach on validation rows; one of the three."""

    precision: float | None = Field(
        None, gt=0.0, le=1.0, description="at least; the threshold with the most recall is taken"
    )
    recall: float | None = Field(
        None, gt=0.0, le=1.0, description="at least; the threshold with the most precision is taken"
    )
    costs: tuple[Cost, Cost] | None = Field(
        None, description="[of a false positive, of a false negative]: the least cost is taken"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1 or not any((self.precision, self.recall, self.costs)):
            raise ValueError("give one of precision, recall and costs")
        return self


class TrainingConfig(Section):
    """What is trained, and how it meets the shards."""

    learner: str = Field(
        "lightgbm",
        description="one of tidemill or of an installed package, or module:Name; auto: linear, "
        "lightgbm or forest, whichever a probe of the training rows finds best",
    )
    strategy: str = Field("auto", description="auto, or one of the learner's")
    ranks: int = Field(
        2,
        ge=1,
        le=1024,
        exclude_if=lambda ranks: ranks == 2,  # what it was before it could be said
        description="distributed: workers that train one model together; part of the model",
    )
    memory_budget_mb: int = Field(2048, ge=64, description="what an in-memory fit may use")
    class_weight: Literal["none", "balanced"] = "none"
    params: dict[str, Scalar] = Field(
        default_factory=dict, description="the learner's parameters; they win over tuned ones"
    )
    calibration: Literal["auto", "none", "platt", "isotonic", "temperature"] = Field(
        "auto",
        exclude_if=lambda how: how == "auto",  # what it was before it could be said
        description="a curve over a classifier's probabilities, fitted on validation rows; auto: "
        "platt or isotonic (two classes) or temperature (more), where it is surely better",
    )
    threshold: Literal["f1"] | Inside | ThresholdConfig = Field(
        0.5,
        exclude_if=lambda wanted: wanted == 0.5,  # what it was before it could be said
        description="of two classes, the probability above which a row is decided positive; or "
        "f1, {precision: 0.9}, {recall: 0.8} or {costs: [1, 20]} (of a false positive, of a false "
        "negative): found on validation rows, stored with the model",
    )
    refit: Literal["full", "none"] = Field(
        "full",
        description="full: what serves is fitted once more, on all rows, validation and test "
        "included, with the parameters and rounds that were found; none: the judged model serves",
    )

    @field_validator("learner")
    @classmethod
    def _known_learner(cls, name: str) -> str:
        return name if name == AUTO else LEARNERS.known(name)

    @field_validator("strategy")
    @classmethod
    def _known_strategy(cls, name: str) -> str:
        known = ["auto", *strategies()] if name != "auto" else [name]
        if name not in known:
            raise ValueError(f"is not one of {', '.join(known)}")
        return name


class EvaluationConfig(Section):
    """Figures on the test shards."""

    metric: str = Field(
        "auto",
        description="the figure that decides; auto: roc_auc, or average_precision where the "
        "positive class is rare; log_loss; r2; the champion's where there is one",
    )
    max_gap: float = Field(
        0.1, ge=0, description="warn when training beats validation by more (relative)"
    )


class StorageConfig(Section):
    """Where the rows lie."""

    url: Address | None = Field(
        None,
        description="a store that all workers reach, for example s3://BUCKET/PREFIX; "
        "null: the workspace's own folder",
    )

    @field_validator("url")
    @classmethod
    def _leads_to_a_store(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"[\w.:]+://.", url):
            raise ValueError("is no address of a store: give it as s3://BUCKET/PREFIX")
        if url is not None:
            STORES.known(url.partition("://")[0])
        return url


class RegistrationConfig(Section):
    """The registry and the promotion."""

    model: str | None = Field(None, description="registered name; default: dataset.name")
    experiment: str | None = Field(None, description="MLflow experiment; default: dataset.name")
    min_improvement: float = Field(
        0.0, ge=0, description="by how much a challenger must beat the champion"
    )
