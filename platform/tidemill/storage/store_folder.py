"""A folder of a store, by address: what a worker is given instead of a path."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from tidemill.storage.hashing import hash_bytes
from tidemill.storage.manifest import MANIFEST, FileEntry, ShardEntry, ShardManifest, require_equal
from tidemill.storage.nearby import brought, found_nearby
from tidemill.storage.posix import PosixStore
from tidemill.storage.published_names import PublishedNames, object_key
from tidemill.storage.stores import ObjectFile, open_store

__all__ = ["StoreFolder"]


@dataclass(frozen=True, slots=True)
class StoreFolder:
    """A folder of a store; picklable, the same in every process.

    Parameters
    ----------
    store, folder : str
        The address of the store; the key of the folder, empty for the whole store.
    apart : str
        The workspace's name in a store apart from it, where what is published stays; empty in the
        workspace's own.
    contents : str
        The hash of the :class:`PublishedNames` of the folder, where it was published in a store
        apart; ``folder`` then is a name in them.
    """

    store: str
    folder: str
    apart: str = ""
    contents: str = ""

    @classmethod
    def at(cls, place: Path) -> Self:
        """A folder of this machine, with that above it as the store."""
        return cls(str(place.absolute().parent), place.name)

    def __str__(self) -> str:
        folder = f"{object_key(self.contents)}: {self.folder}" if self.contents else self.folder
        return f"{self.store}/{folder}"

    def key(self, name: str) -> str:
        """The key of an object in the folder.

        Raises
        ------
        IntegrityError
            If the folder was published in a store apart, and has no such object.
        """
        full = f"{self.folder}/{name}" if self.folder else name
        if not self.contents:
            return full
        return object_key(PublishedNames.kept(self.store, self.contents).of(full, str(self)))

    def below(self, name: str) -> Self:
        """A folder in the folder."""
        return replace(self, folder=f"{self.folder}/{name}" if self.folder else name)

    def names(self) -> Iterator[str]:
        """The names of the objects in the folder, in order; of a store as it lists them."""
        start = len(self.below("").folder)
        if self.contents:
            every: Iterator[str] = iter(PublishedNames.kept(self.store, self.contents).names)
        else:
            every = open_store(self.store).list_keys(self.folder)
        return (name[start:] for name in every if name.startswith(self.below("").folder))

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

    def near(self, name: str) -> Path | ObjectFile:
        """An object that was verified before: the copy on this machine, if there is one still."""
        copy = found_nearby(self.key(name).rpartition("/")[2]) if self.contents else None
        return copy or self.file(name)

    def verified(self, entry: FileEntry) -> Path | ObjectFile:
        """An object of a manifest, to be read, after comparing its content with its hash.

        Of a store apart it is copied to this machine, once (:mod:`tidemill.storage.nearby`).

        Raises
        ------
        IntegrityError
            If it is missing or its bytes differ.
        """
        if self.apart:
            return brought(self.store, self.key(entry.path), entry.sha256)
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
        key, sha256 = self.key(shard.profile), shard.profile_sha256
        if self.apart:  # several stages ask for them
            copy = brought(self.store, key, sha256)
            content = copy.read_bytes() if isinstance(copy, Path) else copy.readall()
        else:
            content = open_store(self.store).read(key)
            require_equal(f"{self}/{shard.profile}", hash_bytes(content), sha256)
        documents: list[dict[str, Any]] = json.loads(content)
        return documents
