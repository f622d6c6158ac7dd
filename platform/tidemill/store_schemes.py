"""Where rows may be kept, by the scheme of addresses; packages add theirs as entry points."""

from __future__ import annotations

from tidemill.addresses import Implementations
from tidemill.contracts import Store

__all__ = ["STORES"]

STORES: Implementations[type[Store]] = Implementations(
    {
        "file": "tidemill.storage.posix:PosixStore",
        "s3": "tidemill.storage.object_store:ObjectStore",
    },
    port=Store,
    group="tidemill.stores",
    setting="storage.url",
)
"""Each is made with the whole address."""
