"""Small disks, sudden deaths, and a server of S3."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tidemill.testing.file_servers import s3_files

__all__ = ["s3_files"]

EVENTS = {"open", "os.link", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}


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
