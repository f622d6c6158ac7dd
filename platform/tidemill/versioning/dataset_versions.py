"""Versions of the dataset with a message: what DVC itself does not keep."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidemill.storage import read_output, write_hashed

__all__ = ["note_version", "version_notes"]


def version_notes(root: Path) -> list[dict[str, Any]]:
    """The noted versions, oldest first: ``version`` (DVC's hash), ``message`` and facts.

    Raises
    ------
    IntegrityError
        If the file of notes is not what was written.
    """
    path = _notes(root)
    return read_output(path, lambda noted: list(noted["versions"])) if path.exists() else []


def note_version(root: Path, version: str, message: str, facts: Mapping[str, Any]) -> None:
    """Keep what a version of the dataset is, in ``data/versions.json``; once."""
    note = {"version": version, "message": message, **facts}
    known = version_notes(root)
    if note not in known:
        write_hashed(_notes(root), {"versions": [*known, note]})


def _notes(root: Path) -> Path:
    return root / "data" / "versions.json"
