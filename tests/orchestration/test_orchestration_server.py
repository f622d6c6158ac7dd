from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tidemill.errors import ServiceUnavailable
from tidemill.orchestration import TemporaryServer, require_prefect
from tidemill.orchestration.server import health_status

HERE = Path(__file__).parent


def test_the_server_answers_filters(client, api_url):
    """Every /filter route works: with a newer FastAPI the server starts and answers 422."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName

    require_prefect(api_url)
    run = client.create_flow_run(_nothing(), name="the one")
    only = FlowRunFilter(name=FlowRunFilterName(any_=["the one"]))
    assert [found.id for found in client.read_flow_runs(flow_run_filter=only)] == [run.id]


def _nothing():
    from prefect import flow

    return flow(lambda: None, name="nothing")


@pytest.mark.parametrize("moment", ["starts", pytest.param("answers", marks=pytest.mark.slow)])
def test_the_server_ends_with_its_starter(prefect_home, gone, moment):
    """kill -9 of the process that started a temporary server leaves no server."""
    holder = subprocess.Popen(
        [sys.executable, str(HERE / "hold_server.py"), moment],
        env={**os.environ, "PYTHONPATH": "platform"},
        stdout=subprocess.PIPE,
        text=True,
    )
    pid, address = holder.stdout.readline().split()
    assert psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    if moment == "answers":
        assert health_status(f"{address}/health") == 200

    holder.kill()
    holder.wait()
    holder.stdout.close()

    assert gone(int(pid))
    if moment == "answers":
        assert health_status(f"{address}/health") is None


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why(tmp_path, monkeypatch):
    """A database that cannot be opened: the server's last words, and nothing is left behind."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv(
        "PREFECT_SERVER_DATABASE_CONNECTION_URL", "sqlite+aiosqlite:////no/such/folder/prefect.db"
    )
    server = TemporaryServer().start()
    pid = server.pid

    with pytest.raises(ServiceUnavailable, match="did not start") as caught:
        server.wait()

    assert "--direct" in caught.value.remedy
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def test_something_else_behind_the_address_is_noticed():
    """A web server that is not Prefect's gets another message than silence does."""
    other = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    try:
        with pytest.raises(ServiceUnavailable, match="no Prefect API") as caught:
            require_prefect(f"http://127.0.0.1:{other.server_port}/api")
    finally:
        other.shutdown()
        other.server_close()
    assert caught.value.fields["status"] == 501
