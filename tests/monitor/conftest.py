"""A monitor with a real champion: a small workspace, run once for the session, copied for a test.

Without sockets: ``monitor`` is the app itself behind httpx. With them: ``served`` is a uvicorn
server on a free port.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tidemill.drift import Reference
from tidemill.schema import Purpose, TableSchema
from tidemill.testing.shells import plain_shell
from tidemill.testing.tcp_ports import hung_server
from tidemill.testing.traffic import empty_store
from tidemill.testing.workspaces import copy_workspace, finished_workspace, made_once
from tidemill.testing.worlds import World

ROOT = Path(__file__).parents[2]
ARROW = "application/vnd.apache.arrow.stream"
NDJSON = "application/x-ndjson"


@pytest.fixture(scope="session", autouse=True)
def _surroundings() -> Iterator[None]:
    """The environment of a plain shell."""
    with plain_shell():
        yield


@pytest.fixture
def hung() -> Iterator[tuple[str, list[socket.socket]]]:
    """The address of a server that never answers, and the connections to it."""
    with hung_server() as found:
        yield found


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a champion, a store without a row and no .dvc.

    Never change it, take a copy (fixture ``workspace``).
    """
    base = tmp_path_factory.getbasetemp()
    return made_once(base, "watched", lambda folder: _make_watched(base, folder)) / "ws"


def _make_watched(base: Path, folder: Path) -> None:
    """What a monitor reads, and its store with no row: tables take as long as the champion."""
    root = copy_workspace(finished_workspace(base), folder / "ws")
    shutil.rmtree(root / ".dvc")
    settings = settings_of(root)
    settings.folder.mkdir(parents=True)
    (settings.folder / "ledger.db").write_bytes(empty_store())


@pytest.fixture
def workspace(trained: Path, tmp_path: Path) -> Path:
    """This test's own copy of the workspace."""
    return copy_workspace(trained, tmp_path / "ws")


@pytest.fixture(scope="session")
def reference() -> Reference:
    """Of a made-up model; files share it, and the thresholds that were found with it."""
    return World(seed=5, blocks=24).reference()


@dataclass
class Clock:
    """A clock that tests move; it stands still otherwise."""

    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))

    def __call__(self) -> dt.datetime:
        return self.now

    def forward(self, **parts: float) -> None:
        """Let time pass."""
        self.now += dt.timedelta(**parts)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at the time of the test until it is moved."""
    return Clock()


@dataclass
class Monitor:
    """A monitor in this process: the app, clients with keys of every scope, its parts."""

    app: FastAPI
    client: TestClient
    texts: dict[str, str]
    clock: Clock

    @property
    def service(self) -> Any:
        return self.app.state.service

    def asking(self, scope: str = "operate") -> dict[str, str]:
        """The header of a key."""
        return {"Authorization": f"Bearer {self.texts[scope]}"}

    def post(self, path: str, scope: str = "ingest", **more: Any) -> httpx.Response:
        """Ask with a key."""
        headers = {**self.asking(scope), **more.pop("headers", {})}
        return self.client.post(path, headers=headers, **more)

    def get(self, path: str, scope: str = "read", **more: Any) -> httpx.Response:
        """Ask with a key."""
        headers = {**self.asking(scope), **more.pop("headers", {})}
        return self.client.get(path, headers=headers, **more)

    def stored(self) -> int:
        """Rows that are durable."""
        return int(self.service.ledger.events.totals(self.clock()).rows)


def settings_of(workspace: Path, **settings: Any) -> Any:
    """Settings of a monitor over a workspace, for the host name of test clients."""
    from tidemill_monitor.monitor_settings import MonitorSettings

    allowed = {"workspace": workspace, "allowed_hosts": "testserver", **settings}
    return MonitorSettings(**allowed)


@contextmanager
def running(workspace: Path, clock: Clock, **settings: Any) -> Iterator[Monitor]:
    """A monitor over ``workspace``, started and in the end stopped."""
    from tidemill_monitor.app import create_app

    app = create_app(settings_of(workspace, **settings), clock=clock)
    keys = app.state.service.keys
    texts = {scope: keys.create(f"test {scope}", scope) for scope in ("ingest", "read", "operate")}
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        yield Monitor(app, client, texts, clock)


@pytest.fixture
def start_monitor(clock: Clock) -> Callable[..., Any]:
    """Start a monitor over a workspace: a context manager, with settings as keywords."""
    return lambda workspace, **settings: running(
        workspace, settings.pop("clock", clock), **settings
    )


@pytest.fixture
def monitor(workspace: Path, clock: Clock) -> Iterator[Monitor]:
    """A monitor of this test's own."""
    with running(workspace, clock) as found:
        yield found


@pytest.fixture(scope="module")
def shared(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    """A monitor for the tests of a module that do not mind each other's events."""
    root = copy_workspace(trained, tmp_path_factory.mktemp("shared") / "ws")
    with running(root, Clock()) as found:
        yield found


@dataclass
class Served:
    """A monitor behind a real socket."""

    url: str
    app: FastAPI
    texts: dict[str, str]

    def client(self, scope: str = "operate", **more: Any) -> httpx.Client:
        """A client with a key."""
        headers = {"Authorization": f"Bearer {self.texts[scope]}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, **more)


@contextmanager
def serving(workspace: Path, clock: Clock | None = None, **settings: Any) -> Iterator[Served]:
    """A uvicorn server on a free port, over ``workspace``."""
    from tidemill_monitor.app import create_app

    app = create_app(settings_of(workspace, **settings), clock=clock)
    keys = app.state.service.keys
    texts = {scope: keys.create(f"test {scope}", scope) for scope in ("ingest", "read", "operate")}
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="error", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [found]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            yield Served(f"http://127.0.0.1:{found.getsockname()[1]}", app, texts)
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture
def serve() -> Callable[..., Any]:
    """Serve a workspace on a free port: a context manager, with settings as keywords."""
    return serving


class Rides:
    """Rows of the workspace's own data, in every shape in which a client may send them.

    Parameters
    ----------
    root : Path
        A workspace that was run.
    """

    def __init__(self, root: Path) -> None:
        self.table = pa.concat_tables(
            [
                pa.parquet.read_table(path)
                for path in sorted((root / "data/shards").glob("*.parquet"))
            ],
            promote_options="permissive",
        )
        self.schema = TableSchema.from_json(_candidate_schema(root))

    def rows(self, count: int, start: int = 0) -> pa.Table:
        """Some rows, typed as the model has them."""
        names = [column.name for column in self.schema.columns]
        return self.table.select(names).slice(start, count)

    def records(
        self, count: int, start: int = 0, *, prefix: str | None = "e", at: dt.datetime | None = None
    ) -> list[dict[str, Any]]:
        """Records of /v1/predict; with ``prefix`` None they have no ids."""
        found = []
        for number, row in enumerate(self._features(count, start)):
            record: dict[str, Any] = {"features": row}
            if prefix is not None:
                record["event_id"] = f"{prefix}{start + number}"
            if at is not None:
                record["at"] = at.isoformat()
            found.append(record)
        return found

    def events(
        self, count: int, start: int = 0, *, prefix: str = "e", at: dt.datetime, score: float = 0.25
    ) -> list[dict[str, Any]]:
        """Events of /v1/events, all with one made-up score."""
        label = self.schema.classes[int(score > 0.5)]
        more = {"at": at.isoformat(), "prediction": label, "score": score}
        return [record | more for record in self.records(count, start, prefix=prefix)]

    def labels(self, count: int, start: int = 0, *, prefix: str = "e") -> list[dict[str, Any]]:
        """Labels of /v1/labels: what the data say of the same rows."""
        truths = self.rows(count, start)[self.schema.target.name].to_pylist()
        return [
            {"event_id": f"{prefix}{start + i}", "truth": truth}
            for i, truth in enumerate(truths)
            if truth is not None
        ]

    def event_table(
        self, count: int, start: int = 0, *, prefix: str = "e", at: dt.datetime, score: float = 0.25
    ) -> pa.Table:
        """The same events as an Arrow table."""
        features = [c.name for c in self.schema.features if c.purpose is not Purpose.TIME]
        rows = self.rows(count, start)
        label = self.schema.classes[int(score > 0.5)]
        columns = {
            "event_id": pa.array([f"{prefix}{start + i}" for i in range(rows.num_rows)]),
            "at": pa.array([at] * rows.num_rows, pa.timestamp("us", "UTC")),
            "prediction": pa.array([label] * rows.num_rows),
            "score": pa.array(np.full(rows.num_rows, score)),
        }
        return pa.table({**columns, **{name: rows[name] for name in features}})

    def _features(self, count: int, start: int) -> list[dict[str, Any]]:
        names = [c.name for c in self.schema.features if c.purpose is not Purpose.TIME]
        rows = self.rows(count, start).select(names).to_pylist()
        return [{k: _json_value(v) for k, v in row.items()} for row in rows]


def _json_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, dt.datetime) else value


def _candidate_schema(root: Path) -> dict[str, Any]:
    import json

    return json.loads((root / "models/candidate/training.json").read_text())["schema"]


@pytest.fixture(scope="session")
def rides(trained: Path) -> Rides:
    """Rows to send."""
    return Rides(trained)


def arrow_stream(table: pa.Table) -> bytes:
    """A table as the body of a request."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.fixture(scope="session")
def as_stream() -> Callable[[pa.Table], bytes]:
    """A table as an Arrow stream."""
    return arrow_stream


@pytest.fixture(autouse=True)
def _logs_at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
