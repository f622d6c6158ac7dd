"""Settings for a run: checked whole, then written to params.yaml, and taken back if it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tidemill.config import changed_settings, params_text, set_params
from tidemill.errors import ConfigError
from tidemill.storage import Workspace, read_hashed, write_bytes, write_hashed

__all__ = ["overridden", "refuse_overridden", "take_back"]


@contextmanager
def overridden(workspace: Workspace, assignments: Sequence[str]) -> Iterator[dict[str, str]]:
    """Let params.yaml say ``assignments`` in the block; a block that fails leaves it as it was.

    DVC compares params.yaml, so that what a run was asked for must stand there. The caller holds
    the workspace lock. Of a process that is killed a note stays, for :func:`take_back`.

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
    _require_the_same_store(before, after)
    write_hashed(_note(workspace), {"before": before, "after": after})
    try:
        write_bytes(workspace.params, after.encode())
        yield changed_settings(before, after)
    except BaseException:
        if params_text(workspace.root) == after:  # else somebody has edited it meanwhile
            write_bytes(workspace.params, before.encode())
        _note(workspace).unlink(missing_ok=True)
        raise
    _note(workspace).unlink(missing_ok=True)


def take_back(workspace: Workspace, tell: Callable[[str], None]) -> None:
    """Undo what a run that was killed had set in params.yaml, and tell it in a sentence.

    What was edited since stays. The caller holds the workspace lock.

    Raises
    ------
    IntegrityError
        If the note of it is not what was written.
    """
    left = _left_by_a_killed_run(workspace)
    if left is None:
        return
    before, after = left
    now = params_text(workspace.root)
    if now == after:
        write_bytes(workspace.params, before.encode())
        tell(
            f"params.yaml: what a run had set before it was killed is taken back: "
            f"{_said(after, before)}; to have it, set it again (--set)"
        )
    elif now != before:
        tell(
            f"params.yaml: a run was killed that had set {_said(before, after)}; the file was "
            "edited since, and stays as it is"
        )
    _note(workspace).unlink()


def refuse_overridden(workspace: Workspace) -> None:
    """Refuse to work with settings of a killed run: DVC has compared them, and they were not meant.

    Raises
    ------
    ConfigError
        If params.yaml says what such a run had set.
    """
    left = _left_by_a_killed_run(workspace)
    if left is not None and params_text(workspace.root) == left[1]:
        raise ConfigError(
            f"params.yaml still says what a run had set before it was killed: {_said(*left)}",
            remedy=f"tidemill run takes it back; to keep it, delete {_note(workspace)}",
            path=str(_note(workspace)),
        )


def _note(workspace: Workspace) -> Path:
    return workspace.hidden / "overridden.json"


def _left_by_a_killed_run(workspace: Workspace) -> tuple[str, str] | None:
    """What params.yaml said before a run, and what it was made to say; None where none was killed.

    Who asks holds the lock, so that nobody is running.
    """
    path = _note(workspace)
    if not path.exists():
        return None
    found = read_hashed(path, remedy="see that params.yaml says what you mean, then delete it")
    return found["before"], found["after"]


def _require_the_same_store(before: str, after: str) -> None:
    """The run has asked its workers already whether they see the store."""
    if "storage.url" in changed_settings(before, after):
        raise ConfigError(
            "storage.url cannot be set for one run: its outputs would lie elsewhere than the rest",
            remedy="write it into params.yaml, and run again",
        )


def _said(before: str, after: str) -> str:
    changed = changed_settings(before, after)
    return ", ".join(f"{key} {change}" for key, change in changed.items()) or "how it is written"
