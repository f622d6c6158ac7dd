"""The environment that tests of whole commands run in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tidemill.testing.forks import forked_commands

__all__ = ["forking_shell", "plain_shell"]

_SERVERS = ("MLFLOW_TRACKING_URI", "PREFECT_API_URL")


@contextmanager
def plain_shell(**more: str) -> Iterator[pytest.MonkeyPatch]:
    """A plain, wide shell: no servers or settings of the monitor, one worker, our own programs.

    Parameters
    ----------
    **more : str
        Variables to set besides.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name in _SERVERS or name.startswith("TIDEMILL_MONITOR_"):
                patch.delenv(name)
        patch.setenv("TIDEMILL_WORKERS", "1")
        patch.setenv("DVC_NO_ANALYTICS", "1")
        patch.setenv("COLUMNS", "200")
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        for name, value in more.items():
            patch.setenv(name, value)
        yield patch


@contextmanager
def forking_shell(base: Path) -> Iterator[Callable[..., Any]]:
    """Gives ``run(folder, *command, check=True, **variables)``: the command's stdout.

    With ``check=False`` the finished process. The programs of :func:`forked_commands` are found
    before others once one of them is asked for by its bare name; a path names the installed one.

    Parameters
    ----------
    base : Path
        pytest's base folder.
    """
    with ExitStack() as ended:

        @cache
        def programs() -> Path:
            return ended.enter_context(forked_commands(base))

        def run(folder: Path, *command: Any, check: bool = True, **variables: str) -> Any:
            environment = {**os.environ, **variables}
            if command[0] in ("dvc", "tidemill", "forked-python"):
                environment["PATH"] = f"{programs()}{os.pathsep}{environment['PATH']}"
            done = subprocess.run(  # noqa: S603 - what the test says
                [str(word) for word in command],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=900,
            )
            if check and done.returncode:
                raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}")
            return done.stdout if check else done

        yield run
