"""What a published folder holds whose bytes lie in a store apart: its names, each with a hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from tidemill.errors import IntegrityError
from tidemill.storage.hashed import hashed_bytes, parse_output, read_output
from tidemill.storage.hashing import hash_bytes
from tidemill.storage.lost_objects import made_anew
from tidemill.storage.manifest import require_equal
from tidemill.storage.posix import is_key
from tidemill.storage.stores import open_store

__all__ = ["CLAIMS", "CONTENTS", "OBJECTS", "PublishedNames", "object_key"]

CLAIMS = "claims"
"""The folder of a store where each workspace names what it has published, to keep it."""

CONTENTS = "contents.json"
"""Its name in the workspace's folder, beside the manifest."""

OBJECTS = "objects"
"""The folder of a store where objects are named by their content."""


def object_key(sha256: str) -> str:
    """Where the object of that content lies, as ``Store.write(OBJECTS)`` names it."""
    return f"{OBJECTS}/{sha256}"


@dataclass(frozen=True, slots=True)
class PublishedNames:
    """The names of a folder, and the SHA-256 of what each of them holds.

    The bytes are the store's, named by their hash alone: folders of several versions share what is
    the same in them. The document itself is such an object too, so that its hash names the folder.
    """

    names: Mapping[str, str]

    def to_bytes(self) -> bytes:
        """The content of contents.json, hashed."""
        return hashed_bytes({"objects": dict(sorted(self.names.items()))})

    @property
    def sha256(self) -> str:
        """Names the folder."""
        return hash_bytes(self.to_bytes())

    def of(self, name: str, place: str) -> str:
        """The hash of what a name holds.

        Raises
        ------
        IntegrityError
            If the folder, which lies at ``place``, has no such name.
        """
        try:
            return self.names[name]
        except KeyError:
            raise IntegrityError(
                f"{place} holds no {name}",
                remedy=made_anew(place),
                path=place,
            ) from None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``folder/contents.json``.

        Raises
        ------
        IntegrityError
            If it is missing, or not what was written.
        """
        return read_output(folder / CONTENTS, cls._from_json)

    @classmethod
    def kept(cls, store: str, sha256: str) -> PublishedNames:
        """Those that are named by their hash in a store; read once, if it was used lately.

        Raises
        ------
        IntegrityError
            If they are missing, or not what was written.
        """
        return _kept(store, sha256)

    @classmethod
    def parse(cls, place: str, content: bytes) -> Self:
        """As :meth:`read`, from the content of an object at ``place``."""
        return parse_output(place, content, cls._from_json)

    @classmethod
    def _from_json(cls, document: dict[str, Any]) -> Self:
        names = document["objects"]
        for name, sha256 in names.items():
            if not is_key(name) or len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
                raise ValueError(f"{name} is no name with a hash")
        return cls(names)


@lru_cache(maxsize=16)
def _kept(store: str, sha256: str) -> PublishedNames:
    key = object_key(sha256)
    content = open_store(store).read(key)
    require_equal(f"{store}/{key}", hash_bytes(content), sha256)
    return PublishedNames.parse(f"{store}/{key}", content)
