"""One real Prefect server for the session, in a PREFECT_HOME of its own, and a small pipeline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tidemill.orchestration import TemporaryServer
from tidemill.settings import Settings
from tidemill.storage import Workspace


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home for Prefect; nothing of the user's is touched."""
    home = tmp_path_factory.mktemp("prefect-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(home))
        patch.delenv("PREFECT_API_URL", raising=False)
        yield home


@pytest.fixture(scope="session")
def api_url(prefect_home: Path) -> Iterator[str]:
    """The address of the session's server."""
    with TemporaryServer() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_AUTH_STRING", server.auth)
        server.wait()
        yield server.api_url
        # What Prefect still has to say must be said while the server is there.
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        APILogWorker.drain_all(timeout=5)
        EventsWorker.drain_all(timeout=5)


@pytest.fixture(scope="session")
def settings(api_url: str) -> Settings:
    """Two workers and the session's server."""
    return Settings(workers=2, PREFECT_API_URL=api_url)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty folder."""
    return Workspace.at(tmp_path)


@pytest.fixture
def client(api_url: str) -> Iterator[Any]:
    """Prefect's own client, at the session's server."""
    from prefect import get_client
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    ours = {
        PREFECT_API_URL: api_url,
        PREFECT_API_AUTH_STRING: os.environ["PREFECT_API_AUTH_STRING"],
    }
    with temporary_settings(ours), get_client(sync_client=True) as found:
        yield found


@dataclass(frozen=True)
class Said:
    """As a stage's result."""

    facts: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ran:
    """As the pipeline's run of a stage."""

    stage: str
    result: Said
    state: str = "ran"
    seconds: float = 0.5
    peak_memory_bytes: int = 123_000_000

    def worker_figures(self) -> dict[str, float]:
        return {}


@dataclass(frozen=True)
class Summary:
    """As the pipeline's summary."""

    stages: tuple[Ran, ...]
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        stages = [{"stage": run.stage, "seconds": run.seconds} for run in self.stages]
        return {**self.facts, "stages": stages}


@pytest.fixture(scope="session")
def pipeline_of() -> Callable[..., Callable[..., Summary]]:
    """Makes a pipeline of stages: name and a function of the engine that returns what it says."""

    def make(**stages: Callable[[Any], Said]) -> Callable[..., Summary]:
        def run(_workspace: Any, *, engine: Any, execute: Any, **_: Any) -> Summary:
            runs = [
                execute(name, lambda name=name, call=call: Ran(name, call(engine)))
                for name, call in stages.items()
            ]
            return Summary(tuple(runs), {"rows_read": 10, "promoted": True})

        return run

    return make


@pytest.fixture(scope="session")
def said() -> type[Said]:
    """The class of what a stage says."""
    return Said


@pytest.fixture
def only_run(client: Any, workspace: Workspace) -> Callable[[], Any]:
    """The flow run of this test's workspace, as the API shows it, with its tasks by name."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterId,
        FlowRunFilterTags,
        TaskRunFilter,
    )

    def settled(runs: list[Any]) -> bool:
        return bool(runs) and all(run.state and run.state.is_final() for run in runs)

    def find(*, of: str | None = None) -> Any:
        """With ``of`` only that task is awaited: others were cut off and may never be final."""
        tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[f"workspace:{workspace.root.name}"]))
        (run,) = client.read_flow_runs(flow_run_filter=tagged)
        only = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        deadline = time.monotonic() + 30
        while True:
            # Task runs arrive as events, a moment after the flow run has ended.
            runs = client.read_task_runs(flow_run_filter=only, task_run_filter=TaskRunFilter())
            awaited = [run for run in runs if of in (None, run.name)]
            if settled(awaited) or time.monotonic() > deadline:
                return SimpleNamespace(
                    id=run.id,
                    state=run.state,
                    tasks={task_run.name: task_run for task_run in runs},
                    n_tasks=len(runs),
                )
            time.sleep(0.2)

    return find


@pytest.fixture
def gone() -> Callable[[int], bool]:
    """Waits until a process is gone."""

    def wait(pid: int, seconds: float = 10.0) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            stat = Path(f"/proc/{pid}/stat")
            if stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
            time.sleep(0.1)
        return False

    return wait
