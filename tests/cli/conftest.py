"""A small finished workspace for the commands that look into one."""

from __future__ import annotations

import json
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidemill.testing.workspaces import copy_workspace, run_here, small_workspace

Said = namedtuple("Said", "code out err document")


@pytest.fixture(scope="session", autouse=True)
def _surroundings() -> Iterator[None]:
    """The environment of a plain, wide shell: no servers, one worker."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("TIDEMILL_WORKERS", "1")
        patch.setenv("COLUMNS", "200")
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of 2,500 rows after one whole run; never change it, take a copy."""
    root = small_workspace(tmp_path_factory.mktemp("cli") / "ws", rows=2500)
    run_here(root)
    return root


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Path], Path]:
    """Copy a workspace into this test's folder."""
    return lambda source: copy_workspace(source, tmp_path / "ws")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run the command line in this process: exit code, stdout, stderr, JSON of stdout."""

    def run(*arguments: Any) -> Said:
        from tidemill.cli import main

        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["tidemill", *map(str, arguments)])
        code: Any = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        out, err = capfd.readouterr()
        document = json.loads(out) if "--json" in arguments and out else None
        return Said(code, out, err, document)

    return run
