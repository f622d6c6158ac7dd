"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Json", "Key", "Limit", "Note", "Url", "Workspace"]

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
Note = Annotated[str, typer.Option(help="Kept with it.")]
