"""What people answer: a decision that awaits approval; whether a break is the new normal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.screen import Screen
from tidemill_monitor.cli.flags import Json, Key, Limit, Note, Url, Workspace
from tidemill_monitor.cli.reaching import asked_monitor
from tidemill_monitor.cli.showing import list_items, picked

if TYPE_CHECKING:
    from tidemill.monitor_client import MonitorClient

__all__ = ["decisions", "normal"]

decisions = typer.Typer(no_args_is_help=True, help="Decisions to retrain.")
normal = typer.Typer(no_args_is_help=True, help="A break that persists: is it the new normal?")

Number = Annotated[int, typer.Argument(help="As listed.")]
Break = Annotated[
    int | None,
    typer.Option("--window", help="The first window of the break, as shown; the present one."),
]


@decisions.command("list")
def list_decisions(
    state: Annotated[str | None, typer.Option(help="Only of this state.")] = None,
    limit: Limit = 20,
    workspace: Workspace = Path(),
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List decisions, the newest first."""
    columns = ("id", "opened_at", "state", "champion_version", "challenger_version", "reason")
    with asked_monitor(url, key, workspace) as client:
        list_items(client, "decisions", columns, state=state, limit=limit, as_json=as_json)


@decisions.command("approve")
def approve(
    decision: Number,
    note: Note = "",
    workspace: Workspace = Path(),
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Let a decision that awaits approval start its retraining."""
    _answer("approve", decision, note, asked_monitor(url, key, workspace), as_json)


@decisions.command("reject")
def reject(
    decision: Number,
    note: Note = "",
    workspace: Workspace = Path(),
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Refuse a decision that awaits approval."""
    _answer("reject", decision, note, asked_monitor(url, key, workspace), as_json)


@decisions.command("stop")
def stop(
    decision: Number,
    note: Note = "",
    workspace: Workspace = Path(),
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """End a retraining that was approved or runs; nothing is tried again."""
    _answer("stop", decision, note, asked_monitor(url, key, workspace), as_json)


def _answer(what: str, decision: int, note: str, monitor: MonitorClient, as_json: bool) -> None:
    with monitor as client:
        item = client.post(f"/v1/decisions/{decision}/{what}", {"note": note})
    columns = ("id", "state", "reason")
    Screen(as_json=as_json).result(item, "decision", picked([item], columns))


@normal.command("show")
def show_normal(
    workspace: Workspace = Path(), url: Url = None, key: Key = None, as_json: Json = False
) -> None:
    """Show what is asked about a break that persists, and what was accepted before."""
    with asked_monitor(url, key, workspace) as client:
        found = client.get("/v1/normal")
    question = found["question"]
    facts = {"asked": "nothing: the feed is not broken, or not for long"}
    if question:
        facts = {name: question[name] for name in ("window", "state", "windows", "since")}
    screen = Screen(as_json=as_json)
    screen.result(found, "new normal", [facts])
    screen.table("faults", question["faults"] if question else [])
    screen.table("is it the new normal?", _answers(question))
    screen.table("accepted", picked(found["accepted"], ("window", "since", "features", "by")))


def _answers(question: dict[str, Any] | None) -> list[dict[str, str]]:
    """The commands that answer, in the folder of the workspace."""
    if question is None or question["state"] != "asked":
        return []
    words = {"accept": "yes", "hold": "no"}
    return [
        {"answer": words[name], "command": command}
        for name, command in question["commands"].items()
        if name != "accept" or question["acceptable"]
    ]


@normal.command("accept")
def accept_normal(
    window: Break = None,
    note: Note = "",
    workspace: Workspace = Path(),
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Take the windows of the break as a new reference, until another version serves."""
    columns = ("window", "since", "features", "volume", "remains")
    _tell_normal("accept", columns, window, note, asked_monitor(url, key, workspace), as_json)


@normal.command("hold")
def hold_normal(
    window: Break = None,
    note: Note = "",
    workspace: Workspace = Path(),
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Go on calling it a broken feed; it is not asked again until something changes."""
    columns = ("window", "state", "windows", "since")
    _tell_normal("hold", columns, window, note, asked_monitor(url, key, workspace), as_json)


def _tell_normal(
    what: str,
    columns: tuple[str, ...],
    window: int | None,
    note: str,
    monitor: MonitorClient,
    as_json: bool,
) -> None:
    with monitor as client:
        item = client.post(f"/v1/normal/{what}", {"window": window, "note": note})
    Screen(as_json=as_json).result(item, "new normal", picked([item], columns))
