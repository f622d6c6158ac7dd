"""What the scan of one split left behind: kept beside its objects, so that no split is redone.

All of it is named by the key of the scan, and nothing in it depends on where the split stands among
the others: so it serves the next listing too, as long as that holds the split as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from tidemill.ingestion.checks.column_figures import ColumnFigures
from tidemill.ingestion.checks.row_tally import RowTally
from tidemill.ingestion.drawn_rows import DrawCounts
from tidemill.profiling import Profile
from tidemill.storage import (
    FileEntry,
    KeptObject,
    PieceIndex,
    Receipts,
    StoreFolder,
    open_store,
)

__all__ = [
    "PARTS",
    "QUARANTINE",
    "ScanReceipt",
    "SpilledKeys",
    "finished",
    "is_noted",
    "note",
    "receipt_name",
]

PARTS, QUARANTINE = "parts", "quarantine"
"""Folders of the work folder: typed rows, and refused ones."""


@dataclass(frozen=True, slots=True)
class SpilledKeys:
    """The keys of a split in the store: their object, its SHA-256, and where they begin and end."""

    path: str
    sha256: str
    index: PieceIndex

    def to_json(self) -> dict[str, Any]:
        """As a receipt holds it."""
        return {"path": self.path, "sha256": self.sha256, "index": self.index.to_json()}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        index = PieceIndex.from_json(document["index"])
        return cls(document["path"], document["sha256"], index)


@dataclass(frozen=True, slots=True)
class ScanReceipt:
    """The result of scanning one split.

    Parameters
    ----------
    key : str
        Hash of everything that the result depends on.
    split : int
        Its number in the listing of this run.
    rows_read, rows_rejected, rows_invalid, rows_target_missing, rows_quarantined : int
        Rejected records (those that are no rows) count as read and invalid; a row without
        target that is invalid for another reason as well counts in both.
    reasons : dict of reason to RowTally
        Rows with each reason, and where the first ones stand.
    null_keys : RowTally
        Valid rows without a key.
    tallies, figures : dict of expectation index to partial
    profile : Profile or None
        Of the valid rows; None if there are none.
    part, quarantine : FileEntry
    cut : dict of column name to int
        Times that lost digits beyond the microsecond, whole numbers beyond float64.
    left_out : dict of str to int
        Lines of text that are no rows, by what they are.
    spills : dict of str to SpilledKeys
        By the name of what they are keys of.
    counts : DrawCounts or None
        Of a sample; all other counts are of the rows that were drawn.
    """

    key: str
    split: int
    rows_read: int
    rows_rejected: int
    rows_invalid: int
    rows_target_missing: int
    rows_quarantined: int
    reasons: Mapping[str, RowTally]
    null_keys: RowTally
    tallies: Mapping[int, RowTally]
    figures: Mapping[int, ColumnFigures]
    profile: Profile | None
    part: FileEntry
    quarantine: FileEntry
    cut: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    spills: Mapping[str, SpilledKeys] = field(default_factory=dict)
    counts: DrawCounts | None = None

    def left(self) -> dict[str, str]:
        """The objects of the scan in the work folder, each with its SHA-256."""
        return {
            f"{PARTS}/{self.part.path}": self.part.sha256,
            f"{QUARANTINE}/{self.quarantine.path}": self.quarantine.sha256,
            **{keys.path: keys.sha256 for keys in self.spills.values()},
        }

    def published(self) -> dict[str, str]:
        """Those of them that :func:`tidemill.ingestion.commit_scan.commit_rows` publishes."""
        rows = {f"{PARTS}/{self.part.path}": self.part.sha256}
        if self.quarantine.rows:
            rows[f"{QUARANTINE}/{self.quarantine.path}"] = self.quarantine.sha256
        return rows

    def to_json(self) -> dict[str, Any]:
        """All of it but key and split, as JSON."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "reasons": [[reason, t.to_json()] for reason, t in self.reasons.items()],
            "null_keys": self.null_keys.to_json(),
            "tallies": {str(i): t.to_json() for i, t in self.tallies.items()},
            "figures": {str(i): f.to_json() for i, f in self.figures.items()},
            "profile": None if self.profile is None else self.profile.to_json(),
            "part": asdict(self.part),
            "quarantine": asdict(self.quarantine),
            "cut": dict(self.cut),
            "left_out": dict(self.left_out),
            "spills": {name: keys.to_json() for name, keys in self.spills.items()},
            "counts": None if self.counts is None else self.counts.to_json(),
        }

    @classmethod
    def from_json(cls, key: str, split: int, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` gave, of a split that has this number in the listing."""
        return cls(
            key,
            split,
            **{name: document[name] for name in _PLAIN},
            reasons={reason: RowTally.from_json(t) for reason, t in document["reasons"]},
            null_keys=RowTally.from_json(document["null_keys"]),
            tallies={int(i): RowTally.from_json(t) for i, t in document["tallies"].items()},
            figures={int(i): ColumnFigures.from_json(f) for i, f in document["figures"].items()},
            profile=None if document["profile"] is None else Profile.from_json(document["profile"]),
            part=FileEntry.from_json(document["part"]),
            quarantine=FileEntry.from_json(document["quarantine"]),
            cut=document["cut"],
            left_out=document["left_out"],
            spills={n: SpilledKeys.from_json(keys) for n, keys in document["spills"].items()},
            counts=None if document["counts"] is None else DrawCounts.from_json(document["counts"]),
        )._at(split)

    def _at(self, split: int) -> Self:
        return replace(
            self,
            reasons={reason: tally.at(split) for reason, tally in self.reasons.items()},
            null_keys=self.null_keys.at(split),
            tallies={index: tally.at(split) for index, tally in self.tallies.items()},
        )


_PLAIN = (
    "rows_read",
    "rows_rejected",
    "rows_invalid",
    "rows_target_missing",
    "rows_quarantined",
)


def note(work: StoreFolder, receipt: ScanReceipt) -> None:
    """Keep the receipt of a split, whose objects in ``work`` must be whole by then."""
    name = receipt_name(receipt.key)
    Receipts(work).finish(name, receipt.to_json(), receipt.left(), key=receipt.key)


def finished(
    work: StoreFolder, split: int, key: str, kept: Mapping[str, KeptObject]
) -> ScanReceipt | None:
    """The receipt of a split that was scanned before with the same key, or None.

    One that is spoilt, or whose objects are or are gone, is taken away. ``kept`` as for
    :class:`tidemill.storage.Receipts`.
    """
    receipts = Receipts(work, kept)
    document = receipts.done(receipt_name(key), key)
    if document is None:
        return None
    try:
        return ScanReceipt.from_json(key, split, document)
    except (KeyError, TypeError, ValueError):  # written by another version: scan again
        receipts.spoil(receipt_name(key))
        return None


def is_noted(work: StoreFolder, key: str) -> bool:
    """Whether the scan of that key has a receipt, sound or not."""
    return open_store(work.store).size(work.key(f"{receipt_name(key)}.json")) is not None


def receipt_name(key: str) -> str:
    """What the receipt of a scan is called in the work folder."""
    return f"receipts/{key}"
