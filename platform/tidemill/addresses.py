"""What may be replaced, found by its name: one of ours, of another package, or ``module:Name``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from tidemill.errors import DependencyMissing, UsageError, nearest

__all__ = ["implementation"]


def implementation(name: str, known: Mapping[str, str], *, group: str, setting: str) -> Any:
    """Return the object of that name; nothing else is imported.

    Parameters
    ----------
    name : str
        A name of ``known``, of an entry point, or ``module:Name``. Ours win.
    known : mapping of str to str
        Our own by name: their addresses.
    group : str
        Where other packages enter theirs.
    setting : str
        What the name was read from, for the error.

    Raises
    ------
    UsageError
        If there is no such name, or nothing at its address.
    DependencyMissing
        If its module needs a package that is not installed.

    >>> implementation("tidemill.errors:nearest", {}, group="none", setting="here").__name__
    'nearest'
    """
    found = {point.name: point.value for point in entry_points(group=group)} | dict(known)
    address = found.get(name, name)
    module, colon, attribute = address.partition(":")
    if not colon:
        close = nearest(name, found)
        raise UsageError(
            f"{setting}: there is no {name!r}",
            remedy=(f"did you mean {close!r}? " if close else "")
            + f"set {setting} to one of: {', '.join(sorted(found))}; or to module:Name",
            available=tuple(sorted(found)),
            nearest=close,
        )
    try:
        return getattr(import_module(module), attribute)
    except ImportError as exc:
        if exc.name is not None and not f"{module}.".startswith(f"{exc.name}."):
            raise DependencyMissing(
                f"{setting}: {name!r} needs the package {exc.name!r}, which is not installed",
                remedy=f"install {exc.name}, or set {setting} to another one",
                package=exc.name,
            ) from exc
        raise _nothing(name, address, setting) from exc
    except AttributeError as exc:
        raise _nothing(name, address, setting) from exc


def _nothing(name: str, address: str, setting: str) -> UsageError:
    return UsageError(
        f"{setting}: {name!r} leads to {address}, and there is nothing",
        remedy=f"correct {setting}: the module must be importable, and hold that name",
        address=address,
    )
