"""From validated parts to shards: survey, plan, two maps, one commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tidemill.bucket_rules import BUCKET_RULES
from tidemill.config import ShardingConfig
from tidemill.contracts import Engine, Progress
from tidemill.errors import TooFewRows
from tidemill.schema import Role, TableSchema
from tidemill.sharding.holdout import refuse_empty_roles
from tidemill.sharding.pieces import PieceTask, exchange_of, pieces_of, write_piece
from tidemill.sharding.plan import ShardPlan, holdout_salt, make_plan, needs_survey, wanted_facts
from tidemill.sharding.roles import ROLES
from tidemill.sharding.shards import ShardTask, block_rows_of, even_blocks, write_shard
from tidemill.sharding.survey import survey_parts
from tidemill.storage import (
    MANIFEST,
    Receipts,
    ShardEntry,
    ShardManifest,
    StoreFolder,
    ValidatedManifest,
    hash_json,
    open_store,
    publish,
)

__all__ = ["shard"]


def shard(
    manifest: ValidatedManifest,
    folder: StoreFolder,
    config: ShardingConfig,
    *,
    dataset_key: str | None,
    seed: int,
    engine: Engine,
    work: StoreFolder,
    out: Path,
    key: str = "",
    progress: Progress | None = None,
    warned: Callable[[str], None] | None = None,
    like: ShardManifest | None = None,
) -> ShardManifest:
    """Cut the validated table into shards, and put them in the place of ``out`` as one.

    Parameters
    ----------
    manifest, folder : ValidatedManifest, StoreFolder
        The validated parts and where they lie; each is verified before use.
    config : ShardingConfig
    dataset_key : str or None
        The column that names a row.
    seed : int
        Of the hold-out by hash and of the order of rows.
    engine : Engine
    work : StoreFolder
        Unfinished work on these very inputs and settings. Pieces and shards that are finished
        there are not made again. Deleted at the end.
    out : Path
        A folder of the workspace; what is there gives way.
    key : str
        Names the inputs and settings, for the manifest.
    progress : Progress, optional
        Counts pieces and shards.
    warned : callable, optional
        Told of work of a killed run that was not whole, and was made again.
    like : ShardManifest, optional
        Shards of the same settings, whose borders stay: a row that is in them goes where it was, a
        new one where it belongs among them.

    Returns
    -------
    ShardManifest
        As written to ``out/manifest.json``.

    Raises
    ------
    TooFewRows
        If a role would be empty, or there are more shards than rows.
    ValidationFailed
        If rows lack the time that decides.
    ColumnMissing, ConfigError
        If the settings do not fit the data.
    IntegrityError
        If a part is not what its manifest recorded.
    StorageFailed
        If the disk or the store refuses; ``out`` then is what it was.

    Notes
    -----
    Memory: in a worker about three times 24 MB (or a validated block, where that is larger), and
    up to 2 KB a shard; here a sample of 65,536 rows' facts, and up to 6 KB a shard.
    """
    wanted = wanted_facts(manifest.schema, config, dataset_key)
    survey = survey_parts(
        manifest,
        folder,
        wanted,
        scanned=needs_survey(config),
        values=BUCKET_RULES[config.strategy]().sampled,
        salt=holdout_salt(seed),
        engine=engine,
    )
    plan = make_plan(manifest, config, wanted, survey, seed=seed, like=like)
    made = work.below("shards")
    tasks = pieces_of(manifest, plan)
    exchange = exchange_of(manifest, work, plan)
    pieces = engine.map(
        partial(write_piece, exchange, plan, folder),
        tasks,
        label="pieces",
        progress=_stretch(progress, 0, len(tasks) + len(plan.slots)),
    )
    rows = sum((piece.rows for piece in pieces), np.zeros(len(plan.slots), np.int64))
    _refuse_empty(plan, rows, config, stays=like is not None)
    shards = _shard_tasks(plan, rows, config, tasks)
    entries = engine.map(
        partial(write_shard, exchange.holding(pieces), made, manifest.schema),
        shards,
        label="shards",
        progress=_stretch(progress, len(tasks), len(tasks) + len(shards)),
    )
    result = replace(_manifest(manifest.schema, plan, entries, key), borders=_borders(like, key))
    objects = {name: (made, name, sha256) for name, sha256 in result.files().items()}
    publish(out, objects, {MANIFEST: result.to_bytes()})
    for warning in Receipts(work).made_anew("pieces and shards"):
        if warned is not None:
            warned(warning)
    open_store(work.store).discard(work.folder)
    return result


def _manifest(
    schema: TableSchema, plan: ShardPlan, entries: Sequence[ShardEntry], key: str
) -> ShardManifest:
    return ShardManifest(
        schema=schema,
        strategy=plan.strategy,
        by=plan.by,
        boundaries={role.value: cuts for role, cuts in plan.cuts.items()},
        shards=tuple(entries),
        holdout=plan.holdout,
        key=key,
        placed=True,
    )


def _borders(like: ShardManifest | None, key: str) -> str:
    found = "" if like is None else like.borders or like.key
    return "" if found == key else found


def _refuse_empty(
    plan: ShardPlan, rows: npt.NDArray[np.int64], config: ShardingConfig, *, stays: bool
) -> None:
    found = dict.fromkeys(ROLES, 0.0)
    for (role, _), n in zip(plan.slots, rows.tolist(), strict=True):
        found[role] += n
    try:
        refuse_empty_roles(found, config.holdout)
    except TooFewRows as exc:
        if not stays:
            raise
        raise TooFewRows(
            f"{exc.message}, between the borders of before",
            remedy="deal all rows anew: tidemill shards rebalance",
            **exc.fields,
        ) from None


def _shard_tasks(
    plan: ShardPlan, rows: npt.NDArray[np.int64], config: ShardingConfig, pieces: list[PieceTask]
) -> list[ShardTask]:
    limits = _block_limits(plan, rows, config)
    inputs = hash_json([piece.key for piece in pieces])
    tasks, ids = [], count()
    for slot, ((role, bucket), n) in enumerate(zip(plan.slots, rows.tolist(), strict=True)):
        if not n:
            continue
        block_rows = limits[role]
        if config.block_rows == "auto":
            block_rows = even_blocks(n, block_rows)
        number = next(ids)
        tasks.append(
            ShardTask(
                id=number,
                slot=slot,
                role=role,
                bucket=bucket,
                rows=n,
                block_rows=block_rows,
                ordered=plan.order_salt is not None,
                ranged=None if plan.physical == "hash" else plan.by,
                key=hash_json([inputs, slot, number, block_rows]),
            )
        )
    return tasks


def _block_limits(
    plan: ShardPlan, rows: npt.NDArray[np.int64], config: ShardingConfig
) -> dict[Role, int]:
    if config.block_rows != "auto":
        return dict.fromkeys(plan.cuts, config.block_rows)
    totals = dict.fromkeys(plan.cuts, 0)
    for (role, _), n in zip(plan.slots, rows.tolist(), strict=True):
        totals[role] += n
    return {role: block_rows_of(total) for role, total in totals.items()}


def _stretch(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Report one map's items as a stretch of the whole."""
    if progress is None:
        return None
    return lambda finished, _: progress(before + finished, total)
