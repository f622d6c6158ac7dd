"""Items of a running monitor as rows of a few columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill.screen import Screen

if TYPE_CHECKING:
    from tidemill.monitor_client import MonitorClient

__all__ = ["list_items", "picked"]


def list_items(
    client: MonitorClient,
    what: str,
    columns: tuple[str, ...],
    *,
    state: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Print at most ``limit`` of the monitor's ``/v1/{what}``."""
    items = client.get(f"/v1/{what}", state=state, limit=limit)["items"]
    Screen(as_json=as_json).result(items, what, picked(items, columns))


def picked(items: list[dict[str, Any]], columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Each item's ``columns`` alone; None where it has none of that name."""
    return [{name: item.get(name) for name in columns} for item in items]
