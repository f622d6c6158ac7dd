"""What the guard before Prefect and MLflow costs: CPU seconds and memory until a server is well.

``measure(folder)`` starts each server twice in a folder of its own, on a fresh store and on the one
that is then there, and stops it as soon as its health answers. Beside ours: what the servers'
own commands take, and MLflow's basic auth. CPU seconds, because wall time of a busy machine says
nothing.
"""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from benchmarks.table import Line, line

from tidemill.orchestration.owner import Installation
from tidemill.orchestration.services import Addresses, mlflow_server, prefect_server
from tidemill.settings import Settings
from tidemill.storage import Workspace
from tidemill.testing.tcp_ports import free_ports

GUARDED = {"mlflow guarded": "mlflow server", "prefect guarded": "prefect server"}
"""Ours, and the servers' own command beside which it stands."""
LONGEST_SECONDS = 300


def measure(folder: Path) -> dict[str, Any]:
    """CPU seconds until health answers, and memory then; on a fresh store and an existing one."""
    found: dict[str, Any] = {}
    for name in ("mlflow server", "mlflow basic-auth", *GUARDED, "prefect server"):
        place = folder / name.replace(" ", "-")
        place.mkdir(parents=True, exist_ok=True)
        found[name] = {store: _start(name, place) for store in ("fresh", "existing")}
    return found


def lines(found: dict[str, Any]) -> list[Line]:
    """Lines for the table of ``python -m benchmarks``."""
    return [
        line(
            f"{ours}, {store} store: CPU seconds until it is well, times those of {plain}",
            found[ours][store]["cpu_seconds"] / found[plain][store]["cpu_seconds"],
            1.1,
        )
        for ours, plain in GUARDED.items()
        for store in ("fresh", "existing")
    ]


def _start(name: str, place: Path) -> dict[str, float]:
    command, environment, health = _command(name, place)
    with (place / "log").open("a") as log:
        process = psutil.Popen(command, cwd=place, env=environment, stdout=log, stderr=log)
    try:
        _wait(health, process, place / "log")
        tree = [process, *process.children(recursive=True)]
        times = [member.cpu_times() for member in tree]
        return {
            "cpu_seconds": round(sum(t.user + t.system for t in times), 2),
            "mb": round(sum(member.memory_full_info().pss for member in tree) / 1e6, 1),
        }
    finally:
        members = process.children(recursive=True)
        process.terminate()
        psutil.wait_procs([process, *members], timeout=60)
        for member in members:
            if member.is_running():
                member.kill()


def _command(name: str, place: Path) -> tuple[Sequence[str], Mapping[str, str], str]:
    """How a server is started, its environment, and where it says that it is well."""
    workspace, (prefect, mlflow, monitor) = Workspace.at(place), free_ports(3)
    at = Addresses.of(Settings(), "127.0.0.1", prefect, mlflow, monitor)
    if name in GUARDED:
        owner = Installation.of(workspace)
        service = (
            mlflow_server(workspace, Settings(), at, owner)
            if name.startswith("mlflow")
            else prefect_server(at, owner, place)
        )
        home = {"PREFECT_HOME": str(place / "prefect")}
        return service.command, {**service.environment, **home}, str(service.health)
    environment = {**os.environ, "PREFECT_HOME": str(place / "prefect")}
    if name == "prefect server":
        command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(prefect)]
        return _module(command), environment, f"http://127.0.0.1:{prefect}/api/health"
    store, port = f"sqlite:///{place / 'mlflow.db'}", ["--port", str(mlflow)]
    command = ["mlflow", "server", "--backend-store-uri", store, "--workers", "1", *port]
    command += ["--app-name", "basic-auth"] if name.endswith("basic-auth") else []
    environment |= {
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of a bench",
        "MLFLOW_AUTH_ADMIN_PASSWORD": "password of a bench",
    }
    return _module(command), environment, f"http://127.0.0.1:{mlflow}/health"


def _module(command: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", *command]


def _wait(address: str, process: psutil.Popen, log: Path) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline and process.is_running():
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except urllib.error.HTTPError as error:
            if error.code == 401:
                # Basic auth that guards its health too is well.
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"{address} does not answer:\n{log.read_text()[-2000:]}")
