# ruff: noqa: ARG002 - each says above what it breaks; what it is told and does not need
"""For each clause of the contract of bucket rules one rule that breaks it.

A contract suite that a bad rule passes is none: :data:`BAD_BUCKET_RULES` names, for each test of
``BucketRuleContract``, a rule that must fail it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tidemill.sharding.buckets import HashBuckets, RangeBuckets

__all__ = ["BAD_BUCKET_RULES"]


class WithoutAWord:
    """Lacks ``explain``."""

    wants = "hash"
    sampled = monotone = False
    fit, count, bucket = HashBuckets.fit, HashBuckets.count, HashBuckets.bucket


class KnownValuesOnly(RangeBuckets):
    """Has no bucket for what is missing."""

    def bucket(self, values: pa.Array, *told: Any) -> Any:
        found = super().bucket(values, *told)
        return np.where(values.is_null().to_numpy(zero_copy_only=False), -1, found)


class RowAfterRow(HashBuckets):
    """Deals rows in turn."""

    def bucket(self, values: pa.Array, boundaries: tuple[str, ...], physical: str) -> Any:
        return np.arange(len(values)) % self.count(boundaries)


class KeepsItsFit(RangeBuckets):
    """Remembers the boundaries of its last fit."""

    _kept: tuple[str, ...] | None = None

    def fit(self, *told: Any) -> tuple[str, ...]:
        self._kept = super().fit(*told)
        return self._kept

    def bucket(self, values: pa.Array, boundaries: tuple[str, ...], physical: str) -> Any:
        return super().bucket(values, self._kept or boundaries, physical)


class FirstRows(RangeBuckets):
    """Cuts at the first rows of the sample."""

    def fit(self, sample: pa.Array, buckets: int, physical: str) -> tuple[str, ...]:
        return super().fit(sample.slice(0, 30), buckets, physical)


class OneMore(HashBuckets):
    """Cuts once too often."""

    def fit(self, sample: Any, buckets: int, physical: str) -> tuple[str, ...]:
        return super().fit(sample, buckets + 1, physical)


class Backwards(RangeBuckets):
    """Says that it is monotone, and deals the largest values first."""

    def bucket(self, values: pa.Array, boundaries: tuple[str, ...], physical: str) -> Any:
        return self.count(boundaries) - 1 - super().bucket(values, boundaries, physical)


class WantsValues(RangeBuckets):
    """Cannot do without a value in the sample."""

    def fit(self, sample: pa.Array, *told: Any) -> tuple[str, ...]:
        sample.drop_null()[0].as_py()
        return super().fit(sample, *told)


class KeepsRows(HashBuckets):
    """Keeps what it has seen."""

    def __init__(self) -> None:
        self._seen: list[pa.Array] = []

    def bucket(self, values: pa.Array, *told: Any) -> Any:
        self._seen.append(values)
        return super().bucket(values, *told)


class SaysNothing(HashBuckets):
    """Leaves out the column."""

    def explain(self, column: str) -> str:
        return "hash"


BAD_BUCKET_RULES: dict[str, type] = {
    "test_it_is_a_bucket_rule": WithoutAWord,
    "test_every_row_has_a_bucket": KnownValuesOnly,
    "test_a_bucket_follows_from_the_value": RowAfterRow,
    "test_boundaries_say_all": KeepsItsFit,
    "test_the_order_of_a_sample_does_not_show": FirstRows,
    "test_no_more_buckets_than_asked": OneMore,
    "test_monotone_is_what_it_says": Backwards,
    "test_a_sample_may_be_empty": WantsValues,
    "test_it_remembers_no_rows": KeepsRows,
    "test_it_explains_itself": SaysNothing,
}
"""By the test of the contract suite that it fails."""
