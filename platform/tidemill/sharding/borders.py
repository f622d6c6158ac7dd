"""Borders that stay while rows come: of which shards, and what becomes of their balance."""

from __future__ import annotations

from tidemill.config import ShardingConfig
from tidemill.schema import Role, TableSchema
from tidemill.storage import ShardManifest

__all__ = ["REBALANCE", "borders_serve", "said_of_balance"]

REBALANCE = "tidemill shards rebalance"
_TIMES = 2
_FAR = 0.25


def borders_serve(before: ShardManifest, schema: TableSchema) -> bool:
    """Whether shards of the same settings have borders for rows of this schema.

    Columns and classes are to be the same; edges of histograms decide about no border.
    """
    return before.placed and _deciding(before.schema) == _deciding(schema)


def said_of_balance(shards: ShardManifest, config: ShardingConfig) -> tuple[str, ...]:
    """What to say of shards whose borders stayed: roles and files that left the measure.

    Roles, where another share of the rows has them than a quarter above or below what was asked
    for; files, where one is more than twice ``shard_mb``, or twice the mean of its role.
    """
    source = shards.of_origin("")
    rows = sum(shard.file.rows for shard in source.shards)
    test = config.holdout.test
    asked = {}
    if isinstance(test, float):
        asked[Role.TEST] = test
    # As drawn anew: of what test rows leave by then, which is not what they leave now.
    left = 1 - asked.get(Role.TEST, source.rows(Role.TEST) / rows)
    asked[Role.VALIDATION] = config.holdout.validation * left
    said = [
        f"{role.value} rows are {source.rows(role) / rows:.0%} of all, and "
        f"sharding.holdout asks for {share:.0%}: {REBALANCE} draws the borders anew"
        for role, share in asked.items()
        if abs(source.rows(role) / rows - share) > _FAR * share
    ]
    large = sum(_is_large(source, config, role) for role in Role)
    if large:
        said.append(
            f"{large:,} shards are more than {_TIMES} times as large as they should be: "
            f"{REBALANCE} cuts them anew"
        )
    return tuple(said)


def _is_large(shards: ShardManifest, config: ShardingConfig, role: Role) -> int:
    mine = shards.of(role)
    if not mine:
        return 0
    if config.shards == "auto":
        limit = _TIMES * (config.shard_mb << 20)
        return sum(shard.file.bytes > limit for shard in mine)
    mean = shards.rows(role) / len(mine)
    return sum(shard.file.rows > _TIMES * mean for shard in mine)


def _deciding(schema: TableSchema) -> tuple[object, ...]:
    columns = [(c.name, c.type, c.purpose, c.physical) for c in schema.columns]
    return columns, schema.task, schema.classes
