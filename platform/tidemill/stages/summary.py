"""The figures of a run, read from what its stages left, whether they ran or were current."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from tidemill.schema import Task
from tidemill.stages.own import own_figures
from tidemill.stages.refit import REFIT
from tidemill.stages.register import noted_registration
from tidemill.storage import (
    ShardManifest,
    ValidatedManifest,
    Workspace,
    read_json,
)
from tidemill.versioning import Versions

__all__ = ["summarise"]


def summarise(
    workspace: Workspace, stages: Collection[str], own: Collection[str] = ()
) -> dict[str, Any]:
    """Return the facts of reports/summary.json that ``stages`` have left, ``own`` among them."""
    facts: dict[str, Any] = {}
    for stage, read in _FACTS.items():
        if stage in stages:
            facts |= read(workspace)
    if "register" in stages:
        facts["champion"] = (
            facts["challenger"] if facts["promoted"] else facts.pop("champion_value")
        )
        facts.pop("champion_value", None)
    if "shard" in stages:
        facts["dataset_version"] = Versions(workspace.root).dataset_version()
    if figures := {name: own_figures(workspace, name) for name in own if name in stages}:
        facts["own_stages"] = figures
    return facts


def _of_ingest(workspace: Workspace) -> dict[str, Any]:
    parts = ValidatedManifest.read(workspace.validated).parts
    passed_over = sum(part.rows_passed_over for part in parts)
    return {
        **({"rows_passed_over": passed_over} if passed_over else {}),
        "rows_read": sum(part.rows_read for part in parts),
        "rows_valid": sum(part.file.rows for part in parts),
        "rows_quarantined": sum(part.rows_quarantined for part in parts),
    }


def _of_shard(workspace: Workspace) -> dict[str, Any]:
    manifest = ShardManifest.read(workspace.shards)
    shards, schema = manifest.shards, manifest.schema
    return {
        "shards": len(shards),
        "blocks": sum(len(shard.file.blocks) for shard in shards),
        **({"positive_class": schema.classes[-1]} if schema.task is Task.BINARY else {}),
    }


def _of_reduce(workspace: Workspace) -> dict[str, Any]:
    reduction = read_json(workspace.reports / "reduction.json")
    return {key: reduction[key] for key in ("features_in", "features_out")}


def _of_train(workspace: Workspace) -> dict[str, Any]:
    training = read_json(workspace.candidate / "training.json")
    return {key: training[key] for key in ("learner", "strategy")}


def _of_refit(workspace: Workspace) -> dict[str, Any]:
    return {"rows_serving": read_json(workspace.serving / REFIT)["rows"]}


def _of_evaluate(workspace: Workspace) -> dict[str, Any]:
    metrics = read_json(workspace.reports / "metrics.json")
    metric = metrics["metric"]
    operating = metrics.get("operating", {})
    return {
        "metric": metric,
        "challenger": metrics["test"][metric],
        "challenger_error": metrics.get("test_error", {}).get(metric),
        "baseline": metrics["baseline"][metric],
        **{name: operating[name] for name in ("threshold", "precision", "recall") if operating},
        "known_test_share": metrics.get("copies", {}).get("share"),
        "no_better_than_dummy": "; ".join(metrics.get("no_better_than_dummy", ())) or None,
        "weakest_slice": next(map(_in_words, metrics.get("weakest_slices", ())), None),
    }


def _in_words(weak: Mapping[str, Any]) -> str:
    """A slice as evaluate left it: its loss with the error, and that of the other rows."""
    return (
        f"{weak['name']}: a loss of {weak['loss']:.4g} ± {weak['error']:.2g} on {weak['rows']:,} "
        f"test rows, {weak['others']:.4g} on the others"
    )


def _of_register(workspace: Workspace) -> dict[str, Any]:
    record = noted_registration(workspace.root)
    kept = ("champion_value", "promoted", "promotion_reason", "model", "version", "run_id")
    figures = read_json(workspace.reports / "metrics.json")
    metric = record.get("metric", figures["metric"])  # the champion's may have judged
    return {
        **{key: record[key] for key in kept},
        "metric": metric,
        "challenger": figures["test"][metric],
        "baseline": figures["baseline"][metric],
    }


_FACTS: dict[str, Callable[[Workspace], dict[str, Any]]] = {
    "ingest": _of_ingest,
    "shard": _of_shard,
    "reduce": _of_reduce,
    "train": _of_train,
    "evaluate": _of_evaluate,
    "refit": _of_refit,
    "register": _of_register,
}
