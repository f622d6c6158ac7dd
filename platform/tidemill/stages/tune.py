"""tune: search the learner's parameters on the training blocks, judged on validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tidemill.config import TrainingConfig, TuningConfig
from tidemill.contracts import Scalar
from tidemill.errors import ConfigError
from tidemill.features import load_reducer
from tidemill.learners import default_space, unknown_parameters
from tidemill.learning import choose_strategy, fit, of_one_process, predict_scores
from tidemill.metrics import HIGHER_IS_BETTER, figures_of
from tidemill.profiling import fold
from tidemill.schema import Role, TableSchema
from tidemill.stages.blocks import ReducedBlocks, reduced_blocks
from tidemill.stages.context import StageContext, StageResult
from tidemill.stages.shard_figures import chosen_metric
from tidemill.storage import (
    ShardManifest,
    Workspace,
    hash_file,
    hash_files,
    hash_json,
    write_hashed,
)
from tidemill.tuning import Report, Study, search

__all__ = ["run_tune"]


@dataclass(frozen=True)
class Objective:
    """One trial: fit on a bounded part of the training blocks, score on validation blocks."""

    training: TrainingConfig
    train: ReducedBlocks
    validation: ReducedBlocks
    schema: TableSchema
    metric: str
    seed: int

    def __call__(self, params: dict[str, Scalar], report: Report) -> float:
        """Return the validation figure of ``metric``."""
        fitted = fit(
            of_one_process(self.training),
            params,
            self.train,
            self.validation,
            task=self.schema.task,
            classes=self.schema.classes,
            seed=self.seed,
            report=report,
            metric=self.metric,
        )
        figures = fold(
            figures_of(
                self.schema.task,
                predict_scores(fitted.estimator, X, self.schema.task),
                y,
                classes=self.schema.classes,
                edges=self.schema.target.edges,
            )
            for X, y in self.validation
        )
        value: float = figures.values()[self.metric]
        return value


def run_tune(
    context: StageContext, *, tuning: TuningConfig, training: TrainingConfig, seed: int
) -> StageResult:
    """Leave models/params.json: the parameters, and the key of this search.

    With ``tuning.trials: 0`` the learner's own defaults and ``training.params`` stand.
    """
    workspace = context.workspace
    manifest = ShardManifest.read(workspace.shards)
    key = _key(workspace, tuning, training, seed)
    if tuning.trials == 0:
        write_hashed(workspace.best_params, {"key": key, "params": {}, "trials": 0})
        return StageResult(stage="tune", facts={"trials": 0})
    _require_searchable(tuning, training, manifest, workspace)
    metric = chosen_metric(tuning.metric, manifest.schema.task, setting="tuning.metric")
    train, validation = (
        reduced_blocks(context, manifest, role).sample(tuning.max_rows)
        for role in (Role.TRAIN, Role.VALIDATION)
    )
    objective = Objective(training, train, validation, manifest.schema, metric, seed)
    tracker = context.tracker
    run_id = tracker.open_run(key, name=f"train {training.learner} {key[:8]}", tags={})
    study = search(
        objective,
        tuning.space or default_space(training.learner, manifest.schema.task),
        config=tuning,
        metric=metric,
        direction="maximize" if HIGHER_IS_BETTER[metric] else "minimize",
        seed=seed,
        storage=workspace.hidden / "studies" / f"{key[:16]}.log",
        engine=context.engine if tuning.workers > 1 else None,
        trial_bytes=_fit_bytes(training, train, manifest.schema),
        on_trial=lambda trial: tracker.log_trials(run_id, [trial]),
    )
    found = {"params": dict(study.best_params), "metric": metric, "value": study.best_value}
    write_hashed(workspace.best_params, {"key": key, **found, "trials": len(study.trials)})
    return StageResult(
        stage="tune",
        facts={"trials": len(study.trials), f"best_{metric}": study.best_value},
        tables={"trials": [_row(trial, metric) for trial in study.trials]},
        warnings=(*objective.train.warnings, *objective.validation.warnings, *_retried(study)),
    )


def _retried(study: Study) -> tuple[str, ...]:
    if not study.altered:
        return ()
    return (
        f"{study.altered} trials of this search were not what had been written, and were tried "
        "again: look at the disk",
    )


def _key(workspace: Workspace, tuning: TuningConfig, training: TrainingConfig, seed: int) -> str:
    """Names the search by all that its result depends on; how the model serves is not of it."""
    return hash_json(
        {
            "shards": hash_file(workspace.shards / "manifest.json"),
            "reducer": hash_files(workspace.reducer),
            "tuning": tuning.model_dump(mode="json", exclude=_not_named(tuning)),
            "training": training.model_dump(mode="json", exclude={"refit"}),
            "seed": seed,
        }
    )


def _not_named(tuning: TuningConfig) -> set[str]:
    """Settings on which the result does not depend; the wave of before has no name of its own."""
    default = TuningConfig.model_fields["wave"].default
    return {"workers"} if tuning.wave != default else {"workers", "wave"}


def _require_searchable(
    tuning: TuningConfig, training: TrainingConfig, manifest: ShardManifest, workspace: Workspace
) -> None:
    """Refuse now what could not be searched, or not be trained afterwards on all of the rows."""
    if not manifest.of(Role.VALIDATION):
        raise ConfigError(
            "tuning.trials: a search needs validation rows, and sharding.holdout.validation is 0",
            remedy="set tuning.trials to 0, or sharding.holdout.validation above 0",
        )
    for name, problem in unknown_parameters(training.learner, tuning.space).items():
        raise ConfigError(
            f"tuning.space.{name}: {problem}",
            remedy="correct tuning.space, or empty it: the learner then says where to search",
            parameter=name,
        )
    choose_strategy(
        training,
        rows=manifest.rows(Role.TRAIN),
        shard_rows=max(shard.file.rows for shard in manifest.of(Role.TRAIN)),
        n_features=len(load_reducer(workspace.reducer).get_feature_names_out()),
        task=manifest.schema.task,
        n_classes=len(manifest.schema.classes),
    )


def _fit_bytes(training: TrainingConfig, train: ReducedBlocks, schema: TableSchema) -> int:
    """What a trial's fit takes in its worker."""
    return choose_strategy(
        of_one_process(training),
        rows=sum(train.rows),
        n_features=len(train.names),
        task=schema.task,
        n_classes=len(schema.classes),
    ).needed_bytes


def _row(trial: Any, metric: str) -> dict[str, Any]:
    return {"trial": trial.number, "state": trial.state, metric: trial.value, **trial.params}
