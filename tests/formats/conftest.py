"""Workspaces of earlier formats, made again from the folders beside this file."""

from __future__ import annotations

import datetime as dt
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tidemill.testing.commands import Said, run_command
from tidemill.testing.postgres import postgres
from tidemill.testing.shells import plain_shell

__all__ = ["postgres"]

HERE = Path(__file__).parent
PLACE = "@WORKSPACE@"
DATABASES = {"mlflow.sql": "mlflow.db", "ledger.sql": "ledger.db"}
REVISIONS = sorted(path.name for path in HERE.iterdir() if (path / "rides").is_dir())
END = dt.datetime(2026, 3, 2, 6, tzinfo=dt.UTC)
"""An hour after the fixtures' last event."""


@pytest.fixture(scope="session", autouse=True)
def _surroundings() -> Iterator[None]:
    """The environment of a plain shell."""
    with plain_shell():
        yield


def restored(kept: Path, root: Path) -> Path:
    """The workspace that ``kept`` holds, at ``root``: its databases are files again."""
    shutil.copytree(kept, root)
    for text in (p for name in DATABASES for p in sorted(root.rglob(name))):
        with closing(sqlite3.connect(text.with_name(DATABASES[text.name]))) as connection:
            connection.executescript(text.read_text().replace(PLACE, str(root)))
        text.unlink()
    record = root / ".tidemill" / "registered.json"
    record.write_text(record.read_text().replace(PLACE, str(root)))
    return root


@pytest.fixture(params=REVISIONS)
def rides(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The binary workspace of a revision, with its ledger."""
    return restored(HERE / request.param / "rides", tmp_path / "rides")


@pytest.fixture(params=REVISIONS)
def fares(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The workspace of a revision that has neither key nor time, and predicts a number."""
    return restored(HERE / request.param / "fares", tmp_path / "fares")


@pytest.fixture(params=[f"{each}/{name}" for each in REVISIONS for name in ("rides", "fares")])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Each of them in turn."""
    return restored(HERE / request.param, tmp_path / "kept")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run the command line in this process: exit code, stdout, stderr, JSON of stdout."""
    return lambda *arguments: run_command(arguments, monkeypatch, capfd)


@pytest.fixture
def now() -> Any:
    """A clock that stands an hour after the fixtures' last event until ``moment`` is moved."""

    class Clock:
        moment = END

        def __call__(self) -> dt.datetime:
            return self.moment

    return Clock()
