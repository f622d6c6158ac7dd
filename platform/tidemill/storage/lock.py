"""One writer to a workspace: an advisory lock that dies with its holder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tidemill.errors import WorkspaceBusy
from tidemill.storage.atomic import storage_errors
from tidemill.storage.workspace import Workspace

__all__ = ["workspace_lock"]

_POLL_SECONDS = 0.2


@contextmanager
def workspace_lock(workspace: Workspace, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the workspace for writing.

    The lock is the kernel's (flock): it is gone the moment its holder is, however it ended.

    Raises
    ------
    WorkspaceBusy
        If another process holds it for longer than ``wait_seconds``.
    """
    path = workspace.hidden / "lock"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if time.monotonic() >= deadline:
                    holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
                    raise WorkspaceBusy(
                        f"{workspace.root} is in use by process {holder or 'unknown'}",
                        remedy="wait for that run to end, or give --wait SECONDS",
                        path=str(workspace.root),
                        holder=holder,
                    ) from exc
                time.sleep(_POLL_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
