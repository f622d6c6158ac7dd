"""Inputs that several stages read, verified before use."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tidemill.schema import Role
from tidemill.stages.context import StageContext
from tidemill.storage import FileEntry, ShardManifest, verify_file

__all__ = ["read_shards"]


def read_shards(context: StageContext, *roles: Role) -> ShardManifest:
    """Return the shard manifest after comparing the shards of ``roles`` (default: all) with it.

    Raises
    ------
    IntegrityError
        If a shard is missing or not what its manifest recorded.
    """
    folder = context.workspace.shards
    manifest = ShardManifest.read(folder)
    wanted = [s.file for s in manifest.shards if not roles or s.role in roles]
    context.engine.map(partial(_verify, folder), wanted, label="verify")
    return manifest


def _verify(folder: Path, entry: FileEntry) -> None:
    verify_file(folder, entry)
