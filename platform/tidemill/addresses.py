"""What may be replaced, found by its name: one of ours, of another package, or ``module:Name``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from copy import copy
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, metadata
from operator import attrgetter
from types import ModuleType
from typing import Any, Self, TypeVar

from tidemill.errors import DependencyMissing, IntegrityError, TidemillError, UsageError, nearest

__all__ = ["Implementations", "implementation"]

Kind = TypeVar("Kind")


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
        If there is no such name, several packages enter it, nothing is at its address, or its
        module cannot be imported.
    DependencyMissing
        If its module needs a package that is not installed.

    >>> implementation("tidemill.errors:nearest", {}, group="none", setting="here").__name__
    'nearest'
    """
    found = _entered(name, group, setting) | dict(known) if name not in known else dict(known)
    address = found.get(name, name)
    module, colon, attribute = address.partition(":")
    if not colon:
        close = nearest(name, found)
        raise UsageError(
            f"{setting}: there is no {name!r}",
            remedy=(f"did you mean {close!r}? " if close else "")
            + f"set {setting} to one of: {', '.join(sorted(found))}; or to module:Name; or "
            "install the package that has it",
            available=tuple(sorted(found)),
            nearest=close,
        )
    if not all(part.isidentifier() for part in f"{module}.{attribute}".split(".")):
        raise _nothing(name, address, setting)
    try:
        return attrgetter(attribute)(_imported(module, name, address, setting))
    except AttributeError as exc:
        raise _nothing(name, address, setting) from exc


def _entered(name: str, group: str, setting: str) -> dict[str, str]:
    """What other packages enter: no two by the name that is asked for, or a path would choose."""
    points = _points(group, tuple(sys.path))
    values = sorted({point.value for point in points if point.name == name})
    if len(values) > 1:
        raise UsageError(
            f"{setting}: several packages enter {name!r}: {', '.join(values)}",
            remedy=f"set {setting} to one of these addresses, or uninstall the other package",
            available=tuple(values),
        )
    return {point.name: point.value for point in points}


@cache
def _points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """What packages on this path enter; read once, as each file of a source asks for formats."""
    del path
    return tuple(entry_points(group=group))


def _imported(module: str, name: str, address: str, setting: str) -> ModuleType:
    try:
        return import_module(module)
    except TidemillError:
        raise
    except ModuleNotFoundError as exc:
        if exc.name is None or f"{module}.".startswith(f"{exc.name}."):
            raise _nothing(name, address, setting) from exc
        # The package alone may not be enough: an extra of ours brings what it needs beside it.
        ours = module.startswith("tidemill.") and name in _extras()
        raise DependencyMissing(
            f"{setting}: {name!r} needs the package {exc.name!r}, which is not installed",
            remedy=f"install {f'tidemill[{name}]' if ours else exc.name}, or set {setting} to "
            "another one",
            package=exc.name,
        ) from exc
    except Exception as exc:  # whatever the code of others raises
        raise UsageError(
            f"{setting}: {name!r} cannot be imported: {type(exc).__name__}: {exc}",
            remedy=f"correct the module {module}, or {setting}",
            module=module,
        ) from exc


def _extras() -> list[str]:
    try:
        return metadata("tidemill").get_all("Provides-Extra") or []
    except PackageNotFoundError:  # it runs from its sources
        return []


def _nothing(name: str, address: str, setting: str) -> UsageError:
    return UsageError(
        f"{setting}: {name!r} leads to {address}, and there is nothing",
        remedy=f"correct {setting}: the module must be installed, or its folder be in PYTHONPATH, "
        "and it must hold that name",
        address=address,
    )


class Implementations(Mapping[str, Kind]):
    """The implementations of a port by name, each imported when it is asked for.

    One that was asked for by its address counts among the others from then on, in this process:
    models of it are known where params.yaml names it.

    Parameters
    ----------
    ours : mapping of str to str
        Our own by name: their addresses.
    port : type
        The Protocol: each must have all that it names.
    group : str
        Where other packages enter theirs.
    setting : str
        What names are read from, for errors.
    """

    def __init__(self, ours: Mapping[str, str], *, port: type, group: str, setting: str) -> None:
        self._ours, self._group, self._setting = ours, group, setting
        self._port = port.__name__
        self._word = re.sub(r"(?<=.)(?=[A-Z])", " ", port.__name__).lower()
        named = dict.fromkeys(port.__annotations__) | dict(vars(port))
        public = [member for member in named if not member.startswith("_")]
        # What a class may also give each of its instances when it is made.
        self._owned = [member for member in public if isinstance(named[member], property)]
        self._members = [member for member in public if member not in self._owned]
        self._opened: dict[str, Kind] = {}

    def __getitem__(self, name: str) -> Kind:
        """The implementation of that name, or at that address.

        Raises
        ------
        UsageError
            If there is none, it cannot be imported, or it lacks what the port names.
        """
        if name not in self._opened:
            kind = implementation(name, self._ours, group=self._group, setting=self._setting)
            self._require(name, kind, self._members)
            self._opened[name] = kind
        return self._opened[name]

    def named_by(self, setting: str) -> Self:
        """The same ones, for names that are read from another setting: errors name that."""
        other = copy(self)
        other._setting = setting
        return other

    def told(self, name: Any, file: str) -> str:
        """The name that a file tells, where code of that name would run here anyway.

        Raises
        ------
        IntegrityError
            If it is neither of tidemill nor entered by an installed package, and no params.yaml
            that was read names it: a folder that was copied here chooses no module.
        """
        if name not in self:
            raise IntegrityError(
                f"{file} names {str(name)[:80]!r}, a {self._word} that is not known here",
                remedy=f"install the package that has it, or name it in {self._setting} if you "
                "trust it; else bring the file back with `dvc checkout`, or delete it and run: "
                "tidemill run",
                name=str(name),
            )
        return str(name)

    def made(self, name: str, *given: Any, **told: Any) -> Any:
        """The implementation of that name, made with what the port makes its own of.

        Raises
        ------
        UsageError
            If there is none, it is not made so, or it lacks what the port names.
        """
        try:
            one = self[name](*given, **told)  # type: ignore[operator]
        except TypeError as exc:
            raise self._none(name, str(exc)) from exc
        self._require(name, one, self._owned)
        return one

    def _require(self, name: str, found: object, members: list[str]) -> None:
        # Of the class first: a property may do work, and is not asked for.
        missing = [one for one in members if not (hasattr(type(found), one) or hasattr(found, one))]
        if missing:
            raise self._none(name, f"it lacks {', '.join(missing)}")

    def _none(self, name: str, reason: str) -> UsageError:
        return UsageError(
            f"{self._setting}: {name} is no {self._word}: {reason}",
            remedy=f"give it all that tidemill.contracts.{self._port} names, or choose another",
            name=name,
        )

    def __contains__(self, name: object) -> bool:
        return name in self._ours or any(name == one for one in self)

    def __iter__(self) -> Iterator[str]:
        packages = sorted(point.name for point in _points(self._group, tuple(sys.path)))
        return iter(dict.fromkeys([*self._ours, *packages, *self._opened]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def known(self, name: str) -> str:
        """The name, where it leads to an implementation.

        Another package's is imported now: a broken one is told before any work is done, and models
        of one that is named by its address are known from here on.

        Raises
        ------
        ValueError
            If there is none of that name.
        UsageError
            If a package's or an address leads to none.
        """
        if name in self._ours:
            return name
        if ":" in name or name in self:
            self[name]
        else:
            close = nearest(name, self)
            hint = f"did you mean {close!r}? " if close else ""
            raise ValueError(
                f"there is no such {self._word}; {hint}use {', '.join(self)}, or install the "
                "package that has it"
            )
        return name

    def ours(self) -> list[Kind]:
        """Those that come with tidemill."""
        return [self[name] for name in self._ours]

    def usable(self) -> dict[str, Kind]:
        """Those that can be imported: who names a broken package is told, and nobody else."""
        return self._tried()[0]

    def unusable(self) -> dict[str, UsageError]:
        """Why each other one cannot be: for who chooses among all, and should know of it."""
        return self._tried()[1]

    def _tried(self) -> tuple[dict[str, Kind], dict[str, UsageError]]:
        found, broken = dict[str, Kind](), dict[str, UsageError]()
        for name in self:
            try:
                found[name] = self[name]
            except UsageError as exc:
                broken[name] = exc
        return found, broken

    def others(self) -> list[Kind]:
        """Those of other packages, and those that were asked for by address."""
        return [self[name] for name in self if name not in self._ours]
