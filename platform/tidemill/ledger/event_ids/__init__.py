"""Which ids of events are known: an LSM tree in a few tables (docs/decisions says why one of ours).

Memory first (:mod:`.ids`: sorted runs of hashes), then segments in the database, each behind a
filter (:mod:`.segments`, :mod:`.filters`); :mod:`.index` asks both, :mod:`.merging` makes few
large segments of many small ones.
"""

from tidemill.ledger.event_ids.ids import IdRun, Ids, Numbers, add_run, find_in_run, hash_ids
from tidemill.ledger.event_ids.index import FLUSH_IDS, IdIndex, View
from tidemill.ledger.event_ids.segment_merging import clear_dead_segments, due_merge, merge_segments

__all__ = [
    "FLUSH_IDS",
    "IdIndex",
    "IdRun",
    "Ids",
    "Numbers",
    "View",
    "add_run",
    "clear_dead_segments",
    "due_merge",
    "find_in_run",
    "hash_ids",
    "merge_segments",
]
