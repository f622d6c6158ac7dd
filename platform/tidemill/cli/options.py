"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tidemill.storage import Workspace

__all__ = ["EngineOption", "JsonOption", "WaitOption", "WorkspaceOption", "existing"]

WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", help="The folder with params.yaml.")
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="What runs the work: local, another package's, or module:Name "
        "(default: TIDEMILL_ENGINE).",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]
WaitOption = Annotated[
    float, typer.Option("--wait", help="Seconds to wait for a busy workspace (else exit 75).")
]


def existing(folder: Path) -> Workspace:
    """The workspace at ``folder``, which must be one; nothing is made in it.

    Raises
    ------
    WorkspaceMissing
        If it has no params.yaml.
    """
    from tidemill.config import params_text
    from tidemill.storage import Workspace

    place = Workspace.at(folder)
    params_text(place.root)
    return place
