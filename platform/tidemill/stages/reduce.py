"""reduce: fit the feature map on the training shards."""

from __future__ import annotations

from typing import Any

from tidemill.config import ReductionConfig, TrainingConfig, TuningConfig
from tidemill.errors import first_few
from tidemill.features import CORRELATED_COLUMNS, ReductionReport, fit_reducer, save_reducer
from tidemill.learners import AUTO
from tidemill.stages.context import StageContext, StageResult
from tidemill.stages.picking import Pick, pick_learner
from tidemill.storage import ShardManifest, commit_directory, fresh_directory, write_hashed

__all__ = ["run_reduce"]


def _many(report: ReductionReport) -> list[dict[str, Any]]:
    """What became of columns with more categories than are kept, in words."""
    return [
        {
            "feature": one["feature"],
            "categories": one["categories"],
            "told": "the target's mean in each" if one["encoded"] else "what is kept",
            "why": one["why"],
        }
        for one in report.high_cardinality
    ]


def _texts(report: ReductionReport) -> list[dict[str, Any]]:
    """What became of columns of free text, in words."""
    return [
        {
            "feature": one["feature"],
            "told": "a score of its words" if one["encoded"] else "nothing",
            "why": one["why"],
        }
        for one in report.free_text
    ]


def run_reduce(
    context: StageContext,
    *,
    reduction: ReductionConfig,
    training: TrainingConfig,
    tuning: TuningConfig,
    seed: int,
) -> StageResult:
    """Leave models/reducer and reports/reduction.json.

    With ``training.learner: auto`` the learner is picked first, since it says how rows had better
    be reduced; the pick stands beside the reducer, for the stages after it.
    """
    workspace = context.workspace
    manifest = ShardManifest.read(workspace.shards)
    pick: Pick | None = None
    if training.learner == AUTO:
        pick, (reducer, report) = pick_learner(
            context, manifest, reduction=reduction, training=training, tuning=tuning, seed=seed
        )
    else:
        own = reduction.for_learner(training.learner)
        reducer, report = fit_reducer(
            manifest, context.shards, own, engine=context.engine, progress=context.progress
        )
    document = report.to_json()
    by_words = [one["feature"] for one in report.free_text if one["encoded"]]
    by_target = [one["feature"] for one in report.high_cardinality if one["encoded"]]
    staged = fresh_directory(workspace.work("reduce", "reducer"))
    save_reducer(reducer, staged)
    if pick is not None:
        pick.save(staged)
    write_hashed(workspace.reports / "reduction.json", document)
    commit_directory(staged, workspace.reducer)
    return StageResult(
        stage="reduce",
        facts={
            "features_in": report.features_in,
            "features_out": report.features_out,
            **({"encoded_by_target": first_few(by_target, 5)} if by_target else {}),
            **({"scored_texts": first_few(by_words, 5)} if by_words else {}),
            **_told_of(pick),
        },
        tables=_tables(report, pick),
        warnings=_warnings(report),
    )


def _told_of(pick: Pick | None) -> dict[str, str]:
    return {} if pick is None else {"learner": pick.learner, "learner_why": pick.why}


def _tables(report: ReductionReport, pick: Pick | None) -> dict[str, list[dict[str, Any]]]:
    dropped = [{"feature": name, "reason": reason} for name, reason in report.dropped.items()]
    return {
        **({} if pick is None else {"learners": pick.rows()}),
        "dropped": dropped,
        **({"many_categories": _many(report)} if report.high_cardinality else {}),
        **({"free_text": _texts(report)} if report.free_text else {}),
    }


def _warnings(report: ReductionReport) -> tuple[str, ...]:
    if report.redundancy != "copies":
        return ()
    return (
        f"more than {CORRELATED_COLUMNS:,} encoded columns: only copies were dropped, "
        "reduction.max_correlation was not applied",
    )
