"""Scans outlive their run: what was found of a split serves as long as the split stays as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tidemill.ingestion.scan_receipt import ScanReceipt, receipt_name
from tidemill.storage import StoreFolder, open_store

__all__ = ["keep_scans", "unread_objects"]

_MARKS = "marks.json"


def keep_scans(work: StoreFolder, receipts: Sequence[ScanReceipt]) -> None:
    """Keep these scans alone, once their rows are published; all others in ``work`` go.

    On a disk: of its parts and refused rows the published files are links, so they take no room
    twice. Of keys it takes 16 bytes and the key, a row. A store apart would hold all twice, and
    what was found of the only split serves nobody: there nothing is kept.

    Parameters
    ----------
    work : StoreFolder
    receipts : sequence of ScanReceipt
        Those of all splits.
    """
    store = open_store(work.store)
    if work.apart or len(receipts) < 2:
        store.discard(work.folder)
        return
    objects = {name for receipt in receipts for name in receipt.left()}
    kept = objects | {f"{receipt_name(receipt.key)}.json" for receipt in receipts}
    for name in [*work.names()]:
        if name not in kept:
            store.discard(work.key(name))
    with store.replace(work.key(_MARKS)) as marks:
        marks.write(json.dumps({name: work.mark(name) for name in sorted(objects)}).encode())


def unread_objects(work: StoreFolder) -> frozenset[str]:
    """Objects of kept scans that are what they were by their marks: nobody need read them."""
    store, key = open_store(work.store), work.key(_MARKS)
    if store.size(key) is None:
        return frozenset()
    try:
        noted = dict(json.loads(store.read(key)))
    except (TypeError, ValueError):  # damaged: all are read
        return frozenset()
    return frozenset(name for name, mark in noted.items() if mark and work.mark(name) == mark)
