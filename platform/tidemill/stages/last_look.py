"""What look found the last time on this machine: edges that may stay, files that are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from tidemill.config import DatasetConfig
from tidemill.errors import IntegrityError
from tidemill.ingestion import LookResult, SourceListing, look_result
from tidemill.schema import TableSchema
from tidemill.storage import Workspace, find_hashed, hash_json, write_hashed

__all__ = ["LastLook", "look_on"]

_REVISION = 1


@dataclass(frozen=True, slots=True)
class LastLook:
    """A look that has ended, with what tells whether files are still what it saw.

    Parameters
    ----------
    listing : SourceListing
    result : LookResult
    positive : str or None
        The class that is taken as the positive one.
    looked_at : int
        Splits of the listing from which the columns and the edges of histograms were found.
    marks : mapping of str to str
        By address: of files on a disk (:func:`tidemill.storage.file_mark`), which :meth:`unread`
        compares, and of splits, which their source compares. A source has one kind alone.
    """

    listing: SourceListing
    result: LookResult
    positive: str | None
    looked_at: int
    marks: Mapping[str, str]

    @classmethod
    def of(cls, workspace: Workspace, dataset: DatasetConfig) -> Self | None:
        """That of the same settings, if this machine has one.

        Raises
        ------
        IntegrityError
            If it is not as it was left.
        """
        kept = workspace.hidden / "look.json"
        found = find_hashed(kept)
        if found is None or found.pop("settings", None) != _settings(dataset):
            return None
        try:
            listing, marks = SourceListing.from_json(found["listing"]), dict(found["marks"])
            splits = tuple(
                replace(split, mark=marks.get(split.address)) for split in listing.splits
            )
            return cls(
                replace(listing, splits=splits),
                _result(found["result"]),
                found["positive"],
                int(found["looked_at"]),
                marks,
            )
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise IntegrityError(
                f"{kept} is not what was written", remedy="delete it", path=str(kept)
            ) from exc

    def keep(self, workspace: Workspace, dataset: DatasetConfig) -> None:
        """Leave it for the next look."""
        result = asdict(self.result) | {"schema": self.result.schema.to_json()}
        write_hashed(
            workspace.hidden / "look.json",
            {
                "settings": _settings(dataset),
                "listing": self.listing.to_json(),
                "result": result,
                "positive": self.positive,
                "looked_at": self.looked_at,
                "marks": dict(self.marks),
            },
        )

    def unread(self, marks: Mapping[str, str]) -> frozenset[str]:
        """Files that by their marks are what they were."""
        return frozenset(name for name, mark in marks.items() if self.marks.get(name) == mark)

    def marked(self, listing: SourceListing) -> SourceListing:
        """A listing, with the marks of splits that this look named alike."""
        known = {(split.address, split.digest): split.mark for split in self.listing.splits}
        splits = (replace(s, mark=known.get((s.address, s.digest))) for s in listing.splits)
        return replace(listing, splits=tuple(splits))


def look_on(
    dataset: DatasetConfig, listing: SourceListing, last: LastLook | None, workspace: Workspace
) -> tuple[SourceListing, LookResult, bool]:
    """Look at the source; where that finds the columns of the last look, its edges stay.

    So what rests on the schema need not be made anew because a file has come.

    Returns
    -------
    (SourceListing, LookResult, bool)
        And whether columns and edges are those of the last look.
    """
    found = look_result(dataset, listing, workspace.root)
    if last is None or not _overlap(last.listing, listing):
        return listing, found, False
    if not (listing.like(last.listing) and _alike(found.schema, last.result.schema)):
        return listing, found, False
    stays = replace(last.listing, splits=listing.splits)
    return stays, replace(found, schema=last.result.schema), True


def _overlap(one: SourceListing, other: SourceListing) -> bool:
    """Whether any split is in both, with the same content."""
    here, there = ({(s.address, s.digest) for s in each.splits} for each in (one, other))
    return not here.isdisjoint(there)


def _alike(one: TableSchema, other: TableSchema) -> bool:
    """Whether two schemas read and store the same; edges, and what was counted, aside."""
    return _bare(one) == _bare(other)


def _bare(schema: TableSchema) -> TableSchema:
    return replace(
        schema,
        columns=tuple(replace(column, edges=()) for column in schema.columns),
        source=tuple(column.bare() for column in schema.source),
        derived=(),
    )


def _settings(dataset: DatasetConfig) -> str:
    return hash_json({"revision": _REVISION, "dataset": dataset.model_dump(mode="json")})


def _result(document: dict[str, Any]) -> LookResult:
    missing = document["missing"].items()
    return LookResult(
        TableSchema.from_json(document["schema"]),
        dict(document["ignored"]),
        int(document["rows"]),
        dict(document["notes"]),
        {name: tuple((word, int(n)) for word, n in words) for name, words in missing},
        tuple(document["layout"]),
    )
