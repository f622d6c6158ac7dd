"""From look to reduce on Dask's workers, and over S3, beside the same work on one disk.

Each in turn, ``REPEATS`` times, with two workers of one thread; the cluster is Dask's own of one
command (its scheduler and workers count), the bucket is SeaweedFS's on this machine (its CPU
seconds are told apart). The manifest of the shards must be the same bytes. ``TIDEMILL_BENCH_ROWS``
(default 2000000) makes it smaller.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psutil
from benchmarks.measure import run
from benchmarks.table import Line, line

from tidemill.samples import write_sample
from tidemill.storage import hash_file

ROWS = int(os.environ.get("TIDEMILL_BENCH_ROWS", "2000000"))
REPEATS = int(os.environ.get("TIDEMILL_BENCH_PAIRS", "3"))
TOOL = [sys.executable, "-m", "tidemill"]
KEYS = {"AWS_ACCESS_KEY_ID": "tide", "AWS_SECRET_ACCESS_KEY": "mill-secret"}


def measure(folder: Path) -> dict[str, Any]:
    """Medians of each way, and the ratios pair by pair."""
    raw = folder / "rides"
    if not raw.exists():
        write_sample(raw, rows=ROWS, months=12, seed=42)
    with _bucket(folder) as (server, environment):
        ways: dict[str, tuple[Mapping[str, str], str | None]] = {
            "local": ({}, None),
            "dask": ({"TIDEMILL_ENGINE": "dask"}, None),
            "s3": (environment, "s3://bench/lake"),
        }
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
        for _ in range(REPEATS):
            for name, (extra, url) in ways.items():
                before = _cpu(server)
                found = _once(folder / name, raw, extra, url)
                found["server_cpu_seconds"] = round(_cpu(server) - before, 1)
                runs[name].append(found)
    hashes = {one["manifest"] for each in runs.values() for one in each}
    if len(hashes) != 1:
        raise RuntimeError(f"the manifests differ: {runs}")
    return {"rows": ROWS, "repeats": REPEATS, "runs": runs}


def lines(found: dict[str, Any]) -> list[Line]:
    """Wall and CPU of each beside local."""
    runs = found["runs"]

    def ratio(name: str, figure: str) -> float:
        pairs = zip(runs[name], runs["local"], strict=True)
        return statistics.median(a[figure] / b[figure] for a, b in pairs)

    size = f"look to reduce, {found['rows']:,} rows"
    return [
        line(f"{size}: wall, Dask / local", ratio("dask", "seconds"), 1.15),
        line("  CPU seconds", ratio("dask", "cpu_seconds"), 1.15),
        line(f"{size}: wall, S3 / disk", ratio("s3", "seconds"), 2.0),
        line("  CPU seconds, without the server's", ratio("s3", "cpu_seconds"), 2.0),
    ]


def _once(workspace: Path, raw: Path, extra: Mapping[str, str], url: str | None) -> dict[str, Any]:
    shutil.rmtree(workspace, ignore_errors=True)
    shutil.rmtree(f"{workspace}-cache", ignore_errors=True)
    init = [*TOOL, "init", str(workspace), "--source", str(raw), "--target", "cancelled"]
    init += ["--time", "requested_at", "--key", "ride_id"]
    init += [f"--set=storage.url={url}"] if url else []
    run(init, cwd=raw.parent)
    environment = {"TIDEMILL_WORKERS": "2", "TIDEMILL_CACHE_DIR": f"{workspace}-cache", **extra}
    command = [*TOOL, "run", "--direct", "--until", "reduce", "-w", str(workspace)]
    measured = run(command, cwd=workspace, environment=environment)
    return {
        "seconds": round(measured.seconds, 1),
        "cpu_seconds": round(measured.cpu_seconds, 1),
        "peak_memory_mb": round(measured.peak_memory_bytes / 1e6, 1),
        "manifest": hash_file(workspace / "data" / "shards" / "manifest.json"),
    }


@contextmanager
def _bucket(folder: Path) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    data = folder / "weed"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    identity = {
        "name": "tide",
        "credentials": [{"accessKey": "tide", "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"]}],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    (data / "s3.json").write_text(json.dumps({"identities": [identity]}))
    s3, *others = random.sample(range(20_000, 30_000), 4)
    command = [str(Path(sys.executable).with_name("weed")), "server", "-s3", f"-dir={data}"]
    command += ["-ip=127.0.0.1", "-master.telemetry=false", "-s3.port.iceberg=0"]
    command += ["-s3.port.lance=0", f"-s3.port={s3}", f"-s3.config={data / 's3.json'}"]
    for option, port in zip(("master", "volume", "filer"), others, strict=True):
        command.append(f"-{option}.port={port}")
    environment = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3}", "AWS_REGION": "us-east-1"}
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _make(environment, s3)
        yield psutil.Process(server.pid), environment
    finally:
        server.kill()
        server.wait()


def _make(environment: Mapping[str, str], port: int) -> None:
    ends = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    while True:
        try:
            client.create_bucket(Bucket="bench")
            client.put_object(Bucket="bench", Key="ready", Body=b"1")
            return
        except Exception:
            if time.monotonic() > ends:
                raise
            time.sleep(0.5)


def _cpu(server: psutil.Process) -> float:
    used = server.cpu_times()
    return float(used.user + used.system)
