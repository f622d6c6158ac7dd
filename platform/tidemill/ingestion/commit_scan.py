"""Finished parts become data/validated and data/quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tidemill.contracts import Split
from tidemill.ingestion.scan_receipt import PARTS, QUARANTINE, ScanReceipt
from tidemill.schema import TableSchema
from tidemill.storage import (
    MANIFEST,
    PartEntry,
    StoreFolder,
    ValidatedManifest,
    objects_of,
    publish,
)

__all__ = ["commit_rows"]


def commit_rows(
    schema: TableSchema,
    receipts: Sequence[ScanReceipt],
    splits: Sequence[Split],
    *,
    work: StoreFolder,
    out: Path,
    quarantine: Path,
) -> ValidatedManifest:
    """Put the parts that ``receipts`` name into ``out`` and ``quarantine``, each as a whole.

    ``work`` keeps its own.
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
                0 if receipt.counts is None else receipt.counts.passed_over,
            )
            for split, receipt in zip(splits, receipts, strict=True)
        ),
    )
    refused = [receipt.quarantine for receipt in receipts if receipt.quarantine.rows]
    publish(quarantine, objects_of(work.below(QUARANTINE), refused), {})
    valid = [receipt.part for receipt in receipts]
    publish(out, objects_of(work.below(PARTS), valid), {MANIFEST: manifest.to_bytes()})
    return manifest
