"""A small finished workspace for the commands that look into one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidemill.testing.commands import Said, run_command
from tidemill.testing.shells import plain_shell
from tidemill.testing.workspaces import copy_workspace, finished_workspace


def marked(kinds: Iterable[str], slow: set[str]) -> list[Any]:
    """The kinds, some of them for the slow tests: they fail where others do."""
    return [pytest.param(k, marks=[pytest.mark.slow] if k in slow else []) for k in kinds]


@pytest.fixture(scope="session", autouse=True)
def _surroundings() -> Iterator[None]:
    """The environment of a plain shell."""
    with plain_shell():
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of 6,000 rows after one whole run; never change it, take a copy."""
    return finished_workspace(tmp_path_factory.getbasetemp())


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Path], Path]:
    """Copy a workspace into this test's folder."""
    return lambda source: copy_workspace(source, tmp_path / "ws")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run the command line in this process: exit code, stdout, stderr, JSON of stdout."""

    return lambda *arguments: run_command(arguments, monkeypatch, capfd)
