"""Small JSON notes that carry their own hash, so that a changed byte is not taken at its word."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tidemill.errors import IntegrityError
from tidemill.storage.atomic import json_bytes, read_json, storage_errors, write_bytes
from tidemill.storage.hashing import hash_json

__all__ = [
    "find_hashed",
    "hashed",
    "hashed_bytes",
    "is_whole",
    "parse_output",
    "read_hashed",
    "read_keyed",
    "read_output",
    "write_hashed",
]

Built = TypeVar("Built")

_HASH = "sha256"
_ANEW = "delete it and run the same again"
_BACK = "bring it back with `dvc checkout`, or delete it and run: tidemill run"


def hashed(document: Mapping[str, Any], *, besides: Collection[str] = ()) -> dict[str, Any]:
    """The document with its hash under ``sha256``, which ``besides`` do not enter.

    >>> hashed({"a": 1})["sha256"] == hashed({"a": 1, "b": 2}, besides=["b"])["sha256"]
    True
    """
    told = {name: value for name, value in document.items() if name not in (_HASH, *besides)}
    return {**document, _HASH: hash_json(told)}


def hashed_bytes(
    document: Mapping[str, Any], *, besides: Collection[str] = (), listed: bool = False
) -> bytes:
    """A note as :func:`write_hashed` writes it."""
    told = hashed(document, besides=besides)
    return json_bytes({**told, _HASH: [told[_HASH]]} if listed else told)


def write_hashed(
    path: Path, document: Mapping[str, Any], *, besides: Collection[str] = (), listed: bool = False
) -> None:
    """Write a note, atomically.

    Parameters
    ----------
    listed : bool
        The hash stands in a list, which DVC does not take for a metric.
    """
    write_bytes(path, hashed_bytes(document, besides=besides, listed=listed))


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
    return _whole(str(path), found, remedy, besides)


def find_hashed(path: Path, *, remedy: str = _ANEW) -> dict[str, Any] | None:
    """A note as :func:`read_hashed` reads it; None where there is none.

    Raises
    ------
    IntegrityError
        If it is not what was written.
    """
    with storage_errors(path):
        there = path.exists()
    return read_hashed(path, remedy=remedy) if there else None


def read_keyed(path: Path, key: str) -> dict[str, Any] | None:
    """A note that is an output and tells that it is finished; None where it is not yet of ``key``.

    Work that is no output has :class:`tidemill.storage.Receipts`.

    Raises
    ------
    IntegrityError
        If it is not what was written.
    """
    found = find_hashed(path)
    return None if found is None or found.get("key") != key else found


def is_whole(found: Mapping[str, Any], besides: Collection[str] = ()) -> bool:
    """Whether a document is what was hashed; one of before documents had a hash is."""
    digest = hashed(found, besides=besides)[_HASH]
    return found.get(_HASH) in (None, digest, [digest])


def read_output(path: Path, build: Callable[[dict[str, Any]], Built]) -> Built:
    """What ``build`` makes of a note that a stage left.

    Raises
    ------
    IntegrityError
        If it is missing, not what was written, or nothing that ``build`` can read.
    """
    return _built(str(path), read_hashed(path, remedy=_BACK), build)


def parse_output(place: str, content: bytes, build: Callable[[dict[str, Any]], Built]) -> Built:
    """As :func:`read_output`, of the content of an object at ``place``."""
    try:
        found = json.loads(content)
    except (RecursionError, ValueError):
        found = None
    return _built(place, _whole(place, found, _BACK), build)


def _built(place: str, found: dict[str, Any], build: Callable[[dict[str, Any]], Built]) -> Built:
    try:
        return build(found)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise IntegrityError(
            f"{place} is not what was written: {type(exc).__name__} {exc}",
            remedy=_BACK,
            path=place,
        ) from exc


def _whole(place: str, found: Any, remedy: str, besides: Collection[str] = ()) -> dict[str, Any]:
    """A note without its hash, if it is what was written."""
    if not isinstance(found, dict) or not is_whole(found, besides):
        raise IntegrityError(f"{place} is not what was written", remedy=remedy, path=place)
    return {name: value for name, value in found.items() if name != _HASH}
