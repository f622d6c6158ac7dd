"""params.yaml as one frozen tree."""

from __future__ import annotations

from typing import Any

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from tidemill.bucket_rules import BUCKET_RULES
from tidemill.config.dataset_section import DatasetConfig
from tidemill.config.monitoring import MonitoringConfig
from tidemill.config.own_stages import OwnStageConfig
from tidemill.config.reduction_section import ReductionConfig
from tidemill.config.sections import (
    EvaluationConfig,
    IngestionConfig,
    RegistrationConfig,
    Section,
    ShardingConfig,
    StorageConfig,
    TrainingConfig,
    TuningConfig,
)
from tidemill.learners import AUTO, LEARNERS, parameter_problems, strategies_of

__all__ = ["Params"]


class Params(Section):
    """The whole of params.yaml."""

    seed: int = Field(42, ge=0, le=2**32 - 1)
    dataset: DatasetConfig
    ingestion: IngestionConfig = IngestionConfig()
    sharding: ShardingConfig = ShardingConfig()
    reduction: ReductionConfig = ReductionConfig()
    tuning: TuningConfig = TuningConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    registration: RegistrationConfig = RegistrationConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
    storage: StorageConfig = StorageConfig()
    stages: dict[str, OwnStageConfig] = Field(
        default_factory=dict, description="stages of your own, by name"
    )

    @model_serializer(mode="wrap")
    def _without_what_most_have_not(
        self, serialize: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        """A run in MLflow tells all settings; most have no own stages, and no store apart."""
        document: dict[str, Any] = serialize(self)
        return {name: each for name, each in document.items() if each not in ({}, {"url": None})}

    @property
    def model_name(self) -> str:
        """What the registered model is called."""
        return self.registration.model or self.dataset.name

    @property
    def experiment_name(self) -> str:
        """What the MLflow experiment is called."""
        return self.registration.experiment or self.dataset.name

    def with_learner(self, learner: str) -> Params:
        """The same where ``training.learner: auto`` is that learner, and the reduction fits it."""
        own = learner if self.training.learner == AUTO else self.training.learner
        return self.model_copy(
            update={
                "training": self.training.model_copy(update={"learner": own}),
                "reduction": self.reduction.for_learner(own),
            }
        )

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        holdout = self.sharding.holdout
        if holdout.by == "time" and self.dataset.time is None:
            raise ValueError("sharding.holdout.by: time needs dataset.time")
        self._check_strategy()
        if isinstance(holdout.test, float) and not 0 < holdout.test < 1:
            raise ValueError("sharding.holdout.test: a fraction lies between 0 and 1")
        if isinstance(holdout.test, int) and holdout.by != "order":
            raise ValueError("sharding.holdout.test: a row number needs holdout.by: order")
        if isinstance(holdout.test, str) and holdout.by not in ("time", "file"):
            raise ValueError("sharding.holdout.test: a text needs holdout.by: time or file")
        if holdout.by == "file" and not isinstance(holdout.test, str):
            raise ValueError("sharding.holdout.by: file needs holdout.test: a glob")
        for role in ("time", "key"):
            if getattr(self.dataset, role) == self.dataset.target:
                raise ValueError(
                    f"dataset.{role}: is dataset.target too; name another column, or null"
                )
        for role in ("target", "time", "key"):
            if getattr(self.dataset, role) in self.dataset.drop:
                raise ValueError(f"dataset.drop: holds dataset.{role}; take it out of one of them")
        self._check_learner()
        return self

    def _check_strategy(self) -> None:
        """What the strategy wants; it is imported only if it is not the default."""
        name = self.sharding.strategy
        if name == ShardingConfig.model_fields["strategy"].default:
            return
        wants = BUCKET_RULES[name].wants
        if wants == "time" and self.dataset.time is None:
            raise ValueError(f"sharding.strategy: {name} needs dataset.time")
        if wants == "value" and not (self.sharding.by or self.dataset.key):
            raise ValueError(f"sharding.strategy: {name} needs sharding.by or dataset.key")

    def _check_learner(self) -> None:
        """What the learner says of missing values and parameters; it is imported only if asked."""
        name, given = self.training.learner, self.training.params
        if name == AUTO:
            self._check_auto()
            return
        reduction = self.reduction.for_learner(name)
        if reduction.leaves_missing and not LEARNERS[name].takes_missing:
            more = ", and reduction.encode to one_hot and reduction.scale to standard as well"
            raise ValueError(
                f"training.learner: {name} needs every value: set reduction.impute to mean"
                f"{more if LEARNERS[name].wants_scaled else ''}; or let one of reduction.steps "
                "fill what is missing"
            )
        strategy = self.training.strategy
        if strategy != AUTO and strategy not in strategies_of(name):
            raise ValueError(
                f"training.strategy: {name} cannot learn {strategy}; use one of auto, "
                f"{', '.join(strategies_of(name))}"
            )
        problems = parameter_problems(name, given) if given else {}
        if problems:
            listing = "; ".join(f"{key}: {text}" for key, text in problems.items())
            raise ValueError(f"training.params: {listing}")

    def _check_auto(self) -> None:
        """What only a learner that is known could have."""
        stated = {
            "training.strategy": self.training.strategy != AUTO,
            "training.params": bool(self.training.params),
            "tuning.space": bool(self.tuning.space),
        }
        for setting, is_stated in stated.items():
            if is_stated:
                raise ValueError(
                    f"{setting}: is one learner's, and training.learner: auto may pick another; "
                    f"name the learner, or leave {setting} at its default"
                )
