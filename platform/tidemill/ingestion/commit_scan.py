"""Finished parts become data/validated and data/quarantine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tidemill.contracts import Split
from tidemill.ingestion.scan_receipt import PARTS, QUARANTINE, ScanReceipt
from tidemill.schema import TableSchema
from tidemill.storage import (
    MANIFEST,
    FileEntry,
    PartEntry,
    StoreFolder,
    ValidatedManifest,
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

    They are numbered as the splits are. ``work`` keeps its own.
    """
    named = [(f"part-{receipt.split:05d}.parquet", receipt) for receipt in receipts]
    manifest = ValidatedManifest(
        schema=schema,
        parts=tuple(
            PartEntry(
                split.address,
                replace(receipt.part, path=name),
                receipt.rows_read,
                receipt.rows_quarantined,
                split.digest,
                0 if receipt.counts is None else receipt.counts.passed_over,
            )
            for split, (name, receipt) in zip(splits, named, strict=True)
        ),
    )
    refused = {name: each.quarantine for name, each in named if each.quarantine.rows}
    publish(quarantine, _objects(work.below(QUARANTINE), refused), {})
    valid = {name: receipt.part for name, receipt in named}
    publish(out, _objects(work.below(PARTS), valid), {MANIFEST: manifest.to_bytes()})
    return manifest


def _objects(
    folder: StoreFolder, files: Mapping[str, FileEntry]
) -> dict[str, tuple[StoreFolder, str, str]]:
    return {name: (folder, file.path, file.sha256) for name, file in files.items()}
