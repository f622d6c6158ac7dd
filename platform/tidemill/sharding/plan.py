"""The plan: which rows go to which shard, decided before any row moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.bucket_rules import BUCKET_RULES
from tidemill.config import ShardingConfig
from tidemill.contracts import BucketRule
from tidemill.errors import ColumnMissing, ConfigError, TooFewRows
from tidemill.schema import ColumnType, Role, TableSchema, Task
from tidemill.sharding.facts import Wanted, wanted_by
from tidemill.sharding.holdout import Shares, asked_roles, rule_of
from tidemill.sharding.roles import LEFT_OUT, ROLE_RULES, ROLES, RoleRule, kept_rule
from tidemill.sharding.survey import Survey, sample_values
from tidemill.storage import ShardManifest, ValidatedManifest, hash_json, salted_hash

__all__ = ["ShardPlan", "make_plan", "needs_survey", "row_bytes", "wanted_facts"]

_MIN_SHARD_ROWS = 32_768
_MIN_SHARDS = 4
_GROUP_BYTES = 16 << 20
_WIDTHS = {"bool": 1, "float32": 4, "dictionary": 4, "string": 24}
_TEXT = 488  # beyond that, of free text


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """Gives each row its slot, a number for every pair of role and bucket.

    Parameters
    ----------
    strategy : str
    by : str or None
    wanted : Wanted
    physical : str
        Type of the sharding column's boundaries; ``hash`` where they cut the hash space.
    rule : RoleRule
    buckets : BucketRule
    cuts : dict of Role to tuple of str
        Boundaries of the buckets of each role that has rows, as text.
    groups : int
        Groups that each shard's rows are dealt to, one after the other in the file.
    order_salt : str or None
        Rows of a shard are ordered by their salted position; None keeps source order.
    """

    strategy: str
    by: str | None
    wanted: Wanted
    physical: str
    rule: RoleRule
    buckets: BucketRule
    cuts: dict[Role, tuple[str, ...]]
    groups: int
    order_salt: str | None

    @property
    def slots(self) -> tuple[tuple[Role, int], ...]:
        """Role and bucket of each slot, in manifest order."""
        return tuple(
            (role, bucket)
            for role, cuts in self.cuts.items()
            for bucket in range(self.buckets.count(cuts))
        )

    @property
    def holdout(self) -> dict[str, Any]:
        """The rule and the column that it hashes, for the manifest."""
        column = {"column": self.wanted.hash_column} if self.wanted.hashed else {}
        return {**self.rule.to_json(), **column}

    @property
    def digest(self) -> str:
        """Names everything that decides where a row goes."""
        return hash_json(
            [
                self.holdout,
                {role.value: cuts for role, cuts in self.cuts.items()},
                [self.strategy, self.by, self.physical, self.groups, self.order_salt],
                self.wanted.placed,
            ]
        )

    def slot_of(self, facts: pa.Table) -> npt.NDArray[np.int64]:
        """Slot of each row, or -1 for rows that are left out; (rows,) int64.

        Raises
        ------
        ConfigError
            If the strategy gives a row no bucket.
        """
        roles = self.rule.assign(facts)
        slots = np.full(len(roles), LEFT_OUT, np.int64)
        values = facts["value"].combine_chunks()
        offset = 0
        for role, cuts in self.cuts.items():
            chosen = roles == ROLES.index(role)
            mine = values.filter(pa.array(chosen))
            slots[chosen] = offset + self._buckets_of(mine, cuts)
            offset += self.buckets.count(cuts)
        return slots

    def _buckets_of(self, values: pa.Array, cuts: tuple[str, ...]) -> npt.NDArray[np.int64]:
        """The bucket of each value, as the rule says; one without would be a row that is lost."""
        found = np.asarray(self.buckets.bucket(values, cuts, self.physical))
        count = self.buckets.count(cuts)
        if found.shape != (len(values),) or found.dtype.kind not in "iu":
            raise _no_rule(
                self.strategy, f"gave {found.shape} {found.dtype} for {len(values)} rows"
            )
        if len(found) and not 0 <= found.min() <= found.max() < count:
            beyond = int(found.min() if found.min() < 0 else found.max())
            raise _no_rule(self.strategy, f"gave a row bucket {beyond} of {count}")
        return found.astype(np.int64, copy=False)

    def order_of(self, facts: pa.Table) -> npt.NDArray[np.uint64] | None:
        """Where each row comes in its shard, or None for source order; (rows,) uint64."""
        if self.order_salt is None:
            return None
        return salted_hash(facts["position"].to_numpy().astype(np.uint64), self.order_salt)


def wanted_facts(schema: TableSchema, config: ShardingConfig, dataset_key: str | None) -> Wanted:
    """The facts that the configured strategy and holdout look at.

    Raises
    ------
    ColumnMissing
        If a column they need is not in the data.
    ConfigError
        If a regression is to be stratified.
    """
    by = config.holdout.by
    if by == "stratified" and schema.task is Task.REGRESSION:
        raise ConfigError(
            "sharding.holdout.by: stratified needs classes, and the target is a number",
            remedy="set sharding.holdout.by to hash, time, order or file",
        )
    roles, buckets = ROLE_RULES[by].wants, BUCKET_RULES[config.strategy]().wants
    time = schema.time.name if schema.time is not None else None
    if time is None and (buckets == "time" or "time" in roles):
        raise ConfigError(
            "sharding by time needs a time column", remedy="set dataset.time, or shard by hash"
        )
    value = time if buckets == "time" else config.by or dataset_key
    _require(value, schema, "sharding.by" if config.by else "dataset.key")
    _require(dataset_key, schema, "dataset.key")
    return wanted_by(roles, buckets, schema, hash_column=dataset_key, column=value)


def needs_survey(config: ShardingConfig) -> bool:
    """Whether a plan needs more than row counts."""
    rule = BUCKET_RULES[config.strategy]()
    # Times are looked at because none may be missing; classes, to be divided evenly.
    looked_at = {rule.wants, *ROLE_RULES[config.holdout.by].wants}
    return rule.sampled or not looked_at.isdisjoint({"time", "class"})


def make_plan(
    manifest: ValidatedManifest,
    config: ShardingConfig,
    wanted: Wanted,
    survey: Survey | None,
    *,
    seed: int,
    like: ShardManifest | None = None,
) -> ShardPlan:
    """Decide roles, number of shards and boundaries; or take over those of shards that stand.

    Raises
    ------
    TooFewRows
        If a role would be empty, or there are more shards than rows.
    ConfigError
        If the strategy's boundaries are no texts, or make more buckets than were asked for.
    """
    buckets = BUCKET_RULES[config.strategy]()
    rule, shares = rule_of(config.holdout, manifest, survey, salt=holdout_salt(seed))
    physical = "hash"
    if wanted.value is not None and not wanted.value_hashed:
        physical = manifest.schema[wanted.value].physical
    if like is None:
        counts = _shard_counts(manifest, config, shares)
        cuts = {
            role: _fitted(
                config.strategy, buckets, _sample_of(role, rule, buckets, survey), n, physical
            )
            for role, n in counts.items()
        }
    else:
        rule, stay = kept_rule(like.holdout) or rule, like.boundaries
        cuts = {role: stay[role.value] for role in ROLES if role.value in stay}
        counts = {role: buckets.count(found) for role, found in cuts.items()}
    shuffled = not buckets.monotone and manifest.schema.time is None
    shard_rows = max(manifest.rows * shares[role] / counts[role] for role in counts)
    groups = int(shard_rows * row_bytes(manifest.schema)) // _GROUP_BYTES + 1
    return ShardPlan(
        strategy=config.strategy,
        by=wanted.value,
        wanted=wanted,
        physical=physical,
        rule=rule,
        buckets=buckets,
        cuts=cuts,
        groups=groups if shuffled else 1,
        order_salt=f"order:{seed}" if shuffled else None,
    )


def _fitted(
    strategy: str, buckets: BucketRule, sample: pa.Array | None, asked: int, physical: str
) -> tuple[str, ...]:
    """Boundaries as a manifest can hold them."""
    cuts = tuple(buckets.fit(sample, asked, physical))
    if not all(isinstance(cut, str) for cut in cuts):
        raise _no_rule(strategy, f"has boundaries that are no texts: {cuts[:3]}")
    if not 1 <= buckets.count(cuts) <= asked:
        raise _no_rule(strategy, f"made {buckets.count(cuts)} buckets where {asked} were asked for")
    return cuts


def _no_rule(strategy: str, how: str) -> ConfigError:
    return ConfigError(
        f"sharding.strategy: {strategy} {how}",
        remedy="set sharding.strategy to another one; its author finds the clause in "
        "tidemill.contracts.BucketRule",
        strategy=strategy,
    )


def holdout_salt(seed: int) -> str:
    """Salt of the hash that decides roles."""
    return f"holdout:{seed}"


def row_bytes(schema: TableSchema) -> int:
    """About how many bytes a row takes in memory."""
    texts = sum(column.type is ColumnType.TEXT for column in schema.columns)
    return 8 + _TEXT * texts + sum(_WIDTHS.get(c.physical, 8) for c in schema.columns)


def _require(column: str | None, schema: TableSchema, setting: str) -> None:
    if column is not None and column not in schema.names:
        raise ColumnMissing(column=column, available=schema.names, setting=setting)


def _shard_counts(
    manifest: ValidatedManifest, config: ShardingConfig, shares: Shares
) -> dict[Role, int]:
    asked = asked_roles(config.holdout)
    if config.shards != "auto":
        if config.shards > manifest.rows:
            raise TooFewRows(
                f"sharding.shards asks for {config.shards} shards, and there are "
                f"{manifest.rows} valid rows",
                remedy=f"set sharding.shards to auto, or to at most {manifest.rows}",
                shards=config.shards,
                rows=manifest.rows,
            )
        return _dealt(config.shards, {role: shares[role] for role in asked})
    size = sum(part.file.bytes for part in manifest.parts)
    aim = config.shard_mb << 20
    return {
        role: max(
            1,
            -(-int(size * shares[role]) // aim),
            min(_MIN_SHARDS, int(manifest.rows * shares[role]) // _MIN_SHARD_ROWS),
        )
        for role in asked
    }


def _dealt(shards: int, shares: Shares) -> dict[Role, int]:
    """Divide shards by share, at least one for each role (largest remainders first)."""
    total = sum(shares.values()) or 1.0
    free = max(shards - len(shares), 0)
    ideal = {role: free * share / total for role, share in shares.items()}
    dealt = {role: int(part) for role, part in ideal.items()}
    rest = sorted(shares, key=lambda role: dealt[role] - ideal[role])
    for role in rest[: free - sum(dealt.values())]:
        dealt[role] += 1
    return {role: count + 1 for role, count in dealt.items()}


def _sample_of(
    role: Role, rule: RoleRule, buckets: BucketRule, survey: Survey | None
) -> pa.Array | None:
    if not buckets.sampled:
        return None
    assert survey is not None  # noqa: S101 - the plan asks for one
    return sample_values(survey.sample, rule.assign(survey.sample) == ROLES.index(role))
