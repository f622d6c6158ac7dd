"""The reference of a registered version, from its folder."""

from __future__ import annotations

from pathlib import Path

from tidemill.drift import Reference
from tidemill.errors import IntegrityError
from tidemill.storage import read_json

__all__ = ["REFERENCE_FILE", "load_reference"]

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
