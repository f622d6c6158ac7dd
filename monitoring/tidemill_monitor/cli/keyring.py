"""``tidemill monitor keys ...``: who may send, read or operate."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tidemill.screen import Screen
from tidemill_monitor.cli.flags import Json, Key, Url, Workspace
from tidemill_monitor.cli.reaching import opened_ledger, running_monitor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemill_monitor.security import Keys

__all__ = ["keys"]

keys = typer.Typer(no_args_is_help=True, help="Keys: who may send, read or operate.")

ScopeName = Literal["ingest", "read", "retrain", "operate"]


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
    if (running := running_monitor(url, key, workspace)) is not None:
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

    if (running := running_monitor(url, key, workspace)) is not None:
        with running as client:
            client.post(f"/v1/keys/{key_id}/revoke")
    else:
        with _keys(workspace) as store:
            if not store.revoke(key_id):
                raise UsageError(
                    f"there is no key {key_id!r}", remedy="look at: tidemill monitor keys list"
                )
    Screen().note(f"key {key_id} is revoked")


@contextmanager
def _keys(workspace: Path, *, writable: bool = True) -> Iterator[Keys]:
    import datetime as dt

    from tidemill_monitor.security import Keys

    with opened_ledger(workspace, writable=writable) as ledger:
        yield Keys(ledger, lambda: dt.datetime.now(dt.UTC))


def _moment(at: Any) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
