"""What the scan of one split left behind: kept beside its files, so that no split is redone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from tidemill.errors import IntegrityError
from tidemill.ingestion.figures import ColumnFigures
from tidemill.ingestion.tally import RowTally
from tidemill.profiling import Profile
from tidemill.storage import FileEntry, hash_file, read_hashed, spoilt, write_hashed

__all__ = ["ScanReceipt", "finished", "receipt_path"]


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

    def write(self, path: Path) -> None:
        """Write the receipt; the split's files must be whole by then."""
        write_hashed(
            path,
            {
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
            },
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what :meth:`write` wrote."""
        document = read_hashed(path)
        return cls(
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
    "key",
    "split",
    "rows_read",
    "rows_rejected",
    "rows_invalid",
    "rows_target_missing",
    "rows_quarantined",
)


def receipt_path(work: Path, split: int) -> Path:
    """Where the receipt of a split lies."""
    return work / "receipts" / f"split-{split:05d}.json"


def finished(work: Path, split: int, key: str) -> ScanReceipt | None:
    """The receipt of a split that was scanned before with the same key, or None.

    One that is spoilt, or whose files are, is taken away.
    """
    path = receipt_path(work, split)
    if not path.exists():
        return None
    try:
        receipt = ScanReceipt.read(path)
    except (IntegrityError, KeyError, TypeError, ValueError):
        spoilt(path)  # or written by another version: scan again
        return None
    if receipt.key != key:
        return None
    if _whole(work, receipt):
        return receipt
    spoilt(path)
    return None


def _whole(work: Path, receipt: ScanReceipt) -> bool:
    hashes = {
        work / "parts" / receipt.part.path: receipt.part.sha256,
        work / "quarantine" / receipt.quarantine.path: receipt.quarantine.sha256,
        **{work / "keys" / name: digest for name, digest in receipt.spills.items()},
    }
    return all(path.is_file() and hash_file(path) == digest for path, digest in hashes.items())
