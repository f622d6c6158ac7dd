"""What look found the last time on this machine, so that the next one asks of what is new alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from tidemill.config import DatasetConfig
from tidemill.errors import IntegrityError, TidemillError
from tidemill.ingestion import LookResult, SourceListing, look_result
from tidemill.schema import TableSchema
from tidemill.storage import Workspace, hash_json, read_hashed, write_hashed

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
        By address of files on a disk (:func:`tidemill.storage.file_mark`).
    """

    listing: SourceListing
    result: LookResult
    positive: str | None
    looked_at: int
    marks: Mapping[str, str]

    @classmethod
    def of(cls, workspace: Workspace, dataset: DatasetConfig) -> Self | None:
        """That of the same settings, if this machine has it whole."""
        try:
            found = read_hashed(workspace.hidden / "look.json")
            if found.pop("settings") != _settings(dataset):
                return None
            return cls(
                SourceListing.from_json(found["listing"]),
                _result(found["result"]),
                found["positive"],
                int(found["looked_at"]),
                dict(found["marks"]),
            )
        except (IntegrityError, KeyError, TypeError, ValueError):
            return None  # none yet, or damaged: look at all

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


def look_on(
    dataset: DatasetConfig, listing: SourceListing, last: LastLook | None, workspace: Workspace
) -> tuple[SourceListing, LookResult, bool]:
    """Look at new and changed splits, or at all where those look otherwise than the others did.

    Columns and edges stay as long as nothing else is found: of types, purposes, spelling. So what
    rests on the schema need not be made anew because a file has come.

    Returns
    -------
    (SourceListing, LookResult, bool)
        And whether columns and edges are those of the last look.
    """
    fresh = last.listing.lacks(listing.splits) if last is not None else listing.splits
    if last is None or len(fresh) == len(listing.splits):
        return listing, look_result(dataset, listing, workspace.root), False
    if listing.like(last.listing):
        found = _agreeing(dataset, replace(listing, splits=fresh), last, workspace)
        if found is not None:
            return listing, found, True
    found = look_result(dataset, listing, workspace.root)
    if not (listing.like(last.listing) and _alike(found.schema, last.result.schema)):
        return listing, found, False
    stays = replace(last.listing, splits=listing.splits)
    return stays, replace(found, schema=last.result.schema), True


def _agreeing(
    dataset: DatasetConfig, fresh: SourceListing, last: LastLook, workspace: Workspace
) -> LookResult | None:
    """What the last look found, if one at the fresh splits alone finds the same columns."""
    if not fresh.splits:
        return last.result
    try:
        found = look_result(dataset, fresh, workspace.root)
    except TidemillError:  # they may be few rows; a look at all splits has the word
        return None
    if not _alike(found.schema, last.result.schema):
        return None
    return replace(last.result, layout=found.layout)


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
