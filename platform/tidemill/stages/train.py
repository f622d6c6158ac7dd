"""train: fit the learner over the training shards with the parameters that tuning found."""

from __future__ import annotations

from typing import Any

from tidemill.config import TrainingConfig
from tidemill.features import load_reducer
from tidemill.learning import choose_strategy, fit
from tidemill.schema import Role
from tidemill.stages.ancestry import lessons_of
from tidemill.stages.blocks import reduced_blocks
from tidemill.stages.candidate import leave_candidate
from tidemill.stages.context import StageContext, StageResult
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
    manifest = ShardManifest.read(workspace.shards)
    schema = manifest.schema
    tuned = read_output(workspace.best_params, _tuned)
    reducer = load_reducer(workspace.reducer)
    choice = choose_strategy(
        training,
        rows=manifest.rows(Role.TRAIN),
        n_features=len(reducer.get_feature_names_out()),
        task=schema.task,
        n_classes=len(schema.classes),
    )
    params = {**tuned["params"], **training.params}
    train = reduced_blocks(context, manifest, Role.TRAIN)
    validation = reduced_blocks(context, manifest, Role.VALIDATION)
    fitted = fit(
        training,
        params,
        train,
        validation,
        task=schema.task,
        classes=schema.classes,
        seed=seed,
        metric=tuned.get("metric", "auto"),
    )
    document: dict[str, Any] = {
        "key": tuned["key"],
        "learner": training.learner,
        "strategy": choice.strategy,
        "why": choice.why,
        "params": params,
        "iterations": fitted.n_iterations,
        "curve": [list(point) for point in fitted.curve],
        "rows": manifest.rows(Role.TRAIN),
        "seed": seed,
        "schema": schema.to_json(),
    }
    digest = leave_candidate(
        Pipeline([("reducer", reducer), ("learner", fitted.estimator)]),
        document,
        workspace.candidate,
        staged=workspace.work("train", "candidate"),
        manifest=manifest,
        shards=workspace.shards,
        learnt=lessons_of(context, manifest),
    )
    return StageResult(
        stage="train",
        facts={
            "learner": training.learner,
            "strategy": choice.strategy,
            "rows": manifest.rows(Role.TRAIN),
            "iterations": fitted.n_iterations,
            "candidate": digest[:12],
            "why": choice.why,
        },
        tables={"parameters": [{"parameter": k, "value": v} for k, v in sorted(params.items())]},
        warnings=(*train.warnings, *validation.warnings),
    )


def _tuned(document: dict[str, Any]) -> dict[str, Any]:
    """What tune left, with all that is read of it."""
    return {**document, "key": str(document["key"]), "params": dict(document["params"])}
