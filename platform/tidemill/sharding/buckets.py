"""The strategies of sharding: which bucket a row goes to; see tidemill.contracts.BucketRule."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.contracts import BucketFact
from tidemill.sharding.ranges import balanced_cuts, bucket_of, cuts_from_text, hash_cuts, to_texts

__all__ = ["HashBuckets", "RangeBuckets", "TimeBuckets"]


class _Cut:
    """Buckets between boundaries; a value at one lies above it."""

    def count(self, boundaries: tuple[str, ...]) -> int:
        """One more than the boundaries between them."""
        return len(boundaries) + 1

    def bucket(
        self, values: pa.Array, boundaries: tuple[str, ...], physical: str
    ) -> npt.NDArray[np.int64]:
        """The number of boundaries at or below each value; null is in the last bucket."""
        return bucket_of(values, cuts_from_text(boundaries, physical))


class HashBuckets(_Cut):
    """Equal ranges of the hash space."""

    wants: ClassVar[BucketFact] = "hash"
    sampled: ClassVar[bool] = False
    monotone: ClassVar[bool] = False

    def fit(self, sample: pa.Array | None, buckets: int, physical: str) -> tuple[str, ...]:  # noqa: ARG002 - the space is known
        """Cut the space evenly."""
        return to_texts(hash_cuts(buckets), physical)

    def explain(self, column: str) -> str:
        """The hash of a column."""
        return f"hash of {column}"


class RangeBuckets(_Cut):
    """Ranges of a column with about equal numbers of rows."""

    wants: ClassVar[BucketFact] = "value"
    sampled: ClassVar[bool] = True
    monotone: ClassVar[bool] = True

    def fit(self, sample: pa.Array | None, buckets: int, physical: str) -> tuple[str, ...]:
        """Cut at quantiles of the sample."""
        assert sample is not None  # noqa: S101 - it asks for one
        return to_texts(balanced_cuts(sample, buckets), physical)

    def explain(self, column: str) -> str:
        """Ranges of a column."""
        return f"range of {column}"


class TimeBuckets(RangeBuckets):
    """The same of the time column."""

    wants: ClassVar[BucketFact] = "time"

    def explain(self, column: str) -> str:
        """Stretches of time."""
        return f"time of {column}"
