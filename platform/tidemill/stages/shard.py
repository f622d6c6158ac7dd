"""shard: validated rows become shards of blocks, each with a role and a profile."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tidemill.config import ShardingConfig
from tidemill.errors import IntegrityError, UsageError
from tidemill.schema import Role, TableSchema
from tidemill.sharding import (
    append_sets,
    appended_folder,
    borders_serve,
    live_config,
    said_of_balance,
    shard,
    sound_shards,
)
from tidemill.stages.context import StageContext, StageResult
from tidemill.storage import (
    ShardManifest,
    StoreFolder,
    ValidatedManifest,
    Workspace,
    find_hashed,
    hash_file,
    hash_json,
    write_hashed,
)
from tidemill.storage.live_sets import LiveSet, live_sets

__all__ = ["run_shard", "shard_warnings", "source_key"]

_NOTE = "sharded.json"


def run_shard(context: StageContext, *, sharding: ShardingConfig, seed: int) -> StageResult:
    """Leave data/shards; a killed run continues after its last finished piece or shard.

    Borders stay: where the shards that stand are of the same settings, columns and classes, no row
    of theirs moves, and rows that came go where they belong among them; ``context.anew`` draws the
    borders anew.

    Sets of live rows (data/live) are appended to the shards of the source, whose roles, test
    rows above all, they do not change: shards that stand and are whole are linked, not made
    again.
    """
    workspace = context.workspace
    before, spoilt = _standing(context, sharding, seed)
    key = source_key(workspace, sharding, seed, before.borders or before.key if before else "")
    work = workspace.work("shard", key[:16])
    _note(context, key, sharding, seed)
    job = _Job(context, sharding, seed, work)
    sets = live_sets(workspace)
    warnings: tuple[str, ...] = ()
    if sets:
        shards, warnings = _with_sets(job, key, sets, before)
    else:
        shards = job.cut(workspace.validated, sharding, key, out=workspace.shards, like=before)
    workspace.discard(work.parent)
    if before is not None:
        warnings = (*warnings, *said_of_balance(shards, sharding))
    return StageResult(
        stage="shard",
        facts={
            "shards": len(shards.shards),
            "blocks": sum(len(entry.file.blocks) for entry in shards.shards),
            **{f"rows_{role.value}": shards.rows(role) for role in Role},
            **({"live_sets": len(shards.appended)} if sets else {}),
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
        warnings=(*spoilt, *job.warnings, *warnings),
    )


def source_key(workspace: Workspace, sharding: ShardingConfig, seed: int, borders: str = "") -> str:
    """Names the shards of the source: its validated rows, the settings, and whose borders stay.

    ``borders`` is the key of the shards for which they were drawn.
    """
    made_of: dict[str, Any] = {
        "validated": hash_file(workspace.validated / "manifest.json"),
        "sharding": sharding.model_dump(mode="json"),
        "seed": seed,
    }
    own = hash_json(made_of)
    return own if borders in ("", own) else hash_json(made_of | {"borders": borders})


def shard_warnings(workspace: Workspace) -> tuple[str, ...]:
    """What to say of shards that stand: that an earlier version dealt them by whole rows."""
    manifest = ShardManifest.read(workspace.shards)
    by = manifest.holdout.get("by")
    named = manifest.placed or manifest.schema.key is not None
    if named or by not in ("hash", "stratified", "file"):
        return ()
    return (
        "an earlier version dealt these rows to training and test by their content, target "
        "included: where rows of equal features differ in it, the figures are too low; deal them "
        "anew with: tidemill run --force (the champion then knows some of the new test rows)",
    )


def _standing(
    context: StageContext, sharding: ShardingConfig, seed: int
) -> tuple[ShardManifest | None, tuple[str, ...]]:
    """The shards whose borders stay; and what to say where that is not known any more."""
    try:
        return _before(context, sharding, seed), ()
    except IntegrityError as exc:
        return None, (
            f"{exc.message}: borders of shards are drawn anew, and rows may change their roles; "
            "the champion then knows some of the new test rows",
        )


def _before(context: StageContext, sharding: ShardingConfig, seed: int) -> ShardManifest | None:
    """The shards that stand, if their borders are to stay.

    They do where this machine made them, settings, columns and classes are the same, and rows are
    left for which to stay.
    """
    workspace = context.workspace
    if context.anew:
        return None
    try:
        before = context.shards.shard_manifest()
        valid = ValidatedManifest.read(workspace.validated)
    except (IntegrityError, UsageError):
        return None
    noted = _noted(workspace).get(before.key)
    if noted is None:
        return None
    same = noted.get("settings") == _settings(sharding, seed)
    there = any(part.digest in set(noted.get("splits", ())) for part in valid.parts)
    return before if same and there and borders_serve(before, valid.schema) else None


def _settings(sharding: ShardingConfig, seed: int) -> str:
    return hash_json({"sharding": sharding.model_dump(mode="json"), "seed": seed})


def _note(context: StageContext, key: str, sharding: ShardingConfig, seed: int) -> None:
    """Note of what shards are made, beside those that stand if this run is killed."""
    workspace, stands = context.workspace, {}
    with suppress(IntegrityError, UsageError):
        standing = context.shards.shard_manifest().key
        stands = {name: one for name, one in _noted(workspace).items() if name == standing}
    splits = [part.digest for part in ValidatedManifest.read(workspace.validated).parts]
    made = {"settings": _settings(sharding, seed), "splits": splits}
    write_hashed(workspace.hidden / _NOTE, {"made": stands | {key: made}})


def _noted(workspace: Workspace) -> dict[str, Any]:
    """By the key of shards: their settings and splits; nothing where this machine made none.

    Raises
    ------
    IntegrityError
        If it is not as it was left.
    """
    made = (find_hashed(workspace.hidden / _NOTE) or {}).get("made")
    return made if isinstance(made, dict) else {}


class _Job:
    """Cuts validated rows into shards, with what all of them share."""

    def __init__(
        self, context: StageContext, sharding: ShardingConfig, seed: int, work: Path
    ) -> None:
        self.context, self.sharding, self.seed, self.work = context, sharding, seed, work
        self.warnings: list[str] = []

    def cut(
        self,
        folder: Path,
        config: ShardingConfig,
        key: str,
        *,
        out: Path,
        schema: TableSchema | None = None,
        like: ShardManifest | None = None,
    ) -> ShardManifest:
        manifest, workspace = ValidatedManifest.read(folder), self.context.workspace
        if schema is not None:
            manifest = replace(manifest, schema=schema)
        return shard(
            manifest,
            workspace.stored(folder),
            config,
            dataset_key=manifest.schema.key.name if manifest.schema.key else None,
            seed=self.seed,
            engine=self.context.engine,
            work=workspace.stored(self.work / "cut" / key[:16]),
            out=out,
            key=key,
            progress=self.context.progress,
            warned=self.warnings.append,
            like=like,
        )

    def cut_set(self, live: LiveSet, schema: TableSchema) -> StoreFolder:
        """The folder with the shards of a live set, made if they are nowhere yet."""
        config = live_config(self.sharding)
        key = hash_json(
            {
                "validated": hash_file(live.validated / "manifest.json"),
                "schema": schema.to_json(),
                "sharding": config.model_dump(mode="json"),
                "seed": self.seed,
            }
        )
        stands = appended_folder(self.context.shards, live.name)
        made = self.work / "sets" / live.name
        found = self.sound(key, stands, made)
        if found is None:
            self.cut(live.validated, config, key, out=made, schema=schema)
        return found or self.context.workspace.stored(made)

    def sound(self, key: str, stands: StoreFolder, made: Path) -> StoreFolder | None:
        """Where shards of ``key`` lie whole: in the output, or as a killed run left them."""
        places = (stands, self.context.workspace.stored(made))
        engine = self.context.engine
        return next((place for place in places if sound_shards(place, key, engine)), None)


def _with_sets(
    job: _Job, key: str, sets: tuple[LiveSet, ...], before: ShardManifest | None
) -> tuple[ShardManifest, tuple[str, ...]]:
    workspace, made = job.context.workspace, job.work / "source"
    source = None if job.context.anew else job.sound(key, job.context.shards, made)
    if source is None:
        job.cut(workspace.validated, job.sharding, key, out=made, like=before)
        source = workspace.stored(made)
    schema = source.shard_manifest().schema
    fitting = tuple(live for live in sets if live.fits(schema))
    folders = [(live.name, job.cut_set(live, schema)) for live in fitting]
    whole = append_sets(source, folders, workspace.shards)
    return whole, tuple(
        f"the live rows of {live.name} are left out: their columns or classes are not those of "
        "the source any more"
        for live in sets
        if live not in fitting
    )
