"""A lock on a file that tells the others who holds it."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["FileHeld", "FileLock"]

_POLL_SECONDS = 0.2


class FileHeld(Exception):
    """Another process holds the lock; whoever asked says it in the words of its room.

    Parameters
    ----------
    holder : str
        That process's id, or ``unknown``.
    told : str
        What else it told.
    """

    def __init__(self, holder: str, told: str) -> None:
        super().__init__(f"held by process {holder}")
        self.holder, self.told = holder, told


class FileLock:
    """The kernel's lock on a file (flock); it is gone the moment its holder is, however it ended.

    Used as a context manager, or until :meth:`release`.

    Parameters
    ----------
    descriptor : int
        The open file that is locked.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(
        cls, path: Path, *, wait_seconds: float = 0.0, told: str = "", mode: int = 0o666
    ) -> Self:
        """Lock ``path``, and write our process id and ``told`` into it.

        Parameters
        ----------
        wait_seconds : float
            How long another may hold it.
        mode : int
            Permissions of a new file, less the umask.

        Raises
        ------
        FileHeld
            If another process holds it for longer.
        OSError
            If the file cannot be opened.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
        try:
            _lock(descriptor, wait_seconds)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n{told}".encode(errors="replace"), 0)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    @classmethod
    def of_folder(cls, path: Path) -> Self:
        """Lock a folder, whose holders are quick: wait for it, leave no file.

        Raises
        ------
        OSError
            If there is none, or its file system locks no folders.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def _lock(descriptor: int, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            if time.monotonic() >= deadline:
                raise _held(descriptor) from exc
            time.sleep(_POLL_SECONDS)
        else:
            return


def _held(descriptor: int) -> FileHeld:
    process, _, told = os.pread(descriptor, 8192, 0).decode(errors="replace").partition("\n")
    return FileHeld(process.strip() or "unknown", told.strip())
