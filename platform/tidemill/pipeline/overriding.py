"""Settings for a run: checked whole, then written to params.yaml, and taken back if it fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tidemill.config import changed_settings, params_text, set_params
from tidemill.storage import Workspace, write_bytes

__all__ = ["overridden"]


@contextmanager
def overridden(workspace: Workspace, assignments: Sequence[str]) -> Iterator[dict[str, str]]:
    """Let params.yaml say ``assignments`` in the block; a block that fails leaves it as it was.

    DVC compares params.yaml, so that what a run was asked for must stand there. The caller holds
    the workspace lock.

    Parameters
    ----------
    workspace : Workspace
    assignments : sequence of str
        ``section.key=value``; all are checked together before anything is written.

    Yields
    ------
    dict of str to str
        What they change: ``{"seed": "42 -> 7"}``.

    Raises
    ------
    ConfigError
        If one is wrong, or all together are.
    """
    if not assignments:
        yield {}
        return
    before = params_text(workspace.root)
    after = set_params(before, list(assignments))
    write_bytes(workspace.params, after.encode())
    try:
        yield changed_settings(before, after)
    except BaseException:
        if params_text(workspace.root) == after:  # else somebody has edited it meanwhile
            write_bytes(workspace.params, before.encode())
        raise
