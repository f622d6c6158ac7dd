"""Whether shards still are what their manifest says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.bucket_rules import BUCKET_RULES
from tidemill.contracts import Engine
from tidemill.errors import IntegrityError, StorageFailed
from tidemill.profiling import Profile
from tidemill.schema import Role
from tidemill.sharding.append import APPENDED, appended_folder, joined, renumbered
from tidemill.sharding.facts import Place, Wanted, facts_of, wanted_by
from tidemill.sharding.ranges import cuts_from_text, ordered
from tidemill.sharding.roles import ROLE_RULES, ROLES, RoleRule, rule_from_json
from tidemill.storage import ObjectFile, ShardEntry, ShardManifest, StoreFolder, read_blocks

__all__ = ["ShardProblem", "verify"]


@dataclass(frozen=True, slots=True)
class ShardProblem:
    """One thing that is wrong: the file, and what about it."""

    path: str
    text: str


def verify(
    manifest: ShardManifest, folder: StoreFolder, engine: Engine
) -> tuple[ShardProblem, ...]:
    """Compare shards and profiles with the manifest, row by row where a rule allows it.

    Checked: the hash of every shard and profile; rows and blocks; that each row lies in its
    bucket and inside the recorded ranges; that each row has the role that its content asks
    for (hold-out by time, hash or stratified; without a key only those of time); and the
    manifest's own order.

    Returns
    -------
    tuple of ShardProblem
        Empty if all is sound.

    Notes
    -----
    Memory: one block in a worker.
    """
    source = manifest.of_origin("")
    found = engine.map(partial(_verify_shard, source, folder), source.shards, label="verify shards")
    problems = [*_verify_manifest(source), *_verify_roles(source)]
    problems += [problem for each in found for problem in each]
    for name in manifest.appended:
        problems += _verify_appended(manifest, folder, name, engine)
    return tuple(problems)


def _verify_appended(
    manifest: ShardManifest, folder: StoreFolder, name: str, engine: Engine
) -> Iterator[ShardProblem]:
    """A set that was appended: its own manifest, and the whole's words about it."""
    place = appended_folder(folder, name)
    try:
        own = place.shard_manifest()
    except IntegrityError as exc:
        yield ShardProblem(f"{APPENDED}/{name}", exc.message)
        return
    if joined(own, name, first=0) != renumbered(manifest.of_origin(name).shards):
        yield ShardProblem(f"{APPENDED}/{name}", "is not what the manifest recorded")
    yield from _verify_manifest(own)
    found = engine.map(partial(_verify_shard, own, place), own.shards, label=f"verify {name}")
    for problem in (problem for each in found for problem in each):
        yield ShardProblem(f"{APPENDED}/{name}/{problem.path}", problem.text)


def _verify_manifest(manifest: ShardManifest) -> Iterator[ShardProblem]:
    places = [(ROLES.index(shard.role), shard.bucket) for shard in manifest.shards]
    ids = [shard.id for shard in manifest.shards]
    if ids != list(range(len(ids))) or places != sorted(set(places)):
        yield ShardProblem("manifest.json", "shards are not numbered by role and bucket")


def _verify_roles(manifest: ShardManifest) -> Iterator[ShardProblem]:
    for role in (Role.TRAIN, Role.TEST):
        if not manifest.rows(role):
            yield ShardProblem("manifest.json", f"there are no {role.value} rows")


def _verify_shard(
    manifest: ShardManifest, folder: StoreFolder, shard: ShardEntry
) -> list[ShardProblem]:
    problems = list(_verify_profile(folder, shard))
    try:
        folder.verify(shard.file.path, shard.file.sha256)  # the store's own bytes
        texts = _verify_rows(manifest, folder.file(shard.file.path), shard)
    except IntegrityError as exc:
        texts = [exc.message]
    return [*(ShardProblem(shard.file.path, text) for text in texts), *problems]


def _verify_profile(folder: StoreFolder, shard: ShardEntry) -> Iterator[ShardProblem]:
    try:
        documents = folder.profiles(shard)
    except (IntegrityError, StorageFailed) as exc:
        yield ShardProblem(shard.profile, exc.message)
        return
    profiles = tuple(Profile.from_json(document).rows for document in documents)
    if profiles != shard.file.blocks:
        yield ShardProblem(shard.profile, "does not have one profile for each block")


def _verify_rows(manifest: ShardManifest, file: ObjectFile, shard: ShardEntry) -> list[str]:
    problems: dict[str, int] = {}
    blocks = []
    for table in read_blocks(file):
        blocks.append(table.num_rows)
        for text, rows in _misplaced(manifest, shard, table):
            problems[text] = problems.get(text, 0) + rows
    texts = [f"{rows} rows {text}" for text, rows in problems.items()]
    if tuple(blocks) != shard.file.blocks or sum(blocks) != shard.file.rows:
        texts.append("has other blocks than the manifest recorded")
    return texts


def _misplaced(
    manifest: ShardManifest, shard: ShardEntry, table: pa.Table
) -> Iterator[tuple[str, int]]:
    wanted, rule = _wanted(manifest), _content_rule(manifest)
    # The place of a row is not in its shard: what it decided cannot be decided again.
    placed = manifest.placed and manifest.by is None
    facts = facts_of(table, wanted, Place(0, 0), values=not placed)
    physical = "hash"
    if not wanted.value_hashed and wanted.value is not None:
        physical = manifest.schema[wanted.value].physical
        outside = _outside(table, wanted.value, shard.lower, shard.upper, physical)
        yield from _counted("lie outside the shard's range", outside)
    if not placed:
        values, cuts = facts["value"].combine_chunks(), manifest.boundaries[shard.role]
        elsewhere = BUCKET_RULES[manifest.strategy]().bucket(values, cuts, physical)
        elsewhere = elsewhere != shard.bucket
        yield from _counted("belong to another shard", elsewhere)
    yield from _counted("have another role", _other_role(rule, facts, shard.role))
    time = manifest.schema.time
    if time is not None:
        outside = _outside(table, time.name, shard.time_from, shard.time_to, time.physical)
        yield from _counted("lie outside the shard's times", outside)


def _content_rule(manifest: ShardManifest) -> RoleRule | None:
    """The rule, where a row's content decides its role."""
    by_place = manifest.placed and manifest.holdout.get("column") is None
    if by_place and manifest.holdout.get("by") != "time":
        return None
    return rule_from_json(manifest.holdout)


def _wanted(manifest: ShardManifest) -> Wanted:
    by = manifest.holdout.get("by")
    return wanted_by(
        ROLE_RULES[by].wants if by in ROLE_RULES else frozenset(),
        BUCKET_RULES[manifest.strategy]().wants,
        manifest.schema,
        hash_column=manifest.holdout.get("column"),
        column=manifest.by,
        placed=manifest.placed,
    )


def _other_role(rule: RoleRule | None, facts: pa.Table, role: Role) -> npt.NDArray[np.bool_]:
    if rule is None:
        return np.zeros(facts.num_rows, bool)
    return np.not_equal(rule.assign(facts), ROLES.index(role))


def _outside(
    table: pa.Table, column: str, lower: str | None, upper: str | None, physical: str
) -> npt.NDArray[np.bool_]:
    known = ordered(table[column]).drop_null()
    if lower is None or upper is None:
        return np.ones(len(known), bool)
    low, high = cuts_from_text((lower, upper), physical).to_numpy(zero_copy_only=False)
    values = known.to_numpy(zero_copy_only=False)
    outside: npt.NDArray[np.bool_] = (values < low) | (values > high)
    return outside


def _counted(text: str, wrong: npt.NDArray[np.bool_]) -> Iterator[tuple[str, int]]:
    if wrong.any():
        yield text, int(wrong.sum())
