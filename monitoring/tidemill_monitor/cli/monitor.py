"""``tidemill monitor``: the service itself, and the commands beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidemill_monitor.cli.answers import decisions, normal
from tidemill_monitor.cli.flags import Workspace
from tidemill_monitor.cli.keyring import keys
from tidemill_monitor.cli.notices import alerts, replay_webhooks
from tidemill_monitor.cli.reaching import stated_settings
from tidemill_monitor.cli.replaying import replay

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="The monitor: live rows, verdicts, decisions, alerts.",
)
app.add_typer(keys, name="keys")
app.add_typer(decisions, name="decisions")
app.add_typer(alerts, name="alerts")
app.add_typer(normal, name="normal")


@app.command()
def serve(
    workspace: Workspace = Path(),
    host: Annotated[str | None, typer.Option(help="Where to listen.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Serve the monitor alone; `tidemill up` starts it with all that it works with."""
    from tidemill_monitor.http_server import serve as run

    run(stated_settings(workspace, host=host, port=port))


app.command()(replay)
app.command()(replay_webhooks)
