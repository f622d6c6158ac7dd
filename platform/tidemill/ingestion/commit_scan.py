"""Finished parts become data/validated and data/quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tidemill.contracts import Split
from tidemill.ingestion.scan_receipt import ScanReceipt
from tidemill.schema import TableSchema
from tidemill.storage import (
    PartEntry,
    ValidatedManifest,
    commit_directory,
    fresh_directory,
    place_file,
    storage_errors,
)

__all__ = ["commit_rows"]


def commit_rows(
    schema: TableSchema,
    receipts: Sequence[ScanReceipt],
    splits: Sequence[Split],
    *,
    work: Path,
    out: Path,
    quarantine: Path,
) -> ValidatedManifest:
    """Put the parts that ``receipts`` name into ``out`` and ``quarantine``, each as a whole.

    The files are linked, or copied where the disk has no links; ``work`` keeps its own.
    """
    manifest = ValidatedManifest(
        schema=schema,
        parts=tuple(
            PartEntry(
                split.address,
                receipt.part,
                receipt.rows_read,
                receipt.rows_quarantined,
                split.digest,
            )
            for split, receipt in zip(splits, receipts, strict=True)
        ),
    )
    refused = [r.quarantine.path for r in receipts if r.quarantine.rows]
    valid = [r.part.path for r in receipts]
    staged = _stage(work / "quarantine", refused, quarantine)
    commit_directory(staged, quarantine)
    staged = _stage(work / "parts", valid, out)
    manifest.write(staged)
    commit_directory(staged, out)
    return manifest


def _stage(source: Path, names: Sequence[str], target: Path) -> Path:
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    staged = fresh_directory(target.with_name(f".{target.name}.staged"))
    for name in names:
        # The work folder keeps its name for the file until the commit is through.
        place_file(source / name, staged / name)
    return staged
