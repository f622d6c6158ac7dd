"""The monitor over HTTP: durable events beside the plain way, and one-row predictions at 200/s.

``python -m benchmarks.monitor_http [FOLDER]`` prints the table. Server and client share the
machine; bodies are made before the clock starts, for both sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from benchmarks.table import line

from tidemill.testing.tcp_ports import free_ports

REPOSITORY = Path(__file__).parents[1]
ARROW = "application/vnd.apache.arrow.stream"
KEY = f"tm_0123456789ab_{secrets.token_hex(32)}"
BATCH = 1000
BATCHES = 150
CONNECTIONS = 4
RATE = 200
SECONDS = 15
SETTINGS = (
    "dataset.name=rides",
    "tuning.trials=0",
    "training.params={num_iterations: 100, learning_rate: 0.1, num_leaves: 31}",
)


def measure(folder: Path, *, mlflow: bool = True) -> dict[str, Any]:
    """Measure in ``folder``; events alternate between the monitor and its peer, three times."""
    root = _workspace(folder)
    rides = _Rides(root)
    found: dict[str, Any] = {"events": [], "peer": []}
    for number in range(3):
        with _monitor(root, folder / f"monitor-{number}") as port:
            found["events"].append(_events(port, rides))
        with _peer(rides, folder / f"peer-{number}.db") as port:
            found["peer"].append(
                _load(port, "/v1/events", "application/json", rides.json_batches("p"))
            )
    with _monitor(root, folder / "monitor-p") as port:
        found["predict"] = _predictions(port, rides)
    if mlflow:
        found["mlflow"] = _mlflow(root, rides)
    return found


def lines(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What is aimed at, what was measured; in the style of benchmarks/__main__.py."""
    arrow = _middle([one["arrow"] for one in found["events"]])
    by_json = _middle([one["json"] for one in found["events"]])
    peer = _middle(found["peer"])
    predict = found["predict"]
    shown = [
        line("durable events, Arrow, batches of 1,000: rows/s", arrow, 30_000, least=True),
        line("durable events, JSON, batches of 1,000: rows/s", by_json, 10_000, least=True),
        line("  Arrow, times FastAPI + executemany", arrow / peer, 3, least=True),
        line("  JSON, times FastAPI + executemany", by_json / peer, 1, least=True),
        line(f"predict, {RATE}/s of one row: p99 ms", predict["p99_ms"], 15),
        line("predict, Arrow batches of 1,000: rows/s", predict["arrow"], 60_000, least=True),
        line("predict, JSON batches of 1,000: rows/s", predict["json"], 30_000, least=True),
    ]
    if "mlflow" in found:
        p99 = found["mlflow"]["p99_ms"]
        shown.append(
            line(f"  p99, ours / mlflow models serve at {RATE}/s", predict["p99_ms"] / p99, 1)
        )
    return shown


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _workspace(folder: Path) -> Path:
    from tidemill.testing.workspaces import run_here, small_workspace

    root = folder / "ws"
    if not (root / "models" / "candidate").exists():
        shutil.rmtree(root, ignore_errors=True)
        small_workspace(root, rows=40_000, months=6, settings=SETTINGS)
        run_here(root)
    return root


class _Rides:
    """Rows of the workspace as bodies of requests."""

    def __init__(self, root: Path) -> None:
        document = json.loads((root / "models/candidate/training.json").read_text())["schema"]
        roles = {c["name"]: c["purpose"] for c in document["columns"]}
        self.names = [name for name, role in roles.items() if role == "feature"]
        files = sorted((root / "data/shards").glob("*.parquet"))
        columns = pa.concat_tables([pq.read_table(f, columns=self.names) for f in files]).slice(
            0, BATCH
        )
        plain = [
            c.cast(pa.string()) if pa.types.is_dictionary(c.type) else c for c in columns.columns
        ]
        self.table = pa.table(plain, names=self.names)
        self.rows = [
            {k: v.isoformat() if isinstance(v, dt.datetime) else v for k, v in row.items()}
            for row in self.table.to_pylist()
        ]

    def json_batches(self, prefix: str) -> list[bytes]:
        at = dt.datetime.now(dt.UTC).isoformat()
        more = {"at": at, "prediction": "1", "score": 0.75}
        return [
            json.dumps(
                {
                    "events": [
                        {"event_id": f"{prefix}{b}-{i}", "features": row, **more}
                        for i, row in enumerate(self.rows)
                    ]
                }
            ).encode()
            for b in range(BATCHES)
        ]

    def arrow_batches(self, prefix: str) -> list[bytes]:
        rows = self.table.num_rows
        found = []
        for b in range(BATCHES):
            head = {
                "event_id": [f"{prefix}{b}-{i}" for i in range(rows)],
                "at": pa.array([dt.datetime.now(dt.UTC)] * rows, pa.timestamp("us", "UTC")),
                "prediction": ["1"] * rows,
                "score": [0.75] * rows,
            }
            body = {name: self.table[name] for name in self.names}
            found.append(_stream(pa.table({**head, **body})))
        return found

    def record(self, number: int) -> bytes:
        features = self.rows[number % len(self.rows)]
        return json.dumps({"records": [{"features": features}]}).encode()


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _events(port: int, rides: _Rides) -> dict[str, float]:
    return {
        "arrow": _load(port, "/v1/events", ARROW, rides.arrow_batches("a")),
        "json": _load(port, "/v1/events", "application/json", rides.json_batches("j")),
    }


def _predictions(port: int, rides: _Rides) -> dict[str, Any]:
    records = [rides.record(i) for i in range(RATE * SECONDS)]
    asyncio.run(_steady(port, "/v1/predict", records[: RATE * 2]))  # warm
    found = asyncio.run(_steady(port, "/v1/predict", records))
    batch = json.dumps({"records": [{"features": row} for row in rides.rows]}).encode()
    found["json"] = _load(port, "/v1/predict", "application/json", [batch] * BATCHES)
    found["arrow"] = _load(
        port, "/v1/predict", ARROW, [_stream(rides.table)] * BATCHES, accept=ARROW
    )
    return found


def _load(
    port: int, path: str, kind: str, bodies: Sequence[bytes], *, accept: str = "application/json"
) -> float:
    """Rows a second of batches that are sent one after another over a few connections."""
    warm, bodies = bodies[:5], bodies[5:]

    async def run() -> float:
        for body in warm:
            await _ask_once(port, path, kind, body, accept)
        waiting = list(reversed(bodies))
        started = time.perf_counter()
        await asyncio.gather(
            *(_drain(port, path, kind, waiting, accept) for _ in range(CONNECTIONS))
        )
        return len(bodies) * BATCH / (time.perf_counter() - started)

    return asyncio.run(run())


async def _ask_once(port: int, path: str, kind: str, body: bytes, accept: str) -> None:
    await _drain(port, path, kind, [body], accept)


async def _drain(port: int, path: str, kind: str, waiting: list[bytes], accept: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 26)
    while waiting:
        await _ask(reader, writer, path, kind, waiting.pop(), accept)
    writer.close()


async def _ask(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    path: str,
    kind: str,
    body: bytes,
    accept: str = "application/json",
) -> None:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: {kind}\r\nAccept: {accept}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    answer = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2])
        for line in answer.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    content = await reader.readexactly(length)
    if answer.split(b" ", 2)[1] not in (b"200", b"202"):
        raise RuntimeError(f"{answer!r} {content[:500]!r}")


async def _steady(port: int, path: str, bodies: Sequence[bytes]) -> dict[str, Any]:
    """Latency of requests sent on time, whether or not earlier ones were answered."""
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    latencies: list[float] = []
    failed = 0

    async def one(body: bytes, due: float) -> None:
        nonlocal failed
        connection = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        try:
            await _ask(*connection, path, "application/json", body)
        except (RuntimeError, OSError, asyncio.IncompleteReadError):
            failed += 1
            return
        latencies.append(time.perf_counter() - due)
        idle.append(connection)

    tasks = []
    started = time.perf_counter()
    for number, body in enumerate(bodies):
        due = started + number / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(body, due)))
    await asyncio.gather(*tasks)
    elapsed = time.perf_counter() - started
    latencies.sort()
    at = {
        q: latencies[min(len(latencies) - 1, int(len(latencies) * q))] * 1e3
        for q in (0.5, 0.95, 0.99)
    }
    return {
        "p50_ms": at[0.5],
        "p95_ms": at[0.95],
        "p99_ms": at[0.99],
        "max_ms": latencies[-1] * 1e3,
        "answered_per_second": len(latencies) / elapsed,
        "failed": failed,
    }


@contextmanager
def _monitor(root: Path, folder: Path) -> Iterator[int]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "keys").write_text(f"operate {KEY}\n")
    (port,) = free_ports(1)
    environment = {
        "TIDEMILL_MONITOR_WORKSPACE": str(root),
        "TIDEMILL_MONITOR_STORE": f"sqlite:///{folder / 'ledger.db'}",
        "TIDEMILL_MONITOR_PORT": str(port),
        "TIDEMILL_MONITOR_KEYS_FILE": str(folder / "keys"),
    }
    code = "from tidemill_monitor.http_server import serve; serve()"
    with _process([sys.executable, "-c", code], environment, port, "/readyz"):
        yield port


@contextmanager
def _peer(rides: _Rides, database: Path) -> Iterator[int]:
    database.unlink(missing_ok=True)
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "uvicorn", "benchmarks.monitor_peer:app", "--port", str(port)]
    environment = {"PEER_DB": str(database), "PEER_COLUMNS": ",".join(rides.names)}
    with _process([*command, "--no-access-log"], environment, port, "/docs"):
        yield port


def _mlflow(root: Path, rides: _Rides) -> dict[str, Any]:
    """``mlflow models serve`` of the same version; it stores nothing."""
    (port,) = free_ports(1)
    command = [str(Path(sys.executable).with_name("mlflow")), "models", "serve"]
    options = ["-m", "models:/rides@champion", "--env-manager", "local", "--port", str(port)]
    environment = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{root / 'mlflow.db'}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with _process([*command, *options], environment, port, "/ping"):
        bodies = [
            json.dumps({"dataframe_records": [_for_pyfunc(rides.rows[i % BATCH])]}).encode()
            for i in range(RATE * SECONDS)
        ]
        asyncio.run(_steady(port, "/invocations", bodies[:RATE]))
        return asyncio.run(_steady(port, "/invocations", bodies))


def _for_pyfunc(row: dict[str, Any]) -> dict[str, Any]:
    return {"requested_at": "2026-01-31T09:30:00", **row}


@contextmanager
def _process(
    command: Sequence[str], environment: dict[str, str], port: int, path: str
) -> Iterator[None]:
    paths = os.pathsep.join(str(REPOSITORY / name) for name in ("platform", "monitoring"))
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": paths, **environment},
            stdout=errors,
            stderr=errors,
            start_new_session=True,
        )
        try:
            _wait(f"http://127.0.0.1:{port}{path}", process)
            yield
        except BaseException:
            errors.seek(0)
            sys.stderr.write(errors.read()[-3000:].decode(errors="replace"))
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"{address} does not answer")
