"""The reference of a registered version, from its folder."""

from __future__ import annotations

from pathlib import Path

from tidemill.drift import Reference
from tidemill.errors import IntegrityError
from tidemill.profiling import CategoryProfile, fold
from tidemill.schema import ColumnType
from tidemill.storage import read_json

__all__ = ["REFERENCE_FILE", "load_reference", "seen_categories"]

REFERENCE_FILE = "reference.json"


def load_reference(folder: Path) -> Reference:
    """Read the reference from the folder that :func:`tidemill.tracking.fetch_reference` filled.

    Raises
    ------
    IntegrityError
        If there is none, or one that an earlier tidemill wrote and this one cannot read.
    """
    path = folder / REFERENCE_FILE
    document = read_json(path)
    try:
        return Reference.from_json(document)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise IntegrityError(
            f"{path} is not a reference of this version of tidemill",
            remedy="register the model again, so that its reference is made anew: tidemill run",
            path=str(path),
        ) from exc


def seen_categories(reference: Reference) -> dict[str, CategoryProfile]:
    """By feature that has categories, those of the training rows."""
    found = {}
    for column in reference.schema.features:
        if column.type is ColumnType.CATEGORICAL:
            parts = [block.columns[column.name] for block in reference.blocks]
            found[column.name] = fold(p for p in parts if isinstance(p, CategoryProfile))
    return found
