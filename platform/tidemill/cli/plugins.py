"""Commands of packages beside tidemill: typer apps in the entry point group tidemill.commands."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

__all__ = ["GROUP", "WithPlugins"]

GROUP = "tidemill.commands"


class WithPlugins(TyperGroup):
    """The commands of tidemill, and those that other packages add under a name of theirs.

    Nothing is looked for before the command line is used; an app is imported when it is named,
    or when help lists it.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Our own commands first, then the others by name."""
        own = super().list_commands(ctx)
        return [*own, *(name for name in sorted(_found()) if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name; ours win."""
        own = super().get_command(ctx, cmd_name)
        point = None if own is not None else _found().get(cmd_name)
        if point is None:
            return own
        command = get_command(point.load())
        command.name = cmd_name
        return command


def _found() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
