"""The environment that tests of whole commands run in."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["plain_shell"]

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
