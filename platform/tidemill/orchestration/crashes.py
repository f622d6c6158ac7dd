"""Flow runs whose process was killed: Prefect shows them as running until somebody says more.

Each flow run leaves a small record in the workspace while it runs, with the process it runs in.
A record whose process is gone belongs to a run that crashed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import psutil

from tidemill.errors import IntegrityError
from tidemill.storage import Workspace, read_json, write_json

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

__all__ = ["mark_crashed", "recorded"]

_MESSAGE = "The process of this run ended without a word (killed, or out of memory)."


@contextmanager
def recorded(workspace: Workspace, flow_run_id: UUID) -> Iterator[None]:
    """Keep a record of the flow run while the block runs."""
    path = _records(workspace) / f"{flow_run_id}.json"
    write_json(path, {"pid": os.getpid(), "started": psutil.Process().create_time()})
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def mark_crashed(workspace: Workspace, client: SyncPrefectClient) -> tuple[UUID, ...]:
    """Mark the workspace's flow runs that died as Crashed, with their tasks; return their ids.

    A run that this server does not know keeps its record, for the server that does.
    """
    marked = []
    for path in sorted(_records(workspace).glob("*.json")):
        if not _alive(path) and _mark(UUID(path.stem), client):
            path.unlink(missing_ok=True)
            marked.append(UUID(path.stem))
    return tuple(marked)


def _records(workspace: Workspace) -> Path:
    return workspace.hidden / "flow-runs"


def _alive(path: Path) -> bool:
    try:
        record = read_json(path)
        process = psutil.Process(int(record["pid"]))
        # A process id comes back; a process id with its time of birth does not.
        return abs(process.create_time() - float(record["started"])) < 1.0
    except (psutil.NoSuchProcess, IntegrityError, KeyError, TypeError, ValueError):
        return False


def _mark(flow_run_id: UUID, client: SyncPrefectClient) -> bool:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Crashed

    try:
        run = client.read_flow_run(flow_run_id)
    except ObjectNotFound:
        return False
    if run.state is not None and not run.state.is_final():
        # The tasks first: a crash in between leaves the flow run to be found again.
        only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
        for task_run in client.read_task_runs(flow_run_filter=only):
            if task_run.state is None or not task_run.state.is_final():
                client.set_task_run_state(task_run.id, Crashed(message=_MESSAGE), force=True)
        client.set_flow_run_state(flow_run_id, Crashed(message=_MESSAGE), force=True)
    return True
