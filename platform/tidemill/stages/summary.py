"""The figures of a run, read from what its stages left, whether they ran or were current."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tidemill.stages.register import registration_record
from tidemill.storage import (
    ShardManifest,
    ValidatedManifest,
    Workspace,
    read_json,
)
from tidemill.versioning import Versions

__all__ = ["summarise"]


def summarise(workspace: Workspace) -> dict[str, Any]:
    """Return the facts of reports/summary.json for the stages that have left output."""
    facts: dict[str, Any] = {}
    if (workspace.validated / "manifest.json").is_file():
        parts = ValidatedManifest.read(workspace.validated).parts
        facts["rows_read"] = sum(part.rows_read for part in parts)
        facts["rows_valid"] = sum(part.file.rows for part in parts)
        facts["rows_quarantined"] = sum(part.rows_quarantined for part in parts)
    if (workspace.shards / "manifest.json").is_file():
        shards = ShardManifest.read(workspace.shards).shards
        facts["shards"] = len(shards)
        facts["blocks"] = sum(len(shard.file.blocks) for shard in shards)
    reduction = _read(workspace.reports / "reduction.json")
    facts |= {key: reduction[key] for key in ("features_in", "features_out") if reduction}
    training = _read(workspace.candidate / "training.json")
    facts |= {key: training[key] for key in ("learner", "strategy") if training}
    metrics = _read(workspace.reports / "metrics.json")
    if metrics:
        metric = metrics["metric"]
        facts["metric"] = metric
        facts["challenger"] = metrics["test"][metric]
        facts["baseline"] = metrics["baseline"][metric]
    record = _read(registration_record(workspace.root))
    if record:
        facts["champion"] = (
            facts.get("challenger") if record["promoted"] else record["champion_value"]
        )
        facts |= {
            key: record[key]
            for key in ("promoted", "promotion_reason", "model", "version", "run_id")
        }
    facts["dataset_version"] = Versions(workspace.root).dataset_version()
    return facts


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = read_json(path) if path.is_file() else {}
    return document
