"""The strategies of sharding; packages add theirs as entry points of ``tidemill.bucket_rules``."""

from __future__ import annotations

from tidemill.addresses import Implementations
from tidemill.contracts import BucketRule

__all__ = ["BUCKET_RULES"]

BUCKET_RULES: Implementations[type[BucketRule]] = Implementations(
    {
        "hash": "tidemill.sharding.buckets:HashBuckets",
        "range": "tidemill.sharding.buckets:RangeBuckets",
        "time": "tidemill.sharding.buckets:TimeBuckets",
    },
    port=BucketRule,
    group="tidemill.bucket_rules",
    setting="sharding.strategy",
)
