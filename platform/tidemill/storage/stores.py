"""The store at an address, and how an object of it is read as a file."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from tidemill.contracts import ObjectReader, Store
from tidemill.errors import IntegrityError
from tidemill.storage.lost_objects import made_anew
from tidemill.store_schemes import STORES

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ObjectFile", "open_store"]


def open_store(address: str) -> Store:
    """The store at an address, the same in every process.

    Parameters
    ----------
    address : str
        The absolute path of a folder, or ``SCHEME://...``, where the scheme is a name of
        :data:`STORES`, or ``module:Name``.

    Raises
    ------
    UsageError
        If there is no such store, or what is there is none.
    DependencyMissing
        If it needs a package that is not installed.
    """
    scheme = address.partition("://")[0] if "://" in address else "file"
    store: Store = STORES.made(scheme, address)
    return store


class ObjectFile(io.RawIOBase):
    """An object of a store as a file to read from, for Parquet: each read is one exact range.

    ``size`` is its bytes.

    Raises
    ------
    IntegrityError
        If it is missing.
    """

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key, self._at = store, key, 0
        size = store.size(key)
        if size is None:
            raise IntegrityError(
                f"{self} is missing",
                remedy=made_anew(key),
                path=str(self),
            )
        self.size = size

    def __str__(self) -> str:
        return f"{self._store.address}/{self._key}"

    def readable(self) -> bool:
        """True: it is for reading alone."""
        return True

    def seekable(self) -> bool:
        """True: each read is a range of its own."""
        return True

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; nothing is read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = base + offset
        return self._at

    def streamed(self) -> AbstractContextManager[ObjectReader]:
        """All of it from front to back, in one request."""
        return self._store.stream(self._key, 0, self.size)

    def readinto(self, buffer: Buffer) -> int:
        """Read up to the end of the buffer or of the object."""
        view = memoryview(buffer).cast("B")[: max(0, self.size - self._at)]
        self._store.read_range(self._key, self._at, view)
        self._at += view.nbytes
        return view.nbytes
