"""Versions of the dataset with a message: what DVC itself does not keep."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidemill.storage import read_json, write_json

__all__ = ["note_version", "version_notes"]


def version_notes(root: Path) -> list[dict[str, Any]]:
    """The noted versions, oldest first: ``version`` (DVC's hash), ``message`` and facts.

    Raises
    ------
    IntegrityError
        If the file of notes is not JSON.
    """
    path = _notes(root)
    found: list[dict[str, Any]] = read_json(path)["versions"] if path.exists() else []
    return found


def note_version(root: Path, version: str, message: str, facts: Mapping[str, Any]) -> None:
    """Keep what a version of the dataset is, in ``data/versions.json``; once."""
    note = {"version": version, "message": message, **facts}
    known = version_notes(root)
    if note not in known:
        write_json(_notes(root), {"versions": [*known, note]})


def _notes(root: Path) -> Path:
    return root / "data" / "versions.json"
