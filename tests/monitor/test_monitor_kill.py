"""kill -9 under load: no acknowledged event is lost, none is counted twice."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
KEY = "tm_0123456789ab_" + "c0ffee" * 10 + "beef"
ROUNDS = 30


class Killed:
    """A monitor process that is killed and started again."""

    def __init__(self, workspace: Path, keys: Path) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.command = [sys.executable, str(Path(__file__).with_name("run_monitor.py"))]
        self.command += [str(workspace), str(self.port), str(keys)]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        paths = os.pathsep.join(str(ROOT / name) for name in ("platform", "monitoring"))
        self.process = subprocess.Popen(self.command, env={**os.environ, "PYTHONPATH": paths})
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the monitor did not start again"
            try:
                if httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.2)
        raise AssertionError("the monitor does not answer")

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {KEY}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, verify=False)


def send(killed: Killed, rides, at, stop: threading.Event, thread: int, sent, acknowledged) -> None:
    """Report and predict until told to stop, through every death; note what was acknowledged."""
    number = 0
    while not stop.is_set():
        prefix = f"t{thread}-{number}-"
        number += 1
        rows = rides.events(20, prefix=prefix, at=at)
        names = {row["event_id"] for row in rows}
        sent.update(names)
        body = {"events": rows}
        path = "/v1/events"
        if number % 3 == 0:
            path, body = "/v1/predict", {"records": rides.records(20, prefix=prefix)}
        while not stop.is_set():
            try:
                with killed.client() as client:
                    answer = client.post(path, json=body)
            except httpx.HTTPError:
                time.sleep(0.3)
                continue
            assert answer.status_code in (200, 202), answer.text
            acknowledged.update(names)
            break


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_killed_under_load_thirty_times(workspace, tmp_path, rides, clock, serve):
    """Clients that repeat what was not answered: in the end every event is there, once."""
    keys = tmp_path / "keys"
    keys.write_text(f"operate {KEY}\n")
    killed = Killed(workspace, keys)
    stop, sent, acknowledged = threading.Event(), set(), set()
    threads = [
        threading.Thread(target=send, args=(killed, rides, clock(), stop, n, sent, acknowledged))
        for n in range(3)
    ]
    chance = random.Random(5)
    killed.start()
    for thread in threads:
        thread.start()
    try:
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0.05, 1.5))
            killed.kill()
            killed.start()
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        killed.kill()
    assert len(acknowledged) > 100
    with serve(workspace, keys_file=keys) as served:
        ledger = served.app.state.service.ledger
        ledger.settle()
        stored = ledger.events.totals(clock()).rows
        windows = sum(window.rows + window.late_rows for window in ledger.windows.list(limit=1000))
        with served.client() as client:
            names = sorted(acknowledged)
            labels = [{"event_id": name, "truth": "0"} for name in names]
            answer = client.post("/v1/labels", json={"labels": labels}).json()
    assert answer["matched"] == len(names)
    assert answer["pending"] == 0
    assert len(acknowledged) <= stored <= len(sent)
    assert windows == stored
