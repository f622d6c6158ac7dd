"""Objects of a store, read as the user's own files are: rows that are gathered to be taken in."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemill.storage.remote_files import ExactRanges
from tidemill.storage.source_files import SourceFiles
from tidemill.storage.store_folder import StoreFolder
from tidemill.storage.stores import open_store

__all__ = ["StoredFiles"]


@dataclass(frozen=True, slots=True)
class StoredFiles(SourceFiles):
    """The objects of a folder of a store; their addresses are their names, in any store.

    Parameters
    ----------
    root : Path
        The workspace; nothing is looked for there.
    folder : StoreFolder
    """

    folder: StoreFolder

    def elsewhere(self, address: str) -> bool:
        """False: objects are not edited, and named by their hash like files of this machine."""
        del address
        return False

    def size(self, address: str) -> int:
        """Bytes of an object."""
        return self.folder.file(address).size

    def etag(self, address: str, digest: str | None = None) -> str:
        """The SHA-256 of an object's bytes."""
        return digest or open_store(self.folder.store).sha256(self.folder.key(address))

    @contextmanager
    def opened(self, address: str, first: int = 0) -> Iterator[io.BufferedReader[Any]]:
        """An object, from byte ``first`` on."""
        reader: io.BufferedReader[Any] = io.BufferedReader(self.folder.file(address))
        with reader as file:
            file.seek(first)
            yield file

    @contextmanager
    def ranged(self, address: str) -> Iterator[Path | ExactRanges]:
        """An object, of which exact ranges are read."""
        yield _ObjectRanges(self.folder, address)


class _ObjectRanges:
    """Each read is one request."""

    def __init__(self, folder: StoreFolder, name: str) -> None:
        self._store, self._key = open_store(folder.store), folder.key(name)
        self.size = folder.file(name).size

    def read(self, first: int, size: int) -> bytes:
        buffer = bytearray(max(0, min(size, self.size - first)))
        self._store.read_range(self._key, first, buffer)
        return bytes(buffer)
