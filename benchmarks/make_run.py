"""What ``make run`` does after installation: the sample's 200,000 rows, through Prefect."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.measure import Measured, run
from benchmarks.table import Line, line

from tidemill.orchestration.owner import told_clients
from tidemill.storage import Workspace
from tidemill.testing.tcp_ports import free_ports

REPOSITORY = Path(__file__).parents[1]
FILES = ("params.yaml", "params.schema.json", "prefect.yaml", "expectations", "flows")


def measure(folder: Path) -> dict[str, Any]:
    """Measure with a fresh PREFECT_HOME, and with ``tidemill up`` running."""
    fresh = _run(_workspace(folder / "fresh"), {"PREFECT_HOME": str(_emptied(folder / "home"))})
    return {"fresh": fresh, "with_up": _with_up(folder)}


def lines(found: dict[str, Any]) -> list[Line]:
    """The lines of the table."""
    fresh, served = found["fresh"], found["with_up"]
    return [
        line("make run, 200k rows, fresh PREFECT_HOME: seconds", fresh["seconds"], 90),
        line("  of which outside the stages, and register", fresh["overhead_seconds"], 40),
        line("  the same with tidemill up", served["overhead_seconds"], 15),
    ]


def _workspace(folder: Path) -> Path:
    from tidemill.samples import write_sample

    _emptied(folder)
    for name in FILES:
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    write_sample(folder / "data" / "raw", rows=200_000, months=12, seed=42)
    return folder


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _run(workspace: Path, environment: dict[str, str]) -> dict[str, Any]:
    measured = run(
        [sys.executable, "-m", "tidemill", "run", "--json"], cwd=workspace, environment=environment
    )
    return _shares(measured)


def _shares(measured: Measured) -> dict[str, Any]:
    """Everything outside the stages, and register (all MLflow), is overhead."""
    summary = json.loads(measured.stdout)
    work = sum(s["seconds"] for s in summary["stages"] if s["stage"] != "register")
    return {
        "seconds": round(measured.seconds, 2),
        "overhead_seconds": round(measured.seconds - work, 2),
        "peak_mb": round(measured.peak_memory_bytes / 1e6, 1),
        "stages": {s["stage"]: s["seconds"] for s in summary["stages"]},
        "roc_auc": summary["challenger"],
    }


def _with_up(folder: Path) -> dict[str, Any]:
    workspace = _workspace(folder / "served")
    environment = {**os.environ, "PREFECT_HOME": str(_emptied(folder / "home-up"))}
    prefect, mlflow = free_ports(2)
    ports = ["--prefect-port", str(prefect), "--mlflow-port", str(mlflow)]
    server = subprocess.Popen(
        [sys.executable, "-m", "tidemill", "up", *ports],
        cwd=workspace,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(f"http://127.0.0.1:{prefect}/api/health")
        _wait(f"http://127.0.0.1:{mlflow}/health")
        return _run(
            workspace,
            {
                "PREFECT_HOME": environment["PREFECT_HOME"],
                **told_clients(Workspace.at(workspace)),
            },
        )
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def _wait(address: str) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"{address} does not answer")
