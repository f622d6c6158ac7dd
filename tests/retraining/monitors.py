"""A real monitor in a process of its own, for tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pyarrow as pa
from standardwebhooks import Webhook

from tidemill.monitor_client import ARROW, MonitorClient

ROOT = Path(__file__).parents[2]
KEY = f"tm_{'a1' * 6}_{'b2' * 32}"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Monitor:
    """A running monitor."""

    url: str
    process: subprocess.Popen
    log: Path

    def client(self) -> MonitorClient:
        return MonitorClient(self.url, KEY, patience_seconds=30)

    def send(self, path: str, table: pa.Table):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        with self.client() as client:
            content = sink.getvalue().to_pybytes()
            return client.request(
                "POST", path, content=content, headers={"Content-Type": ARROW}
            ).json()

    def play(self, table: pa.Table, target: str) -> None:
        """Predict every row, and tell what turned out."""
        plain = table.cast(
            pa.schema(
                [f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f
                 for f in table.schema]
            )
        )  # fmt: skip
        self.send("/v1/predict", plain.drop_columns([target]))
        labels = pa.table({"event_id": plain["event_id"], "truth": plain[target]})
        assert self.send("/v1/labels", labels)["matched"] == table.num_rows

    def ask_for_retraining(self, reason: str) -> int:
        """The signed request of an outside system; the decision's id."""
        content = f'{{"reason": "{reason}"}}'
        now, message = datetime.now(UTC), f"msg_{uuid.uuid4().hex}"
        headers = {
            "webhook-id": message,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign(message, now, content),
            "content-type": "application/json",
        }
        answer = httpx.post(f"{self.url}/v1/retrain", content=content, headers=headers)
        assert answer.status_code == 202, answer.text
        return answer.json()["decision_id"]


@contextmanager
def running_monitor(root: Path, **variables: str) -> Iterator[Monitor]:
    """Start a monitor of the workspace on a free port; ended at the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keys = root / ".tidemill" / "test-keys"
    keys.parent.mkdir(exist_ok=True)
    keys.write_text(f"operate {KEY}\n")
    log = root / ".tidemill" / "monitor.log"
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("TIDEMILL_", "PREFECT_"))},
        "PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT / "monitoring")]),
        "TIDEMILL_MONITOR_WORKSPACE": str(root),
        "TIDEMILL_MONITOR_PORT": str(port),
        "TIDEMILL_MONITOR_KEYS_FILE": str(keys),
        "TIDEMILL_MONITOR_WEBHOOK_SECRET": SECRET,
        **variables,
    }
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tidemill_monitor"],
            env=environment,
            cwd=root,
            stdout=file,
            stderr=file,
        )
    monitor = Monitor(f"http://127.0.0.1:{port}", process, log)
    try:
        deadline = time.monotonic() + 280
        while not _well(monitor.url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield monitor
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _well(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=10).status_code == 200
    except httpx.TransportError:
        return False
