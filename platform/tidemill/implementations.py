"""What implements a port: rows by name, packages' entry points, and addresses ``module:Name``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from tidemill.errors import ConfigError, nearest

__all__ = ["Implementations"]

Kind = TypeVar("Kind")


class Implementations(Mapping[str, Kind], Generic[Kind]):
    """The implementations of one port; one is imported when it is asked for, and not before.

    A name is that of a row of ours, or of an entry point of an installed package (ours win). An
    address needs neither; from when it was asked for it counts among the others, in this process.

    Parameters
    ----------
    port : Protocol
        What an implementation has all members of.
    setting : str
        Where one is chosen, for messages.
    group : str
        Of the entry points.
    rows : mapping of name to ``module:Name``
        Ours.
    """

    def __init__(self, port: type, *, setting: str, group: str, rows: Mapping[str, str]) -> None:
        self._members = [
            name for name in (*port.__annotations__, *vars(port)) if not name.startswith("_")
        ]
        self._setting, self._group, self._rows = setting, group, rows
        self._opened: dict[str, Kind] = {}

    def __getitem__(self, name: str) -> Kind:
        """The implementation of that name or address.

        Raises
        ------
        ConfigError
            If there is none, it cannot be imported, or it lacks a member of the port.
        """
        if name not in self._opened:
            self._opened[name] = self._open(name, self._address(name))
        return self._opened[name]

    def __contains__(self, name: object) -> bool:
        return name in self._rows or name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def ours(self) -> dict[str, Kind]:
        """Those that come with tidemill."""
        return {name: self[name] for name in self._rows}

    def others(self) -> dict[str, Kind]:
        """Those of other packages, and those that an address was opened of."""
        return {name: self[name] for name in self if name not in self._rows}

    def _names(self) -> list[str]:
        return list(dict.fromkeys([*self._rows, *self._entry_points(), *self._opened]))

    def _entry_points(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for point in sorted(entry_points(group=self._group), key=lambda point: point.name):
            if found.setdefault(point.name, point.value) != point.value:
                raise ConfigError(
                    f"{self._setting}: two installed packages have a {point.name!r}: "
                    f"{found[point.name]} and {point.value}",
                    remedy=f"uninstall one of them, or set {self._setting} to an address",
                )
        return found

    def _address(self, name: str) -> str:
        if name in self._rows:
            return self._rows[name]
        if ":" in name:
            return name
        named = self._entry_points()
        if name in named:
            return named[name]
        close = nearest(name, [*self._rows, *named])
        raise ConfigError(
            f"{self._setting}: there is no {name!r}",
            remedy=f"set {self._setting} to {close or ' or '.join([*self._rows, *named])}",
            nearest=close,
        )

    def _open(self, name: str, address: str) -> Kind:
        module, _, attribute = address.partition(":")
        try:
            kind: Kind = getattr(import_module(module), attribute)
        except Exception as exc:  # a package may raise anything when it is imported
            raise ConfigError(
                f"{self._setting}: {name} cannot be imported from {address}: {exc}",
                remedy="mend or uninstall its package, or choose another",
                address=address,
            ) from exc
        missing = [member for member in self._members if not hasattr(kind, member)]
        if missing:
            raise ConfigError(
                f"{self._setting}: {name} ({address}) lacks {', '.join(missing)}",
                remedy="give it all members of the port that docs name, or choose another",
                missing=tuple(missing),
            )
        return kind
