"""A folder of a store, by address: what a worker is given instead of a path."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from tidemill.storage.hashing import hash_bytes
from tidemill.storage.manifest import MANIFEST, FileEntry, ShardEntry, ShardManifest, require_equal
from tidemill.storage.posix import PosixStore
from tidemill.storage.stores import ObjectFile, open_store

__all__ = ["StoreFolder"]


@dataclass(frozen=True, slots=True)
class StoreFolder:
    """A folder of a store; picklable, the same in every process.

    Parameters
    ----------
    store, folder : str
        The address of the store; the key of the folder.
    """

    store: str
    folder: str

    @classmethod
    def at(cls, place: Path) -> Self:
        """A folder of this machine, with that above it as the store."""
        return cls(str(place.absolute().parent), place.name)

    def __str__(self) -> str:
        return f"{self.store}/{self.folder}"

    def key(self, name: str) -> str:
        """The key of an object in the folder."""
        return f"{self.folder}/{name}"

    def below(self, name: str) -> Self:
        """A folder in the folder."""
        return replace(self, folder=self.key(name))

    def scratch(self) -> Path:
        """Where a worker may keep as much, for a moment, as it writes here; it may not be there.

        The folder itself, where the store is one of this machine; else the system's temporary
        folder (``TMPDIR``).
        """
        store = open_store(self.store)
        if isinstance(store, PosixStore):
            return store.scratch(self.folder)
        return Path(tempfile.gettempdir())

    def file(self, name: str) -> ObjectFile:
        """An object in the folder, to be read.

        Raises
        ------
        IntegrityError
            If it is missing.
        """
        return ObjectFile(open_store(self.store), self.key(name))

    def verified(self, entry: FileEntry) -> ObjectFile:
        """An object of a manifest, to be read, after comparing its content with its hash.

        Raises
        ------
        IntegrityError
            If it is missing or its bytes differ.
        """
        self.verify(entry.path, entry.sha256)
        return self.file(entry.path)

    def verify(self, name: str, sha256: str) -> None:
        """Compare an object's content with its hash; errors are those of :meth:`verified`."""
        require_equal(f"{self}/{name}", open_store(self.store).sha256(self.key(name)), sha256)

    def shard_manifest(self) -> ShardManifest:
        """The manifest of the shards in the folder.

        Raises
        ------
        IntegrityError
            If it is missing, or not what was written.
        """
        key = self.key(MANIFEST)
        return ShardManifest.parse(f"{self.store}/{key}", open_store(self.store).read(key))

    def profiles(self, shard: ShardEntry) -> list[dict[str, Any]]:
        """The profile documents of a shard's blocks, after comparing them with their hash.

        Raises
        ------
        IntegrityError
            If they are missing or their bytes differ.
        """
        content = open_store(self.store).read(self.key(shard.profile))
        require_equal(f"{self}/{shard.profile}", hash_bytes(content), shard.profile_sha256)
        documents: list[dict[str, Any]] = json.loads(content)
        return documents
