"""The seal of a model folder: one file that holds the SHA-256 of all the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemill.errors import ModelUntrusted
from tidemill.storage import hash_bytes, hash_file, storage_errors, write_bytes

__all__ = ["Sealed", "read_sealed", "write_seal"]

SEAL = "candidate.json"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A folder whose files are those of its seal.

    Parameters
    ----------
    digest : str
        SHA-256 of the seal, and so of everything in the folder.
    metadata : mapping
        What the seal says beside the hashes.
    files : mapping
        Path to content, of every sealed file: the very bytes that were hashed.
    """

    digest: str
    metadata: Mapping[str, Any]
    files: Mapping[str, bytes]


def write_seal(folder: Path, metadata: Mapping[str, Any]) -> str:
    """Seal the files in ``folder``; return the digest."""
    document = {
        "files": {name: hash_file(folder / name) for name in _names(folder)},
        "metadata": dict(metadata),
    }
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    content = f"{text}\n".encode()
    write_bytes(folder / SEAL, content)
    return hash_bytes(content)


def read_sealed(folder: Path, *, digest: str | None, label: str, remedy: str) -> Sealed:
    """Read every file in ``folder`` once and compare it with the seal, and that with ``digest``.

    Raises
    ------
    ModelUntrusted
        If a file is missing, added or changed; ``fields["file"]`` names it.

    Notes
    -----
    Memory: the folder's files.
    """

    def refuse(file: str, problem: str) -> ModelUntrusted:
        return ModelUntrusted(
            f"{file} of {label} {problem}", remedy=remedy, file=file, problem=problem
        )

    with storage_errors(folder):
        names = _names(folder)
        if SEAL not in names:
            raise refuse(SEAL, "is missing")
        content = {name: (folder / name).read_bytes() for name in names}
    seal = content.pop(SEAL)
    if digest is not None and hash_bytes(seal) != digest:
        raise refuse(SEAL, "is not the one that was registered")
    try:
        document = json.loads(seal)
        hashes, metadata = dict(document["files"]), dict(document["metadata"])
    except (ValueError, TypeError, KeyError) as exc:
        raise refuse(SEAL, f"cannot be read: {exc}") from exc
    for name in sorted(hashes.keys() | content.keys()):
        if name not in content:
            raise refuse(name, "is missing")
        if name not in hashes:
            raise refuse(name, "does not belong to it")
        if hash_bytes(content[name]) != hashes[name]:
            raise refuse(name, "differs from its recorded hash")
    return Sealed(hash_bytes(seal), metadata, content)


def _names(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
