"""One small workspace for the session: made, run once, and copied for the tests that need one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidemill.testing.commands import Said, run_command
from tidemill.testing.file_servers import s3_files
from tidemill.testing.postgres import postgres
from tidemill.testing.shells import forking_shell, plain_shell
from tidemill.testing.workspaces import copy_workspace, made_once, run_here, small_workspace

__all__ = ["postgres", "s3_files"]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The environment of a plain shell, with a git identity."""
    git = tmp_path_factory.mktemp("git") / "config"
    git.write_text("[user]\n\tname = Test\n\temail = test@example.org\n")
    with plain_shell(GIT_CONFIG_GLOBAL=str(git), PYTHONPATH=str(ROOT / "platform")):
        yield


def spoil_last_row(folder: Path) -> tuple[str, int, str]:
    """Write a word into a number of the last row of the last file: its path, row, key."""
    path = sorted(folder.glob("*.csv"))[-1]
    lines = path.read_text().splitlines()
    names, cells = lines[0].split(","), lines[-1].split(",")
    cells[names.index("distance_km")] = "far"
    path.write_text("\n".join([*lines[:-1], ",".join(cells)]) + "\n")
    return path.name, len(lines) - 2, cells[0]


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that was never run: 3 files of 2,000 rows, several batches each.

    Its very last row is bad, see ``bad_row``.
    """

    def make(folder: Path) -> None:
        small_workspace(folder / "ws", settings=["ingestion.batch_rows=700"])
        noted = spoil_last_row(folder / "ws" / "data" / "raw")
        (folder / "bad_row.json").write_text(json.dumps(noted))

    return made_once(tmp_path_factory.getbasetemp(), "blank", make) / "ws"


@pytest.fixture(scope="session")
def bad_row(blank: Path) -> tuple[str, int, str]:
    """File name, 0-based row and key of the bad row in the session's data."""
    name, row, key = json.loads((blank.parent / "bad_row.json").read_text())
    return name, row, key


@pytest.fixture(scope="session")
def finished(
    blank: Path, shell: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The session's workspace after one whole run, in git; never change it, take a copy."""

    def make(folder: Path) -> None:
        root = copy_workspace(blank, folder / "ws")
        shell(root, "git", "init", "-q")
        run_here(root)
        commit_all(root, shell)

    return made_once(tmp_path_factory.getbasetemp(), "ran", make) / "ws"


def commit_all(root: Path, shell: Callable[..., str]) -> None:
    """Commit all that git follows."""
    shell(root, "git", "add", "-A")
    shell(root, "git", "commit", "-qm", "as it is")


@pytest.fixture
def copy(tmp_path: Path) -> Callable[..., Path]:
    """Copy a workspace into this test's folder."""
    from mlflow.tracking._tracking_service import utils

    def copied(source: Path, name: str = "ws") -> Path:
        # MLflow remembers by run where its files lie, and a copy holds the same runs.
        utils._artifact_repos_cache.clear()
        return copy_workspace(source, tmp_path / name)

    return copied


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run the command line in this process: exit code, stdout, stderr, JSON of stdout."""

    return lambda *arguments: run_command(arguments, monkeypatch, capfd)


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Run a command in a folder; dvc and tidemill start by a fork, also where dvc starts them."""
    with forking_shell(tmp_path_factory.getbasetemp()) as run:
        yield run


def stages_run(summary: Any) -> list[str]:
    """Names of the stages that were not current."""
    return [run.stage for run in summary.stages if run.state == "ran"]


@pytest.fixture(scope="session")
def ran() -> Callable[[Any], list[str]]:
    """Names of the stages that a summary says were run."""
    return stages_run
