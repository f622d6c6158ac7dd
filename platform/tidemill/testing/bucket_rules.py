# ruff: noqa: S101 - these are tests
"""What every bucket rule must do: inherit :class:`BucketRuleContract` and name the ``rule``.

Of those in ``tidemill.testing.bad_bucket_rules`` each breaks one clause.
"""

from __future__ import annotations

import json
import pickle
import tracemalloc
from typing import Any, ClassVar, get_args

import numpy as np
import pyarrow as pa

from tidemill.bucket_rules import BUCKET_RULES
from tidemill.contracts import BucketFact, BucketRule

__all__ = ["BucketRuleContract"]

_ROWS = 3000
_KINDS = {
    "hash": ("hash",),
    "time": ("timestamp[us]",),
    "value": ("int64", "float64", "string", "bool", "timestamp[us]"),
}
_LARGEST, _SMALLEST = 2**63 - 1, -(2**63)


class BucketRuleContract:
    """The contract of :class:`tidemill.contracts.BucketRule`, a test a clause.

    A subclass named ``Test...`` says which rule::

        class TestMyRule(BucketRuleContract):
            rule = "mypackage:MyRule"
    """

    rule: str
    kinds: ClassVar[tuple[str, ...]] = ()
    """The physical types that are tried; all that it may meet, where none are named."""

    def open(self) -> BucketRule:
        """The rule, as another process makes it."""
        return BUCKET_RULES[self.rule]()

    def fitted(self, buckets: int = 5) -> list[tuple[str, pa.Array, tuple[str, ...]]]:
        """For each type: values of many rows, and the boundaries of half of them."""
        rule = self.open()
        found = []
        for kind in self.kinds or _KINDS[rule.wants]:
            values = _values(kind)
            sample = values.slice(0, _ROWS // 2) if rule.sampled else None
            found.append((kind, values, rule.fit(sample, buckets, kind)))
        return found

    def test_it_is_a_bucket_rule(self) -> None:
        """It is opened by its name, and says what it wants."""
        rule = self.open()
        assert isinstance(rule, BucketRule)
        assert rule.wants in get_args(BucketFact)
        assert isinstance(rule.sampled, bool)
        assert isinstance(rule.monotone, bool)

    def test_every_row_has_a_bucket(self) -> None:
        """Null, the ends of the type and values that no sample held, too."""
        for kind, values, boundaries in self.fitted():
            extremes = _extremes(kind)
            for each in (values, extremes, extremes.slice(0, 0)):
                found = self.open().bucket(each, boundaries, kind)
                assert found.dtype == np.int64
                assert found.shape == (len(each),)
                assert ((found >= 0) & (found < self.open().count(boundaries))).all()

    def test_a_bucket_follows_from_the_value(self) -> None:
        """However rows are cut and mixed, and whatever lies beside them."""
        mixed = np.random.default_rng(2).permutation(_ROWS)
        for kind, values, boundaries in self.fitted():
            rule = self.open()
            found = rule.bucket(values, boundaries, kind)
            cut = [
                rule.bucket(values.slice(at, 70), boundaries, kind) for at in range(0, _ROWS, 70)
            ]
            assert np.concatenate(cut).tolist() == found.tolist()
            taken = rule.bucket(values.take(pa.array(mixed)), boundaries, kind)
            assert taken.tolist() == found[mixed].tolist()

    def test_boundaries_say_all(self) -> None:
        """They are texts; after JSON, and in a rule that was not fitted, buckets are the same."""
        for kind, values, boundaries in self.fitted():
            assert isinstance(boundaries, tuple)
            assert all(isinstance(each, str) for each in boundaries)
            read = tuple(json.loads(json.dumps(boundaries)))
            sample = values.slice(0, _ROWS // 2) if self.open().sampled else None
            rule = self.open()
            other = rule.fit(values.slice(_ROWS // 2) if rule.sampled else None, 2, kind)
            rule.bucket(values, other, kind)
            assert self.open().fit(sample, 5, kind) == boundaries
            found = self.open().bucket(values, boundaries, kind)
            assert rule.bucket(values, read, kind).tolist() == found.tolist()
            assert rule.count(read) == self.open().count(boundaries)

    def test_the_order_of_a_sample_does_not_show(self) -> None:
        """Samples of parts are merged as they come."""
        mixed = np.random.default_rng(3).permutation(_ROWS // 2)
        for kind, values, boundaries in self.fitted():
            rule = self.open()
            sample = values.slice(0, _ROWS // 2).take(pa.array(mixed)) if rule.sampled else None
            assert rule.fit(sample, 5, kind) == boundaries

    def test_no_more_buckets_than_asked(self) -> None:
        """At least one and at most as many, of few values too."""
        rule = self.open()
        for kind in self.kinds or _KINDS[rule.wants]:
            for sample in (_values(kind), _values(kind).slice(0, 1), _extremes(kind)):
                for buckets in (1, 2, 7, 300):
                    given = sample if rule.sampled else None
                    count = rule.count(rule.fit(given, buckets, kind))
                    assert 1 <= count <= buckets

    def test_monotone_is_what_it_says(self) -> None:
        """A larger value has no smaller bucket, and null has the last, where it says so."""
        if not self.open().monotone:
            return
        for kind, values, boundaries in self.fitted():
            known = values.drop_null().sort()
            found = self.open().bucket(known, boundaries, kind)
            assert (np.diff(found) >= 0).all()
            if values.null_count:
                nothing = self.open().bucket(pa.nulls(1, values.type), boundaries, kind)
                assert nothing.tolist() == [self.open().count(boundaries) - 1]

    def test_a_sample_may_be_empty(self) -> None:
        """Without a value, or with missing ones alone, there is a bucket all the same."""
        rule = self.open()
        for kind in self.kinds or _KINDS[rule.wants]:
            values = _values(kind)
            for sample in (values.slice(0, 0), pa.nulls(3, values.type)):
                boundaries = rule.fit(sample if rule.sampled else None, 4, kind)
                assert rule.bucket(values, boundaries, kind).max() < rule.count(boundaries)

    def test_it_remembers_no_rows(self) -> None:
        """It can be pickled, does not grow, and needs memory for the rows that it is given."""
        rule = self.open()
        size = len(pickle.dumps(rule))
        for kind, values, boundaries in self.fitted():
            large = pa.concat_arrays([values] * 20)
            rule.bucket(large, boundaries, kind)
            tracemalloc.start()
            rule.bucket(large, boundaries, kind)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 400 * len(large)
        assert len(pickle.dumps(rule)) == size

    def test_it_explains_itself(self) -> None:
        """In a few words, with the column's name."""
        words = self.open().explain("a_column")
        assert "a_column" in words
        assert "\n" not in words


def _values(kind: str) -> pa.Array:
    """Many values of a type as rules meet them; some missing, where any may be."""
    random = np.random.default_rng(1)
    missing = random.random(_ROWS) < 0.02
    if kind == "hash":
        return pa.array(random.integers(0, 2**64, _ROWS, np.uint64))
    if kind == "timestamp[us]":
        return pa.array(random.integers(1_700_000_000, 1_720_000_000, _ROWS) * 1_000_000)
    numbers: Any = random.normal(size=_ROWS).round(2)
    if kind == "int64":
        numbers = random.integers(-50, 5000, _ROWS)
    elif kind == "bool":
        numbers = random.integers(0, 2, _ROWS)
    elif kind == "string":
        numbers = np.array([f"tëxt {number}" for number in random.integers(0, 900, _ROWS)], object)
    return pa.array(numbers, mask=missing)


def _extremes(kind: str) -> pa.Array:
    if kind == "hash":
        return pa.array([0, 2**63, 2**64 - 1], pa.uint64())
    if kind == "string":
        return pa.array(["", None, "~" * 300, "\U0010ffff"])
    if kind == "float64":
        return pa.array([-np.inf, None, 0.0, -0.0, 5e-324, np.inf])
    if kind == "bool":
        return pa.array([0, None, 1])
    if kind == "timestamp[us]":
        # From year 1 to year 9999, in microseconds.
        return pa.array([-62_135_596_800_000_000, 0, 253_402_300_799_999_999])
    return pa.array([_SMALLEST, None, 0, _LARGEST])
