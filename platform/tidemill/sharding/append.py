"""Sets of rows that are appended to shards: their own folders, the test rows untouched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tidemill.config import HoldoutConfig, ShardingConfig
from tidemill.contracts import Engine
from tidemill.errors import IntegrityError, StorageFailed
from tidemill.storage import MANIFEST, ShardEntry, ShardManifest, StoreFolder, publish

__all__ = [
    "APPENDED",
    "append_sets",
    "appended_folder",
    "joined",
    "live_config",
    "renumbered",
    "sound_shards",
]

APPENDED = "appended"


def live_config(config: ShardingConfig) -> ShardingConfig:
    """How rows that come later are cut: train and validation by hash, never test.

    >>> live_config(ShardingConfig()).holdout.test
    0.0
    """
    holdout = HoldoutConfig(by="hash", test=0.0, validation=config.holdout.validation)
    return config.model_copy(update={"shards": "auto", "holdout": holdout})


def appended_folder(folder: StoreFolder, name: str) -> StoreFolder:
    """Where a set lies below the shards' folder."""
    return folder.below(f"{APPENDED}/{name}")


def sound_shards(folder: StoreFolder, key: str, engine: Engine) -> ShardManifest | None:
    """The shards of the source in ``folder``, if they were made from ``key`` and are whole.

    Every file is read once and compared with its hash, by the engine's workers; of a store apart
    each then has copies of those that it read (:meth:`StoreFolder.verified`).
    """
    try:
        found = folder.shard_manifest()
    except (IntegrityError, StorageFailed):
        return None
    if not key or found.key != key:
        return None
    shards = found.of_origin("").shards
    whole = engine.map(partial(_is_whole, folder), shards, label="verify shards")
    return found if all(whole) else None


def _is_whole(folder: StoreFolder, shard: ShardEntry) -> bool:
    try:
        folder.verified(shard.file)
        folder.profiles(shard)
    except (IntegrityError, StorageFailed):
        return False
    return True


def joined(own: ShardManifest, name: str, *, first: int) -> tuple[ShardEntry, ...]:
    """A set's shards as the whole names them: numbered from ``first``, below its folder."""
    place = f"{APPENDED}/{name}"
    return tuple(
        replace(
            shard,
            id=first + number,
            origin=name,
            file=replace(shard.file, path=f"{place}/{shard.file.path}"),
            profile=f"{place}/{shard.profile}",
        )
        for number, shard in enumerate(own.shards)
    )


def renumbered(shards: Iterable[ShardEntry]) -> tuple[ShardEntry, ...]:
    """The same shards numbered from 0."""
    return tuple(replace(shard, id=number) for number, shard in enumerate(shards))


def append_sets(
    source: StoreFolder, sets: Sequence[tuple[str, StoreFolder]], out: Path
) -> ShardManifest:
    """Put the shards of the source and appended sets together, in the place of ``out`` as one.

    Parameters
    ----------
    source : StoreFolder
        A folder of shards; what was appended there before does not count.
    sets : sequence of (str, StoreFolder)
        Name, and folder of the shards, of each set, in the order of appending.
    out : Path
        A folder of the workspace; what is there gives way, ``source`` too.

    Returns
    -------
    ShardManifest
        As written to ``out/manifest.json``; the shards of the source come first and are what they
        were.
    """
    whole = source.shard_manifest().of_origin("")
    objects, documents = {name: (source, name, has) for name, has in whole.files().items()}, {}
    for name, folder in sets:
        own, place = folder.shard_manifest(), f"{APPENDED}/{name}"
        found = own.files().items()
        objects |= {f"{place}/{name}": (folder, name, has) for name, has in found}
        documents[f"{place}/{MANIFEST}"] = own.to_bytes()
        shards = (*whole.shards, *joined(own, name, first=len(whole.shards)))
        whole = replace(whole, shards=shards)
    whole = replace(whole, appended=tuple(name for name, _ in sets))
    documents[MANIFEST] = whole.to_bytes()
    publish(out, objects, documents)
    return whole
