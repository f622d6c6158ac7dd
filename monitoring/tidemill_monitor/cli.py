"""``tidemill monitor ...``: serve, replay, and what people do with keys, decisions and alerts.

Commands that look into a running monitor speak HTTP to it, with a key.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tidemill.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemill.monitor_client import MonitorClient
    from tidemill_monitor.security import Keys

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="The monitor: live rows, verdicts, decisions, alerts.",
)
keys = typer.Typer(no_args_is_help=True, help="Keys: who may send, read or operate.")
decisions = typer.Typer(no_args_is_help=True, help="Decisions to retrain.")
alerts = typer.Typer(no_args_is_help=True, help="Alerts.")
app.add_typer(keys, name="keys")
app.add_typer(decisions, name="decisions")
app.add_typer(alerts, name="alerts")
normal = typer.Typer(no_args_is_help=True, help="A break that persists: is it the new normal?")
app.add_typer(normal, name="normal")

Workspace = Annotated[Path, typer.Option("--workspace", "-w", help="The folder with params.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]
Url = Annotated[
    str | None,
    typer.Option(
        envvar="TIDEMILL_MONITOR_URL", help="Where the monitor answers.", show_default=False
    ),
]
Key = Annotated[
    str | None,
    typer.Option(envvar="TIDEMILL_MONITOR_KEY", help="A key of its.", show_default=False),
]
Limit = Annotated[int, typer.Option(min=1, max=500, help="How many at the most.")]
Number = Annotated[int, typer.Argument(help="As listed.")]
Note = Annotated[str, typer.Option(help="Kept with it.")]
Break = Annotated[
    int | None,
    typer.Option("--window", help="The first window of the break, as shown; the present one."),
]
ScopeName = Literal["ingest", "read", "retrain", "operate"]

_REPLAY_PATIENCE_SECONDS = 600.0


@app.command()
def serve(
    workspace: Workspace = Path(),
    host: Annotated[str | None, typer.Option(help="Where to listen.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Serve the monitor alone; `tidemill up` starts it with all that it works with."""
    from tidemill_monitor.server import serve as run
    from tidemill_monitor.settings import MonitorSettings

    given = {"host": host, "port": port}
    stated: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if workspace != Path():
        stated["workspace"] = workspace
    run(MonitorSettings(**stated))


@app.command()
def replay(
    source: Annotated[str, typer.Option("--input", help="A file, folder or glob.")],
    speed: Annotated[
        float,
        typer.Option(min=0, help="Seconds of event time in a second; 0: as fast as accepted."),
    ] = 0.0,
    label_delay: Annotated[
        float, typer.Option(min=0, help="Seconds of event time from an event to its label.")
    ] = 0.0,
    labels: Annotated[bool, typer.Option(help="Whether to send the target as labels.")] = True,
    batch_rows: Annotated[int, typer.Option(min=1, max=50_000, help="Rows a request.")] = 1000,
    prediction: Annotated[
        str | None, typer.Option(help="Column of predictions made elsewhere.")
    ] = None,
    score: Annotated[str | None, typer.Option(help="Column of their scores.")] = None,
    restart: Annotated[bool, typer.Option(help="From the first row again.")] = False,
    workspace: Workspace = Path(),
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Play the rows of a table to the monitor, in order of their time; labels follow.

    Without --prediction the champion predicts each row. The same command again goes on where it
    was stopped.
    """
    from tidemill_monitor.replay.command import replay as play

    facts = play(
        source=source,
        speed=speed,
        label_delay_seconds=label_delay,
        with_labels=labels,
        batch_rows=batch_rows,
        prediction=prediction,
        score=score,
        restart=restart,
        workspace=workspace,
        client=_client(url, key, workspace, patience_seconds=_REPLAY_PATIENCE_SECONDS),
        asked=_client(url, key, workspace),
        as_json=as_json,
    )
    screen = Screen(as_json=as_json)
    screen.result(facts, "replayed", [{k: v for k, v in facts.items() if k != "errors"}])
    screen.table("first row errors", facts["errors"])


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    scope: Annotated[ScopeName, typer.Option(help="ingest, read or operate.")] = "ingest",
    workspace: Workspace = Path(),
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Make a key and show it, this once.

    The monitor that serves the workspace is asked, or the one that --url and --key name; where
    none answers, the store is opened.
    """
    if (running := _running(url, key, workspace)) is not None:
        with running as client:
            text = client.post("/v1/keys", {"name": name, "scope": scope})["key"]
    else:
        with _keys(workspace) as store:
            text = store.create(name or scope, scope)
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document({"key": text, "scope": scope, "name": name or scope})
    else:
        screen.note(f"a key of scope {scope}; it is shown this once:")
        screen.out.print(text, highlight=False)


@keys.command("list")
def list_keys(workspace: Workspace = Path(), as_json: Json = False) -> None:
    """List the keys, without their secrets."""
    with _keys(workspace, writable=False) as store:
        rows = [
            {
                "id": key.id,
                "name": key.name,
                "scope": ", ".join(key.scopes),
                "created": _moment(key.created_at),
                "last used": _moment(key.last_used_at),
                "revoked": _moment(key.revoked_at),
            }
            for key in store.list()
        ]
    Screen(as_json=as_json).result(rows, "keys", rows)


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="As listed.")],
    workspace: Workspace = Path(),
    url: Url = None,
    key: Key = None,
) -> None:
    """Refuse a key from now on.

    The monitor that serves the workspace is asked, or the one that --url and --key name; where
    none answers, the store is opened.
    """
    from tidemill.errors import UsageError

    if (running := _running(url, key, workspace)) is not None:
        with running as client:
            client.post(f"/v1/keys/{key_id}/revoke")
    else:
        with _keys(workspace) as store:
            if not store.revoke(key_id):
                raise UsageError(
                    f"there is no key {key_id!r}", remedy="look at: tidemill monitor keys list"
                )
    Screen().note(f"key {key_id} is revoked")


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
    with _client(url, key, workspace) as client:
        _list(client, "decisions", columns, state=state, limit=limit, as_json=as_json)


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
    _answer("approve", decision, note, _client(url, key, workspace), as_json)


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
    _answer("reject", decision, note, _client(url, key, workspace), as_json)


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
    _answer("stop", decision, note, _client(url, key, workspace), as_json)


def _answer(what: str, decision: int, note: str, monitor: MonitorClient, as_json: bool) -> None:
    with monitor as client:
        item = client.post(f"/v1/decisions/{decision}/{what}", {"note": note})
    columns = ("id", "state", "reason")
    Screen(as_json=as_json).result(item, "decision", _picked([item], columns))


@normal.command("show")
def show_normal(
    workspace: Workspace = Path(), url: Url = None, key: Key = None, as_json: Json = False
) -> None:
    """Show what is asked about a break that persists, and what was accepted before."""
    with _client(url, key, workspace) as client:
        found = client.get("/v1/normal")
    question = found["question"]
    facts = {"asked": "nothing: the feed is not broken, or not for long"}
    if question:
        facts = {name: question[name] for name in ("window", "state", "windows", "since")}
    screen = Screen(as_json=as_json)
    screen.result(found, "new normal", [facts])
    screen.table("faults", question["faults"] if question else [])
    screen.table("accepted", _picked(found["accepted"], ("window", "since", "features", "by")))


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
    _tell_normal("accept", columns, window, note, _client(url, key, workspace), as_json)


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
    _tell_normal("hold", columns, window, note, _client(url, key, workspace), as_json)


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
    Screen(as_json=as_json).result(item, "new normal", _picked([item], columns))


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
    with _client(url, key, workspace) as client:
        _list(client, "alerts", columns, state=state, limit=limit, as_json=as_json)


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

    if (running := _running(url, key, workspace)) is not None:
        with running as client:
            items = client.post("/v1/alerts/test", {"channels": channel or []})["items"]
    else:
        items = try_here(workspace, channel or [])
    Screen(as_json=as_json).result(items, "channels", items)
    if not all(item["delivered"] for item in items):
        raise typer.Exit(ServiceUnavailable.exit_code)


def _list(
    client: MonitorClient,
    what: str,
    columns: tuple[str, ...],
    *,
    state: str | None,
    limit: int,
    as_json: bool,
) -> None:
    items = client.get(f"/v1/{what}", state=state, limit=limit)["items"]
    Screen(as_json=as_json).result(items, what, _picked(items, columns))


@app.command("replay-webhooks")
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

    if (running := _running(url, key, workspace)) is not None:
        with running as client:
            count = client.post("/v1/outbox/replay", {"messages": message or []})["replayed"]
    else:
        with _ledger(workspace, writable=True) as ledger:
            count = ledger.outbox.replay(message or None, at=dt.datetime.now(dt.UTC))
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document({"replayed": count})
    else:
        screen.note(f"{count} messages wait to be sent again")


def _picked(items: list[dict[str, Any]], columns: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{name: item.get(name) for name in columns} for item in items]


def _client(
    url: str | None, key: str | None, workspace: Path = Path(), **patience: float
) -> MonitorClient:
    from tidemill.monitor_client import find_monitor

    return find_monitor(workspace, url, key, **patience)


def _running(url: str | None, key: str | None, workspace: Path) -> MonitorClient | None:
    """The monitor that is meant, or that serves the workspace and answers; None where none does."""
    from tidemill.errors import TidemillError

    if key:
        return _client(url, key, workspace)
    try:
        with _client(url, None, workspace, patience_seconds=0.0) as client:
            client.get("/healthz")
    except TidemillError:
        return None
    return _client(url, None, workspace)


@contextmanager
def _ledger(workspace: Path, *, writable: bool) -> Iterator[Any]:
    from tidemill.ledger import Ledger
    from tidemill_monitor.settings import MonitorSettings

    stated: dict[str, Any] = {} if workspace == Path() else {"workspace": workspace}
    settings = MonitorSettings(**stated)
    with Ledger.open(settings.store_url, writable=writable) as ledger:
        yield ledger


@contextmanager
def _keys(workspace: Path, *, writable: bool = True) -> Iterator[Keys]:
    import datetime as dt

    from tidemill_monitor.security import Keys

    with _ledger(workspace, writable=writable) as ledger:
        yield Keys(ledger, lambda: dt.datetime.now(dt.UTC))


def _moment(at: Any) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
