"""What a worker must have as its caller has it: versions of packages, and modules."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import tidemill
from tidemill.errors import UsageError

__all__ = ["missing_modules_told", "require_same_versions", "versions_here"]

_PACKAGES = ("lightgbm", "numpy", "pandas", "pyarrow", "scikit-learn")
"""Packed in functions, items and results, or what the bytes of a result depend on."""

_AGAIN = "then run the same command again"


@lru_cache(maxsize=1)
def versions_here() -> Mapping[str, str]:
    """The versions of this process by name: of Python two numbers, ``none`` of what is not there.

    Examples
    --------
    >>> sorted(versions_here())
    ['lightgbm', 'numpy', 'pandas', 'pyarrow', 'python', 'scikit-learn', 'tidemill']
    """
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, "tidemill": tidemill.__version__, **dict(map(_installed, _PACKAGES))}


def _installed(package: str) -> tuple[str, str]:
    try:
        return package, version(package)
    except PackageNotFoundError:
        return package, "none"


def require_same_versions(caller: Mapping[str, str]) -> None:
    """Raise what every version of tidemill knows, in a worker that has others than its caller.

    Parameters
    ----------
    caller : mapping of str to str
        Its :func:`versions_here`.

    Raises
    ------
    UsageError
        If one differs; it names all that do.
    """
    here = {name: versions_here().get(name, "none") for name in caller}
    names = [name for name in caller if caller[name] != here[name]]
    if names:
        worker = f"{socket.gethostname()}, process {os.getpid()}"
        raise UsageError(
            f"a worker ({worker}) has {_listed(here, names)}, and its caller has "
            f"{_listed(caller, names)}",
            remedy="start workers with the Python and packages of the caller, or install there "
            f"{_listed(caller, names)}; {_AGAIN}",
            worker=worker,
            has={name: here[name] for name in names},
            needed={name: caller[name] for name in names},
        )


def _listed(versions: Mapping[str, str], names: list[str]) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in names)


@contextmanager
def missing_modules_told() -> Iterator[None]:
    """Tell of a module that workers do not have, and this process, their caller, has.

    Raises
    ------
    UsageError
        Instead of ``ModuleNotFoundError``; one of a module that is not here either stays.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        if exc.name is None or not _is_here(exc.name):
            raise
        raise UsageError(
            f"a worker has no module {exc.name}, and its caller has one",
            remedy="start workers with the Python and packages of the caller, of the same "
            f"versions; {_AGAIN}",
            module=exc.name,
        ) from exc


def _is_here(module: str) -> bool:
    with suppress(ImportError, ValueError):  # of a folder above it, or of one without a spec
        return module in sys.modules or find_spec(module) is not None
    return False
