"""A file that hashes what is written to it."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

from tidemill.contracts import ObjectWriter

__all__ = ["HashingFile", "HashingSink"]


class HashingFile(io.RawIOBase):
    """A new file that hashes what passes through, so that nobody reads it again for its digest.

    Parameters
    ----------
    path : Path
    durable : bool
        Whether closing it flushes it to the disk.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._file = path.open("wb")
        self._durable = durable
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of what was written so far, in hexadecimal."""
        return self._digest.hexdigest()

    def writable(self) -> bool:
        """True: it is for writing alone."""
        return True

    def write(self, content: Any) -> int:
        """Add bytes, all of them."""
        view = memoryview(content)
        self._file.write(view)
        return self._count(view)

    def _count(self, view: memoryview) -> int:
        self._digest.update(view)
        self.size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        """Bytes so far."""
        return self.size

    def close(self) -> None:
        """Flush it, to the disk where it is durable."""
        if self.closed:
            return
        try:
            self._file.flush()
            if self._durable:
                os.fsync(self._file.fileno())
        finally:
            super().close()
            self._file.close()


class HashingSink(HashingFile):
    """An object of a store that is being written, as such a file; its writer ends it."""

    def __init__(self, writer: ObjectWriter) -> None:
        self._writer = writer
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, content: Any) -> int:
        """Add bytes, all of them."""
        view = memoryview(content)
        self._writer.write(view)
        return self._count(view)

    def close(self) -> None:
        """No more is added."""
        io.RawIOBase.close(self)
