"""One writer to a workspace, one `up` for its services: locks that die with their holder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidemill.errors import WorkspaceBusy
from tidemill.storage.atomic import storage_errors, sweep_temporaries
from tidemill.storage.file_lock import FileHeld, FileLock
from tidemill.storage.workspace import Workspace

__all__ = ["services_lock", "shared_lock", "workspace_lock"]

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
        try:
            lock = FileLock.take(path, wait_seconds=wait_seconds, told=told, mode=0o644)
        except FileHeld as exc:
            place = f" of {exc.told}" if exc.told else ""
            raise WorkspaceBusy(
                f"{busy} by process {exc.holder}{place}",
                remedy=remedy,
                path=str(workspace.root),
                holder=exc.holder,
            ) from exc
    with lock:
        yield
