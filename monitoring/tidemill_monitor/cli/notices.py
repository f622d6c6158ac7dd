"""What goes out: alerts, their channels, and messages that were given up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidemill.screen import Screen
from tidemill_monitor.cli.flags import Json, Key, Limit, Url, Workspace
from tidemill_monitor.cli.reaching import asked_monitor, opened_ledger, running_monitor
from tidemill_monitor.cli.showing import list_items

__all__ = ["alerts", "replay_webhooks"]

alerts = typer.Typer(no_args_is_help=True, help="Alerts.")


@alerts.command("list")
def list_alerts(
    state: Annotated[str | None, typer.Option(help="open, acknowledged or resolved.")] = None,
    limit: Limit = 20,
    workspace: Workspace = Path(),
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List alerts, the newest first."""
    columns = ("id", "opened_at", "state", "severity", "rule", "sentence")
    with asked_monitor(url, key, workspace) as client:
        list_items(client, "alerts", columns, state=state, limit=limit, as_json=as_json)


@alerts.command("test")
def try_alerts(
    channel: Annotated[
        list[str] | None, typer.Argument(help="Names of channels; none: all of them.")
    ] = None,
    workspace: Workspace = Path(),
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Send a test message by each channel, now; exit code 75 if one did not take it.

    A running monitor is asked, because it has the addresses and secrets in its environment;
    without one they are those of this shell.
    """
    from tidemill.errors import ServiceUnavailable
    from tidemill_monitor.dispatch.trying import try_here

    if (running := running_monitor(url, key, workspace)) is not None:
        with running as client:
            items = client.post("/v1/alerts/test", {"channels": channel or []})["items"]
    else:
        items = try_here(workspace, channel or [])
    Screen(as_json=as_json).result(items, "channels", items)
    if not all(item["delivered"] for item in items):
        raise typer.Exit(ServiceUnavailable.exit_code)


def replay_webhooks(
    message: Annotated[
        list[int] | None, typer.Argument(help="Numbers of dead messages; none: all of them.")
    ] = None,
    workspace: Workspace = Path(),
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Send notifications again that were given up.

    The monitor that serves the workspace is asked, or the one that --url and --key name; where
    none answers, the store is opened.
    """
    import datetime as dt

    if (running := running_monitor(url, key, workspace)) is not None:
        with running as client:
            count = client.post("/v1/outbox/replay", {"messages": message or []})["replayed"]
    else:
        with opened_ledger(workspace, writable=True) as ledger:
            count = ledger.outbox.replay(message or None, at=dt.datetime.now(dt.UTC))
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document({"replayed": count})
    else:
        screen.note(f"{count} messages wait to be sent again")
