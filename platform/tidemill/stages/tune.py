"""tune: search the learner's parameters on the training blocks, judged on validation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tidemill.config import TrainingConfig, TuningConfig
from tidemill.contracts import Blocks, Scalar, Shelf, Trial
from tidemill.errors import ConfigError
from tidemill.features import load_reducer
from tidemill.learners import (
    default_space,
    default_values,
    parameter_names,
    rare_defaults,
    unknown_parameters,
)
from tidemill.learning import (
    choose_strategy,
    fit,
    of_one_process,
    predict_scores,
    require_threshold,
)
from tidemill.metrics import HIGHER_IS_BETTER, figures_of
from tidemill.profiling import fold
from tidemill.schema import Role, TableSchema
from tidemill.stages.blocks import ReducedBlocks, reduced_blocks
from tidemill.stages.context import StageContext, StageResult
from tidemill.stages.cross_validation import FOLDS, CrossValidation, is_small
from tidemill.stages.deciding import ChosenMetric, choose_metric, training_shares
from tidemill.stages.picking import picked
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

_FEWEST_ROWS = 10_000
_FEWEST_OF_A_CLASS = 500
"""Rows, and of them of the rarest class, that the first rung of a scheduler learns at least."""


@dataclass(frozen=True)
class Objective:
    """One trial: fit on a bounded part of the training blocks, score on validation blocks.

    Of a share of the rows it learns the first ones of each block, so that a larger share holds a
    smaller one, and is judged by like rows, at least twice ``fewest_rows``.
    """

    training: TrainingConfig
    train: ReducedBlocks
    validation: ReducedBlocks
    schema: TableSchema
    metric: str
    seed: int
    fewest_rows: int
    shelf: Shelf = field(default_factory=Shelf, compare=False)

    @property
    def learnt(self) -> ReducedBlocks:
        """What a trial learns."""
        return self.train

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was said while the rows were reduced."""
        return (*self.train.warnings, *self.validation.warnings)

    def __call__(self, params: dict[str, Scalar], report: Report) -> float:
        """Return the validation figure of ``metric``."""
        train, validation = self.rows_of(report.share)
        fitted = fit(
            of_one_process(self.training),
            params,
            train,
            validation,
            task=self.schema.task,
            classes=self.schema.classes,
            seed=self.seed,
            report=report,
            metric=self.metric,
            shelf=self.shelf,
        )
        figures = fold(
            figures_of(
                self.schema.task,
                predict_scores(fitted.estimator, X, self.schema.task),
                y,
                classes=self.schema.classes,
                edges=self.schema.target.edges,
            )
            for X, y in validation
        )
        value: float = figures.values()[self.metric]
        return value

    def rows_of(self, share: float) -> tuple[ReducedBlocks, ReducedBlocks]:
        """What a trial of that share learns, and what judges it."""
        learnt, judging = (sum(blocks.rows) for blocks in (self.train, self.validation))
        return (
            self.train.sample(math.ceil(share * learnt)),
            self.validation.sample(max(math.ceil(share * judging), 2 * self.fewest_rows)),
        )


def run_tune(
    context: StageContext, *, tuning: TuningConfig, training: TrainingConfig, seed: int
) -> StageResult:
    """Leave models/params.json: the parameters, and the key of this search.

    Trial 0 has none, so that nothing worse than the learner's own defaults is found. A small
    table's trials are judged by cross-validation (``tuning.folds``), which also says how many
    rounds the judged model learns; there a trial must beat the defaults by more than its error.
    With ``tuning.trials: 0`` the defaults and ``training.params`` stand. Where the positive class
    is rare, the defaults are the learner's for that.
    """
    workspace = context.workspace
    training = picked(workspace, training)
    manifest = ShardManifest.read(workspace.shards)
    task, held_out = manifest.schema.task, manifest.rows(Role.VALIDATION)
    require_threshold(training.threshold, task, held_out)  # train would, after the search
    chosen = choose_metric(tuning.metric, manifest, context.shards, setting="tuning.metric")
    of_key = {"key": _key(workspace, tuning, training, seed), "metric": chosen.name}
    metric, rare = chosen.name, _rare_params(chosen, tuning, training)
    training = training.model_copy(update={"params": {**rare, **training.params}})
    crossed = _crossed(context, manifest, tuning, training, metric=metric, seed=seed)
    if tuning.trials == 0:
        found = {} if crossed is None else _learnt_by_folds(crossed, {})
        write_hashed(workspace.best_params, {**of_key, "trials": 0, **found, "params": rare})
        told = {"trials": 0, **_told_of_folds(crossed), "metric": chosen.said}
        return StageResult(stage="tune", facts=told)
    _require_searchable(tuning, training, manifest, workspace, crossed)
    objective = crossed or _on_validation(context, manifest, tuning, training, metric, seed)
    if crossed is not None:  # folds learn all rows of a table that is small
        tuning = tuning.model_copy(update={"scheduler": "none"})
    space = tuning.space or default_space(training.learner, task, rare=chosen.rare)
    study = _searched(context, tuning, training, objective, manifest, space, of_key["key"])
    found = {"params": dict(study.best_params), "value": study.best_value}
    if crossed is not None:
        found |= _learnt_by_folds(crossed, study.best_params)
    found["params"] = {**rare, **found["params"]}
    write_hashed(workspace.best_params, {**of_key, **found, "trials": len(study.trials)})
    return StageResult(
        stage="tune",
        facts={
            "trials": len(study.trials),
            f"best_{metric}": found["value"],
            **_told_of_folds(crossed),
            **_told_of_rungs(study, objective),
            "metric": chosen.said,
        },
        tables={"trials": [_row(trial, metric) for trial in study.trials]},
        warnings=(*objective.warnings, *_retried(study), *_cut(study)),
    )


def _searched(
    context: StageContext,
    tuning: TuningConfig,
    training: TrainingConfig,
    objective: Objective | CrossValidation,
    manifest: ShardManifest,
    space: dict[str, dict[str, Any]],
    key: str,
) -> Study:
    tracker, schema = context.tracker, manifest.schema
    run_id = tracker.open_run(key, name=f"train {training.learner} {key[:8]}", tags={})
    own = {**default_values(training.learner, space), **training.params}
    own = {name: own[name] for name in space}
    study = search(
        objective,
        space,
        config=tuning,
        metric=objective.metric,
        direction="maximize" if HIGHER_IS_BETTER[objective.metric] else "minimize",
        seed=objective.seed,
        storage=context.workspace.hidden / "studies" / f"{key[:16]}.log",
        engine=context.engine if tuning.workers > 1 else None,
        trial_bytes=_fit_bytes(training, objective.learnt, schema),
        on_trial=lambda trial: tracker.log_trials(run_id, [_with(own, trial)]),
        defaults=True,
        least_share=_least_share(objective),
    )
    return replace(study, trials=tuple(_with(own, trial) for trial in study.trials))


def _rare_params(
    chosen: ChosenMetric, tuning: TuningConfig, training: TrainingConfig
) -> dict[str, Scalar]:
    """The learner's defaults for a rare class, of what the search does not try."""
    known = parameter_names(training.learner)
    tried = {known.get(name) for name in tuning.space}
    rare = rare_defaults(training.learner) if chosen.rare else {}
    return {name: value for name, value in rare.items() if name not in tried}


def _with(own: Mapping[str, Scalar], trial: Trial) -> Trial:
    """The trial, its parameters said where the learner's own stood."""
    return replace(trial, params={**own, **trial.params})


def _on_validation(
    context: StageContext,
    manifest: ShardManifest,
    tuning: TuningConfig,
    training: TrainingConfig,
    metric: str,
    seed: int,
) -> Objective:
    train, validation = (
        reduced_blocks(context, manifest, role).sample(tuning.max_rows)
        for role in (Role.TRAIN, Role.VALIDATION)
    )
    fewest = _fewest_rows(training_shares(manifest, context.shards))
    return Objective(training, train, validation, manifest.schema, metric, seed, fewest)


def _fewest_rows(shares: tuple[float, ...]) -> int:
    """Rows from which a trial tells something: of the rarest class there are enough among them."""
    rarest = min((share for share in shares if share > 0), default=1.0)
    return max(_FEWEST_ROWS, math.ceil(_FEWEST_OF_A_CLASS / rarest))


def _least_share(objective: Objective | CrossValidation) -> float:
    """Of the rows, what the first rung learns at least."""
    if isinstance(objective, CrossValidation):
        return 1.0
    return objective.fewest_rows / sum(objective.train.rows)


def _crossed(
    context: StageContext,
    manifest: ShardManifest,
    tuning: TuningConfig,
    training: TrainingConfig,
    *,
    metric: str,
    seed: int,
) -> CrossValidation | None:
    """What judges by folds; None where validation rows do, or no two folds can."""
    auto = tuning.folds == "auto"
    folds = (FOLDS if is_small(manifest) else 0) if auto else int(tuning.folds)
    if folds == 0:
        return None
    blocks = [reduced_blocks(context, manifest, role) for role in (Role.TRAIN, Role.VALIDATION)]
    rows = blocks[0].followed_by(blocks[1]).sample(tuning.max_rows)
    crossed = CrossValidation.of(
        context, manifest, rows, training, folds=folds, metric=metric, seed=seed
    )
    if len(crossed.splits) >= 2:
        return crossed
    if auto:
        return None
    raise ConfigError(
        f"tuning.folds: {folds} folds of {sum(crossed.rows.rows)} rows leave none that learns all "
        "classes and holds out two",
        remedy="set tuning.folds to 0, or give more rows of each class",
    )


def _learnt_by_folds(crossed: CrossValidation, params: dict[str, Scalar]) -> dict[str, Any]:
    """What the folds say of the parameters, or of the defaults where those are as good."""
    judged = crossed.judge({})
    if params:
        best = crossed.judge(params)
        lead = crossed.lead(best, judged)
        if lead.value > lead.error:
            judged = best
        else:
            params = {}
    return {
        "params": params,
        "value": judged.value,
        "error": judged.error,
        "rounds": judged.rounds,
        "folds": len(crossed.splits),
    }


def _retried(study: Study) -> tuple[str, ...]:
    if not study.altered:
        return ()
    return (
        f"{study.altered} trials of this search were not what had been written, and were tried "
        "again: look at the disk",
    )


def _cut(study: Study) -> tuple[str, ...]:
    if study.complete:
        return ()
    return (
        f"the search was cut after {len(study.trials)} trials, by tuning.timeout_seconds or "
        "tuning.cpu_seconds: on another machine it may find something else",
    )


def _key(workspace: Workspace, tuning: TuningConfig, training: TrainingConfig, seed: int) -> str:
    """Names the search by all that its result depends on; not how a model serves."""
    return hash_json(
        {
            "shards": hash_file(workspace.shards / "manifest.json"),
            "reducer": hash_files(workspace.reducer),
            "trial_0": "defaults",
            "tuning": tuning.model_dump(mode="json", exclude=_not_named(tuning)),
            "training": training.model_dump(mode="json", exclude=_AFTER),
            "seed": seed,
        }
    )


_AFTER = {"refit", "calibration", "threshold"}
"""Settings of what becomes of a fit."""


def _not_named(tuning: TuningConfig) -> set[str]:
    """Settings on which the result does not depend; the wave of before has no name of its own."""
    default = TuningConfig.model_fields["wave"].default
    return {"workers"} if tuning.wave != default else {"workers", "wave"}


def _require_searchable(
    tuning: TuningConfig,
    training: TrainingConfig,
    manifest: ShardManifest,
    workspace: Workspace,
    crossed: CrossValidation | None,
) -> None:
    """Refuse now what could not be searched, or not be trained afterwards on all of the rows."""
    if crossed is None and not manifest.of(Role.VALIDATION):
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


def _fit_bytes(training: TrainingConfig, train: Blocks, schema: TableSchema) -> int:
    """What a trial's fit takes in its worker."""
    return choose_strategy(
        of_one_process(training),
        rows=sum(train.rows),
        n_features=len(train.names),
        task=schema.task,
        n_classes=len(schema.classes),
    ).needed_bytes


def _told_of_folds(crossed: CrossValidation | None) -> dict[str, int]:
    return {} if crossed is None else {"folds": len(crossed.splits)}


def _told_of_rungs(study: Study, objective: Objective | CrossValidation) -> dict[str, str]:
    """How many trials learnt how many rows; nothing of a search without rungs."""
    trials = Counter(trial.share for trial in study.trials)
    if isinstance(objective, CrossValidation) or len(trials) == 1:
        return {}
    rungs = [
        f"{count} on {sum(objective.rows_of(share)[0].rows):,}"
        for share, count in sorted(trials.items())
    ]
    return {"rungs": f"{', '.join(rungs)} rows"}


def _row(trial: Trial, metric: str) -> dict[str, Any]:
    share = {} if trial.share == 1 else {"share": trial.share}
    return {
        "trial": trial.number,
        "state": trial.state,
        **share,
        metric: trial.value,
        **trial.params,
    }
