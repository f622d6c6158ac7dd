"""train: fit the learner over the training shards with the parameters that tuning found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tidemill.config import TrainingConfig
from tidemill.contracts import Fit
from tidemill.features import load_reducer
from tidemill.learning import (
    Calibration,
    Choice,
    calibrated_fit,
    choose_strategy,
    fit,
    require_threshold,
)
from tidemill.schema import Role
from tidemill.stages.ancestry import lessons_of
from tidemill.stages.blocks import reduced_blocks
from tidemill.stages.candidate import leave_candidate
from tidemill.stages.context import StageContext, StageResult
from tidemill.stages.picking import picked
from tidemill.storage import ShardManifest, read_output

__all__ = ["run_train"]


def run_train(context: StageContext, *, training: TrainingConfig, seed: int) -> StageResult:
    """Leave models/candidate: the pipeline of reducer and learner, and how it was trained.

    Raises
    ------
    BudgetExceeded
        If an in-memory fit would exceed ``training.memory_budget_mb``.
    """
    from sklearn.pipeline import Pipeline

    workspace = context.workspace
    training = picked(workspace, training)
    manifest = ShardManifest.read(workspace.shards)
    require_threshold(training.threshold, manifest.schema.task, manifest.rows(Role.VALIDATION))
    tuned = read_output(workspace.best_params, _tuned)
    reducer = load_reducer(workspace.reducer)
    choice = _chosen(training, manifest, len(reducer.get_feature_names_out()))
    params = tuned["params"] = {**tuned["params"], **training.params}
    fitted, calibration, warnings = _fitted(context, manifest, training, tuned, seed)
    facts = {
        "learner": training.learner,
        "strategy": choice.strategy,
        "rows": manifest.rows(Role.TRAIN),
        "iterations": fitted.n_iterations,
    }
    of_fit = {"curve": [list(point) for point in fitted.curve], "seed": seed}
    digest = leave_candidate(
        Pipeline([("reducer", reducer), ("learner", fitted.estimator)]),
        {
            **(facts | of_fit),
            "key": tuned["key"],
            "why": choice.why,
            "params": params,
            "schema": manifest.schema.to_json(),
            **calibration.noted(),
        },
        workspace.candidate,
        staged=workspace.work("train", "candidate"),
        manifest=manifest,
        shards=context.shards,
        learnt=lessons_of(context, manifest),
    )
    return StageResult(
        stage="train",
        facts={**facts, "candidate": digest[:12], "why": choice.why}
        | {"calibration": calibration.said, "threshold": calibration.threshold},
        tables={"parameters": [{"parameter": k, "value": v} for k, v in sorted(params.items())]},
        warnings=warnings,
    )


def _chosen(training: TrainingConfig, manifest: ShardManifest, n_features: int) -> Choice:
    return choose_strategy(
        training,
        rows=manifest.rows(Role.TRAIN),
        shard_rows=max(shard.file.rows for shard in manifest.of(Role.TRAIN)),
        n_features=n_features,
        task=manifest.schema.task,
        n_classes=len(manifest.schema.classes),
    )


def _fitted(
    context: StageContext,
    manifest: ShardManifest,
    training: TrainingConfig,
    tuned: Mapping[str, Any],
    seed: int,
) -> tuple[Fit, Calibration, tuple[str, ...]]:
    """The fit on the training rows, calibrated on validation rows, and what was said meanwhile.

    Rounds that cross-validation has found are not cut by the few validation rows.
    """
    train = reduced_blocks(context, manifest, Role.TRAIN)
    validation = reduced_blocks(context, manifest, Role.VALIDATION)
    rounds = tuned.get("rounds")
    fitted = fit(
        training,
        tuned["params"],
        train,
        validation if rounds is None else replace(validation, blocks=()),
        task=manifest.schema.task,
        classes=manifest.schema.classes,
        seed=seed,
        metric=tuned.get("metric", "auto"),
        rounds=rounds,
        engine=context.engine,
    )
    fitted, calibration = calibrated_fit(fitted, validation, manifest.schema.task, training)
    return fitted, calibration, (*train.warnings, *validation.warnings, *fitted.warnings)


def _tuned(document: dict[str, Any]) -> dict[str, Any]:
    """What tune left, with all that is read of it."""
    return {
        **document,
        "key": str(document["key"]),
        "params": dict(document["params"]),
        "metric": str(document["metric"]),
    }
