"""shard: validated rows become shards of blocks, each with a role and a profile."""

from __future__ import annotations

from tidemill.config import ShardingConfig
from tidemill.schema import Role
from tidemill.sharding import shard
from tidemill.stages.context import StageContext, StageResult
from tidemill.storage import ValidatedManifest, discard_directory, hash_file, hash_json

__all__ = ["run_shard"]


def run_shard(context: StageContext, *, sharding: ShardingConfig, seed: int) -> StageResult:
    """Leave data/shards; a killed run continues after its last finished piece or shard."""
    workspace = context.workspace
    manifest = ValidatedManifest.read(workspace.validated)
    key = hash_json(
        {
            "validated": hash_file(workspace.validated / "manifest.json"),
            "sharding": sharding.model_dump(mode="json"),
            "seed": seed,
        }
    )
    work = workspace.work("shard", key[:16])
    shards = shard(
        manifest,
        workspace.validated,
        sharding,
        dataset_key=manifest.schema.key.name if manifest.schema.key else None,
        seed=seed,
        engine=context.engine,
        work=work,
        out=workspace.shards,
        progress=context.progress,
    )
    discard_directory(work.parent)
    return StageResult(
        stage="shard",
        facts={
            "shards": len(shards.shards),
            "blocks": sum(len(entry.file.blocks) for entry in shards.shards),
            **{f"rows_{role.value}": shards.rows(role) for role in Role},
        },
        tables={
            "shards": [
                {
                    "shard": entry.id,
                    "role": entry.role.value,
                    "rows": entry.file.rows,
                    "blocks": len(entry.file.blocks),
                    "mb": round(entry.file.bytes / 1e6, 1),
                }
                for entry in shards.shards
            ]
        },
    )
