"""What the scan of one split left behind: kept beside its files, so that no split is redone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from tidemill.ingestion.checks.column_figures import ColumnFigures
from tidemill.ingestion.checks.row_tally import RowTally
from tidemill.profiling import Profile
from tidemill.storage import FileEntry, Receipts

__all__ = ["ScanReceipt", "finished", "note"]


@dataclass(frozen=True, slots=True)
class ScanReceipt:
    """The result of scanning one split.

    Parameters
    ----------
    key : str
        Hash of everything that the result depends on.
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
    spills : dict of file name to SHA-256
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
    spills: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All of it but the key, as JSON."""
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
            "spills": dict(self.spills),
        }

    @classmethod
    def from_json(cls, key: str, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        return cls(
            key,
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
            spills=document["spills"],
        )


_PLAIN = (
    "split",
    "rows_read",
    "rows_rejected",
    "rows_invalid",
    "rows_target_missing",
    "rows_quarantined",
)


def note(work: Path, receipt: ScanReceipt) -> None:
    """Keep the receipt of a split, whose files in ``work`` must be whole by then."""
    left = {
        f"parts/{receipt.part.path}": receipt.part.sha256,
        f"quarantine/{receipt.quarantine.path}": receipt.quarantine.sha256,
        **{f"keys/{name}": digest for name, digest in receipt.spills.items()},
    }
    Receipts.at(work).finish(_name(receipt.split), receipt.to_json(), left, key=receipt.key)


def finished(work: Path, split: int, key: str) -> ScanReceipt | None:
    """The receipt of a split that was scanned before with the same key, or None.

    One that is spoilt, or whose files are, is taken away.
    """
    receipts = Receipts.at(work)
    document = receipts.done(_name(split), key)
    if document is None:
        return None
    try:
        return ScanReceipt.from_json(key, document)
    except (KeyError, TypeError, ValueError):  # written by another version: scan again
        receipts.spoil(_name(split))
        return None


def _name(split: int) -> str:
    return f"receipts/split-{split:05d}"
