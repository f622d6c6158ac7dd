"""A folder of a store, by address: what a worker is given instead of a path."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tidemill.storage.hashing import hash_bytes
from tidemill.storage.manifest import FileEntry, ShardEntry, require_equal
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
        file = self.file(entry.path)
        require_equal(str(file), open_store(self.store).sha256(self.key(entry.path)), entry.sha256)
        return file

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
