"""DVC's failures as tidemill's, and its silence."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidemill.errors import ConfigError, IntegrityError, TidemillError, WorkspaceBusy
from tidemill.storage import storage_errors

__all__ = ["dvc_errors"]


@contextmanager
def dvc_errors(root: Path) -> Iterator[None]:
    """Run DVC quietly (it prints to stdout) and turn what it raises into a TidemillError."""
    from dvc.exceptions import DvcException
    from dvc.logger import set_loggers_level

    try:
        with storage_errors(root), set_loggers_level(logging.ERROR):
            yield
    except DvcException as exc:
        raise _translate(exc, root) from exc


def _translate(exc: Exception, root: Path) -> TidemillError:
    from dvc.dependency.base import DependencyDoesNotExistError
    from dvc.dependency.param import MissingParamsError
    from dvc.lock import LockError
    from dvc.output import OutputDoesNotExistError

    text = " ".join(str(exc).split())
    if isinstance(exc, LockError):
        return WorkspaceBusy(
            f"a DVC process is at work in {root}: {text}",
            remedy="wait for it to end; if there is none, delete .dvc/tmp/rwlock",
            path=str(root),
        )
    if isinstance(exc, (OutputDoesNotExistError, DependencyDoesNotExistError)):
        return IntegrityError(
            f"DVC: {text}",
            remedy="run the stage that makes it again: tidemill run",
            path=str(root),
        )
    if isinstance(exc, MissingParamsError):
        return ConfigError(
            f"DVC: {text}",
            remedy="write each section that dvc.yaml names into params.yaml, as {} if it is empty",
            path=str(root / "params.yaml"),
        )
    return ConfigError(
        f"DVC: {text}",
        remedy="look at dvc.yaml and .dvc/config; `dvc status` in that folder says more",
        path=str(root),
    )
