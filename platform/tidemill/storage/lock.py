"""One writer to a workspace, one `up` for its services: locks that die with their holder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidemill.errors import WorkspaceBusy
from tidemill.storage.atomic import storage_errors, sweep_temporaries
from tidemill.storage.workspace import Workspace

__all__ = ["services_lock", "shared_lock", "workspace_lock"]

_POLL_SECONDS = 0.2
_OURS = ("data", "models", "reports")


@contextmanager
def workspace_lock(workspace: Workspace, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the workspace for writing.

    The lock is the kernel's (flock): it is gone the moment its holder is, however it ended. What
    a killed holder was writing is swept.

    Raises
    ------
    WorkspaceBusy
        If another process holds it for longer than ``wait_seconds``.
    """
    busy = f"{workspace.root} is in use"
    remedy = "wait for that run to end, or give --wait SECONDS"
    with _held(workspace.hidden / "lock", workspace, busy, remedy, wait_seconds):
        # Elsewhere others may be writing: services below .tidemill, editors beside params.yaml.
        for folder in (*map(workspace.root.joinpath, _OURS), workspace.hidden / "work"):
            sweep_temporaries(folder)
        yield


@contextmanager
def services_lock(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace's services: one ``tidemill up`` runs them.

    Raises
    ------
    WorkspaceBusy
        If another process does.
    """
    busy = f"the services of {workspace.root} are run"
    remedy = "use that one (tidemill links opens it), or stop it first: Ctrl-C where it runs"
    with _held(workspace.hidden / "services.lock", workspace, busy, remedy):
        yield


@contextmanager
def shared_lock(path: Path, workspace: Workspace, busy: str, remedy: str) -> Iterator[None]:
    """Hold a file that several workspaces could, and one at a time may.

    Raises
    ------
    WorkspaceBusy
        If another process holds it; names that and its workspace.
    """
    with _held(path, workspace, busy, remedy, told=f"{workspace.root}\n"):
        yield


@contextmanager
def _held(
    path: Path,
    workspace: Workspace,
    busy: str,
    remedy: str,
    wait_seconds: float = 0.0,
    told: str = "",
) -> Iterator[None]:
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
                    holder, theirs = _holder(descriptor)
                    place = f" of {theirs}" if theirs else ""
                    raise WorkspaceBusy(
                        f"{busy} by process {holder or 'unknown'}{place}",
                        remedy=remedy,
                        path=str(workspace.root),
                        holder=holder,
                    ) from exc
                time.sleep(_POLL_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n{told}".encode(errors="replace"), 0)
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> tuple[str, str]:
    """The process that holds a lock, and its workspace where that is told."""
    process, _, place = os.pread(descriptor, 8192, 0).decode(errors="replace").partition("\n")
    return process.strip(), place.strip()
