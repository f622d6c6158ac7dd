"""Scans outlive their run: what was found of a split serves as long as the split stays as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tidemill.ingestion.scan_receipt import PARTS, ScanReceipt, receipt_name
from tidemill.storage import KeptObject, StoreFolder, object_key, open_store

__all__ = ["keep_scans", "scanned_objects"]

_MARKS = "marks.json"
_AT_ONCE = 16
"""Requests to a store."""


def keep_scans(work: StoreFolder, receipts: Sequence[ScanReceipt], *, now_ns: int) -> None:
    """Keep these scans alone, once their rows are published; all others in ``work`` go.

    Parts and refused rows take no room twice: on a disk the published files are links to them; in
    a store apart they go from ``work``, and are found by their content. Of keys it takes 16 bytes
    and the key, a row. What was found of the only split serves nobody, and is not kept.

    A kill on the way costs scans at most: who finds an object neither here nor there scans again.

    Parameters
    ----------
    work : StoreFolder
    receipts : sequence of ScanReceipt
        Those of all splits.
    now_ns : int
        Nanoseconds since 1970.
    """
    store = open_store(work.store)
    if len(receipts) < 2:
        store.discard(work.folder)
        return
    places = {name: work.key(name) for receipt in receipts for name in receipt.left()}
    if work.apart:
        store.discard(work.key(PARTS))  # all at once
        for receipt in receipts:
            places |= {name: object_key(sha) for name, sha in receipt.published().items()}
    here = {*places.values(), *(work.key(f"{receipt_name(one.key)}.json") for one in receipts)}
    others = [key for key in map(work.key, work.names()) if key not in here]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(store.discard, others))
        # From here on nothing touches them: on a disk a name less is another time.
        kept = pool.map(partial(KeptObject.of, store, now_ns=now_ns), places.values())
        told = {name: [one.key, one.mark] for name, one in zip(places, kept, strict=True)}
    with store.replace(work.key(_MARKS)) as marks:
        marks.write(json.dumps(told, sort_keys=True).encode())


def scanned_objects(work: StoreFolder) -> dict[str, KeptObject]:
    """What kept scans left, by its names in ``work``; none of it has been looked at."""
    store, key = open_store(work.store), work.key(_MARKS)
    if store.size(key) is None:
        return {}
    try:
        return {name: KeptObject(*told) for name, told in json.loads(store.read(key)).items()}
    except (AttributeError, TypeError, ValueError):  # damaged, or of an earlier release
        return {}
