"""Small JSON notes that carry their own hash, so that a changed byte is not taken at its word."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tidemill.errors import IntegrityError
from tidemill.storage.atomic import read_json, write_json
from tidemill.storage.hashing import hash_json

__all__ = ["hashed", "read_hashed", "write_hashed"]

_HASH = "sha256"
_ANEW = "delete it and run the same again"


def hashed(document: Mapping[str, Any], *, besides: Collection[str] = ()) -> dict[str, Any]:
    """The document with its hash under ``sha256``, which ``besides`` do not enter.

    >>> hashed({"a": 1})["sha256"] == hashed({"a": 1, "b": 2}, besides=["b"])["sha256"]
    True
    """
    told = {name: value for name, value in document.items() if name not in (_HASH, *besides)}
    return {**document, _HASH: hash_json(told)}


def write_hashed(path: Path, document: Mapping[str, Any], *, besides: Collection[str] = ()) -> None:
    """Write a note, atomically."""
    write_json(path, hashed(document, besides=besides))


def read_hashed(
    path: Path, *, remedy: str = _ANEW, besides: Collection[str] = ()
) -> dict[str, Any]:
    """Read a note; its hash is taken out. One of before notes had a hash is read as it is.

    Parameters
    ----------
    path : Path
    remedy : str
        How to make it anew.
    besides : collection of str
        As it was written.

    Raises
    ------
    IntegrityError
        If it is missing, or not what was written.
    """
    try:
        found = read_json(path)
    except IntegrityError:
        if not path.exists():
            raise
        found = None
    whole = isinstance(found, dict) and found.get(_HASH, None) in (
        None,
        hashed(found, besides=besides)[_HASH],
    )
    if not whole:
        raise IntegrityError(f"{path} is not what was written", remedy=remedy, path=str(path))
    return {name: value for name, value in found.items() if name != _HASH}
