"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["JsonOption", "WaitOption", "WorkspaceOption"]

WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", help="The folder with params.yaml.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]
WaitOption = Annotated[
    float, typer.Option("--wait", help="Seconds to wait for a busy workspace (else exit 75).")
]
