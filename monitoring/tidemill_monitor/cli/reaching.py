"""How a command reaches what it asks: the monitor over HTTP, with a key, or its store."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemill.ledger import Ledger
    from tidemill.monitor_client import MonitorClient
    from tidemill_monitor.monitor_settings import MonitorSettings

__all__ = ["asked_monitor", "opened_ledger", "running_monitor", "stated_settings"]


def asked_monitor(
    url: str | None, key: str | None, workspace: Path = Path(), **patience: float
) -> MonitorClient:
    """A client of the monitor that is meant, or of the one that serves the workspace."""
    from tidemill.monitor_client import find_monitor

    return find_monitor(workspace, url, key, **patience)


def running_monitor(url: str | None, key: str | None, workspace: Path) -> MonitorClient | None:
    """The monitor that is meant, or that serves the workspace and answers; None where none does."""
    from tidemill.errors import TidemillError

    if key:
        return asked_monitor(url, key, workspace)
    try:
        with asked_monitor(url, None, workspace, patience_seconds=0.0) as client:
            client.get("/healthz")
    except TidemillError:
        return None
    return asked_monitor(url, None, workspace)


@contextmanager
def opened_ledger(workspace: Path, *, writable: bool) -> Iterator[Ledger]:
    """The store of the workspace's monitor, opened here."""
    from tidemill.ledger import Ledger

    with Ledger.open(stated_settings(workspace).store_url, writable=writable) as ledger:
        yield ledger


def stated_settings(workspace: Path, **given: Any) -> MonitorSettings:
    """The monitor's settings of the environment, with what the command line states (not None)."""
    from tidemill_monitor.monitor_settings import MonitorSettings

    stated = {name: value for name, value in given.items() if value is not None}
    if workspace != Path():
        stated["workspace"] = workspace
    return MonitorSettings(**stated)
