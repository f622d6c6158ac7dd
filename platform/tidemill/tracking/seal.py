"""The seal of a model folder: one file with the SHA-256 and size of all others, and its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemill.errors import ModelUntrusted
from tidemill.storage import hash_bytes, hash_file, hashed, is_whole, write_bytes
from tidemill.tracking.contents import Contents, FolderContents

__all__ = ["Refusal", "Sealed", "read_listed", "read_sealed", "write_seal"]

SEAL = "candidate.json"
_MAX_SEAL_BYTES = 4 << 20  # edges of a thousand columns, and what ten lessons held
_MAX_UNSTATED_BYTES = 1 << 30  # of a file whose size an older seal does not say
_MAX_LEFT_BYTES = 1 << 20

# What others leave in a folder that they look into, and nobody reads: MLflow's note of the name
# under which a model was asked for (written when it loads a models:/ address from a folder),
# caches, editors' and desktops' droppings. Other files are not passed over: MLflow runs
# installers in a folder that holds the model's files, so that a .py or a uv.lock would count.
_LEFT = re.compile(
    r"registered_model_meta|(.*/)?("
    r"__pycache__/[^/]*\.pyc|\.ipynb_checkpoints/[^/]*|\.DS_Store|\._[^/]*|Thumbs\.db|desktop\.ini"
    r"|\.nfs[0-9a-f]+|\.#[^/]*|#[^/]*#|[^/]*~|\.[^/]*\.sw[a-p]|[^/]*\.(bak|orig|tmp|md)"
    r")"
)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A folder whose files are those of its seal.

    Parameters
    ----------
    digest : str
        SHA-256 of the seal, and so of everything in the folder that is used.
    metadata : mapping
        What the seal says beside the hashes.
    files : mapping
        Path to content, of every sealed file: the very bytes that were hashed.
    notes : tuple of str
        What lies beside them, was passed over, and can be deleted; a sentence each.
    """

    digest: str
    metadata: Mapping[str, Any]
    files: Mapping[str, bytes]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Makes the errors of one folder.

    Parameters
    ----------
    label : str
        What to call the folder.
    remedy : str
    """

    label: str
    remedy: str

    def of(self, file: str, problem: str, *, remedy: str = "") -> ModelUntrusted:
        """The error that says what is wrong with a file."""
        return ModelUntrusted(
            f"{file} of {self.label} {problem}",
            remedy=remedy or self.remedy,
            file=file,
            problem=problem,
        )


def write_seal(folder: Path, metadata: Mapping[str, Any]) -> str:
    """Seal the files in ``folder``; return the digest."""
    sizes = FolderContents(folder).sizes()
    document: dict[str, Any] = {
        "files": {name: hash_file(folder / name) for name in sorted(sizes)},
        "metadata": dict(metadata),
        "sizes": sizes,
    }
    document = hashed(document)
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    content = f"{text}\n".encode()
    write_bytes(folder / SEAL, content)
    return hash_bytes(content)


def read_sealed(source: Contents, *, digest: str | None, label: str, remedy: str) -> Sealed:
    """Read every sealed file once and compare it with the seal, and that with ``digest``.

    Raises
    ------
    ModelUntrusted
        If a file is missing, added or changed; ``fields["file"]`` names it. One that was added
        is not read, nor one that is larger than the seal says.

    Notes
    -----
    Memory: the sealed files.
    """
    refusal = Refusal(label, remedy)
    sizes = dict(source.sizes())
    if SEAL not in sizes:
        raise refusal.of(SEAL, "is missing")
    if (sizes.pop(SEAL) or 0) > _MAX_SEAL_BYTES:
        raise refusal.of(SEAL, f"has more than {_MAX_SEAL_BYTES:,} bytes")
    seal = source.read(SEAL, _MAX_SEAL_BYTES)
    if digest is not None and hash_bytes(seal) != digest:
        raise refusal.of(SEAL, "is not the one that was registered")
    try:
        document = json.loads(seal)
        hashes, metadata = dict(document["files"]), dict(document["metadata"])
        stated = {str(name): int(size) for name, size in document.get("sizes", {}).items()}
        whole = is_whole(document)  # what an earlier release wrote has no hash of its own
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise refusal.of(SEAL, f"cannot be read: {exc}") from exc
    if not whole:
        raise refusal.of(SEAL, "is not what was written")
    files, notes = read_listed(source, sizes, hashes, refusal, stated=stated)
    return Sealed(hash_bytes(seal), metadata, files, notes)


def read_listed(
    source: Contents,
    sizes: Mapping[str, int | None],
    hashes: Mapping[str, str],
    refusal: Refusal,
    *,
    stated: Mapping[str, int],
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The files that ``hashes`` names, read and compared; what else lies there is not read.

    Parameters
    ----------
    sizes : mapping
        From ``source.sizes()``.
    stated : mapping
        How many bytes a file should have, where that was recorded.

    Returns
    -------
    files : dict of path to bytes
    notes : tuple of str
        A sentence on each file that was passed over.

    Raises
    ------
    ModelUntrusted
        If a file is missing, changed, or lies there and is none that can be passed over.
    """
    notes = []
    for name in sorted(sizes.keys() | hashes.keys()):
        size, most = sizes.get(name), stated.get(name, _MAX_UNSTATED_BYTES)
        if name not in sizes:
            raise refusal.of(name, "is missing")
        if name not in hashes:
            notes.append(_passed_over(name, size, source.place, refusal))
        elif size is not None and (size > most or (name in stated and size != most)):
            raise refusal.of(name, f"has {size:,} bytes, not the {most:,} that were recorded")
    files = {}
    for name in sorted(hashes):
        files[name] = source.read(name, stated.get(name, _MAX_UNSTATED_BYTES))
        if hash_bytes(files[name]) != hashes[name]:
            raise refusal.of(name, "differs from its recorded hash")
    return files, tuple(notes)


def _passed_over(name: str, size: int | None, place: str, refusal: Refusal) -> str:
    if _LEFT.fullmatch(name) and (size or 0) <= _MAX_LEFT_BYTES:
        return (
            f"{name} lies beside the files of {refusal.label} and is not used (MLflow or an "
            f"editor left it): it can be deleted from {place}"
        )
    raise refusal.of(
        name,
        "does not belong to it",
        remedy=f"if you know whose it is, delete it from {place}; otherwise {refusal.remedy}",
    )
