"""Manifests: what a stage left, by content. A stage's output is there when its manifest is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from tidemill.bucket_rules import BUCKET_RULES
from tidemill.errors import IntegrityError
from tidemill.schema import Role, TableSchema
from tidemill.storage.hashed import hashed_bytes, parse_output, read_output
from tidemill.storage.lost_objects import made_anew
from tidemill.storage.posix import is_key

__all__ = [
    "MANIFEST",
    "FileEntry",
    "PartEntry",
    "ShardEntry",
    "ShardManifest",
    "ValidatedManifest",
    "require_equal",
]

MANIFEST = "manifest.json"
"""Its name, beside what it tells of."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One Parquet file, its path relative to the manifest's folder, and rows per block."""

    path: str
    rows: int
    bytes: int
    sha256: str
    blocks: tuple[int, ...]

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what ``asdict`` wrote."""
        return cls(**{**document, "blocks": tuple(document["blocks"])})


@dataclass(frozen=True, slots=True)
class PartEntry:
    """What became of one split: ``rows_read == file.rows + rows_quarantined``.

    ``split`` names the split by its content; empty in manifests that did not keep it. Of a sample
    ``rows_passed_over`` further rows were not drawn.
    """

    source: str
    file: FileEntry
    rows_read: int
    rows_quarantined: int
    split: str = ""
    rows_passed_over: int = 0

    @property
    def digest(self) -> str:
        """Names the rows by content: those of the split, or else of the validated file."""
        return self.split or self.file.sha256


@dataclass(frozen=True, slots=True)
class ValidatedManifest:
    """The manifest of data/validated: one part a split, in source order."""

    schema: TableSchema
    parts: tuple[PartEntry, ...]

    @property
    def rows(self) -> int:
        """Valid rows of all parts."""
        return sum(part.file.rows for part in self.parts)

    def to_bytes(self) -> bytes:
        """The content of manifest.json, hashed."""
        parts = [asdict(part) for part in self.parts]
        for part in parts:
            if not part["rows_passed_over"]:  # of no sample
                del part["rows_passed_over"]
        return hashed_bytes({"schema": self.schema.to_json(), "parts": parts})

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``folder/manifest.json``.

        Raises
        ------
        IntegrityError
            If it is missing, or not what was written.
        """
        return read_output(folder / MANIFEST, cls._from_json)

    @classmethod
    def _from_json(cls, document: dict[str, Any]) -> Self:
        found = cls(
            schema=TableSchema.from_json(document["schema"]),
            parts=tuple(
                PartEntry(**{**part, "file": FileEntry.from_json(part["file"])})
                for part in document["parts"]
            ),
        )
        _require_keys(part.file.path for part in found.parts)
        return found


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One shard: a file of blocks that serve one role.

    Parameters
    ----------
    id : int
        Position in the manifest.
    role : Role
    file, profile : FileEntry, str
        The Parquet file; the name of the JSON file with one profile a block.
    profile_sha256 : str
    bucket : int
        Number of the shard within its role.
    lower, upper : str or None
        Smallest and largest value of the sharding column (range, time), as text.
    time_from, time_to : str or None
        Smallest and largest time, ISO 8601, where there is a time column.
    origin : str
        Name of the set of rows that was appended later; empty for those of the source.
    """

    id: int
    role: Role
    file: FileEntry
    profile: str
    profile_sha256: str
    bucket: int
    lower: str | None
    upper: str | None
    time_from: str | None
    time_to: str | None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class ShardManifest:
    """The manifest of data/shards.

    Parameters
    ----------
    schema : TableSchema
    strategy : str
        hash, range or time.
    by : str or None
        The sharding column; None when the whole row is hashed.
    boundaries : dict of role to tuple of str
        Inner boundaries of the buckets, as text: values of the sharding column (range,
        time), or of the 64-bit hash space (hash).
    shards : tuple of ShardEntry
        Ordered by role (train, validation, test), then bucket; a bucket without rows has
        no shard. Those of appended sets follow, set by set.
    holdout : dict
        The rule that gave each row its role, as JSON; appended sets have their own, in the
        manifests of their folders.
    key : str
        Names the rows of the source and the settings that these shards were made from.
    appended : tuple of str
        Names of the sets of rows that were appended; each has a folder of that name below
        ``appended``, with a manifest.
    placed : bool
        Whether rows were hashed by their place (split and row number) where no column names
        them; manifests of earlier versions hashed the whole row, target included.
    borders : str
        The key of the shards that these have their borders of; empty: they are their own.
    """

    schema: TableSchema
    strategy: str
    by: str | None
    boundaries: dict[str, tuple[str, ...]]
    shards: tuple[ShardEntry, ...]
    holdout: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    appended: tuple[str, ...] = ()
    placed: bool = False
    borders: str = ""

    def of(self, role: Role) -> tuple[ShardEntry, ...]:
        """The shards of one role, in order."""
        return tuple(shard for shard in self.shards if shard.role is role)

    def rows(self, role: Role) -> int:
        """Rows of one role."""
        return sum(shard.file.rows for shard in self.of(role))

    def files(self) -> dict[str, str]:
        """The names of all shards and profiles, each with its SHA-256."""
        hashes = {shard.file.path: shard.file.sha256 for shard in self.shards}
        return hashes | {shard.profile: shard.profile_sha256 for shard in self.shards}

    def to_bytes(self) -> bytes:
        """The content of manifest.json, hashed."""
        document = {**asdict(self), "schema": self.schema.to_json()}
        if not self.borders:  # as it was before they could be another's
            del document["borders"]
        return hashed_bytes(document)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``folder/manifest.json``.

        Raises
        ------
        IntegrityError
            If it is missing, or not what was written, or its strategy is not known here:
            neither entered nor named in params.yaml.
        """
        return read_output(folder / MANIFEST, cls._from_json)._told(str(folder / MANIFEST))

    @classmethod
    def parse(cls, place: str, content: bytes) -> Self:
        """As :meth:`read`, from the content of an object at ``place``."""
        return parse_output(place, content, cls._from_json)._told(place)

    def _told(self, place: str) -> Self:
        BUCKET_RULES.told(self.strategy, place)
        return self

    @classmethod
    def _from_json(cls, document: dict[str, Any]) -> Self:
        found = cls(
            schema=TableSchema.from_json(document["schema"]),
            strategy=document["strategy"],
            by=document["by"],
            boundaries={role: tuple(cuts) for role, cuts in document["boundaries"].items()},
            shards=tuple(
                ShardEntry(
                    **{
                        **shard,
                        "role": Role(shard["role"]),
                        "file": FileEntry.from_json(shard["file"]),
                    }
                )
                for shard in document["shards"]
            ),
            holdout=document.get("holdout", {}),
            key=document.get("key", ""),
            appended=tuple(document.get("appended", ())),
            placed=document.get("placed", False),
            borders=document.get("borders", ""),
        )
        _require_keys((*found.files(), *found.appended))
        return found

    def of_origin(self, origin: str) -> Self:
        """The same manifest with the shards of one set alone; empty for those of the source."""
        return replace(self, shards=tuple(s for s in self.shards if s.origin == origin))

    def all_training(self) -> Self:
        """The same manifest in which every row teaches: for a model that nobody will judge."""
        shards = tuple(replace(shard, role=Role.TRAIN) for shard in self.shards)
        return replace(self, shards=shards)


def _require_keys(names: Iterable[str]) -> None:
    for name in names:
        if not is_key(name):
            raise ValueError(f"{name!r} names nothing that can lie below it")


def require_equal(place: str, found: str, expected: str) -> None:
    """Refuse what has another SHA-256 than its manifest recorded."""
    if found != expected:
        raise IntegrityError(
            f"{place} is not what its manifest recorded: sha256 {found[:12]}..., "
            f"expected {expected[:12]}...",
            remedy=made_anew(
                place, here="delete it and bring it back with `dvc checkout`, or run `tidemill run`"
            ),
            path=place,
            expected=expected,
            found=found,
        )
