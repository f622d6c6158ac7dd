"""Sets of rows that are appended to shards: their own folders, the test rows untouched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tidemill.config import HoldoutConfig, ShardingConfig
from tidemill.errors import IntegrityError, StorageFailed
from tidemill.storage import (
    ShardEntry,
    ShardManifest,
    place_file,
    verify_file,
    verify_profile,
)

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


def appended_folder(folder: Path, name: str) -> Path:
    """Where a set lies below the shards' folder."""
    return folder / APPENDED / name


def sound_shards(folder: Path, key: str) -> ShardManifest | None:
    """The shards of the source in ``folder``, if they were made from ``key`` and are whole.

    Every file is read once and compared with its hash.
    """
    try:
        found = ShardManifest.read(folder)
        if not key or found.key != key:
            return None
        for shard in found.of_origin("").shards:
            verify_file(folder, shard.file)
            verify_profile(folder, shard)
    except (IntegrityError, OSError, StorageFailed, KeyError, TypeError, ValueError):
        return None
    return found


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


def append_sets(source: Path, sets: Sequence[tuple[str, Path]], staged: Path) -> ShardManifest:
    """Put the shards of the source and appended sets together in the empty folder ``staged``.

    Parameters
    ----------
    source : Path
        A folder of shards; what was appended there before does not count.
    sets : sequence of (str, Path)
        Name, and folder of the shards, of each set, in the order of appending.
    staged : Path
        On the same file system: files are linked where that is possible.

    Returns
    -------
    ShardManifest
        As written to ``staged/manifest.json``; the shards of the source come first and are
        what they were.
    """
    whole = ShardManifest.read(source).of_origin("")
    _place(source, whole, staged)
    for name, folder in sets:
        own = ShardManifest.read(folder)
        place = appended_folder(staged, name)
        _place(folder, own, place)
        own.write(place)
        shards = (*whole.shards, *joined(own, name, first=len(whole.shards)))
        whole = replace(whole, shards=shards)
    whole = replace(whole, appended=tuple(name for name, _ in sets))
    whole.write(staged)
    return whole


def _place(folder: Path, manifest: ShardManifest, target: Path) -> None:
    for shard in manifest.shards:
        for name in (shard.file.path, shard.profile):
            place_file(folder / name, target / name)
