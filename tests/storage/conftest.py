"""Small disks, sudden deaths, and servers of buckets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path

import pytest

from tidemill.testing.bucket_servers import (
    bucket_environment,
    made_bucket,
    moto_server,
    seaweed_server,
)
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


@contextmanager
def _environment(url: str):
    """What finds the server; workers come from another fork server: each keeps what it had."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bucket_environment(url).items():
            patch.setenv(name, value)
        server = forkserver.ForkServer()
        for name in ("connect_to_new_process", "ensure_running", "get_inherited_fds"):
            patch.setattr(forkserver, name, getattr(server, name))
        try:
            yield
        finally:
            if server._forkserver_pid is not None:
                os.kill(server._forkserver_pid, signal.SIGKILL)
                server._stop()


@pytest.fixture(scope="session", name="moto_server")
def _moto_server(tmp_path_factory):
    """The address of a server."""
    with moto_server(tmp_path_factory.mktemp("moto")) as url:
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
    """A real server of objects, and the environment that leads to it."""
    with seaweed_server(tmp_path_factory.mktemp("seaweed")) as url, _environment(url):
        yield url


@pytest.fixture(scope="module")
def seaweed_proxy(seaweed):
    """A proxy before the real server, and the environment that leads to the proxy."""
    with http_proxy(seaweed) as proxy, _environment(proxy.address):
        yield proxy


@pytest.fixture(scope="session")
def new_bucket() -> Callable[[str], str]:
    """Make a bucket at a server's address; its name."""
    return made_bucket
