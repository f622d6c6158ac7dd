"""Every partial of profiling obeys the laws of merging."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from tidemill.errors import SchemaMismatch
from tidemill.profiling import (
    CategoryProfile,
    Moments,
    NumericProfile,
    Profile,
    RowSketch,
    fold,
)
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill.testing.partials import PartialContract

NUMBERS = st.floats(-1e3, 1e3, width=32)


class TestMomentsLaws(PartialContract):
    relative, absolute = 1e-9, 1e-6

    def rows(self):
        return st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=30)

    def of(self, rows):
        return Moments.of(np.array(rows, dtype=np.float32).reshape(-1, 3), ("a", "b", "c"))


class TestNumericProfileLaws(PartialContract):
    relative, absolute = 1e-9, 1e-6

    def rows(self):
        odd = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0])
        return st.lists(NUMBERS | odd, max_size=40)

    def of(self, rows):
        return NumericProfile.of(np.array(rows, dtype=np.float64), (-10.0, 0.0, 1.0, 2.5))


class TestCategoryProfileLaws(PartialContract):
    """With a limit that Hypothesis often crosses."""

    def rows(self):
        return st.lists(st.none() | st.integers(0, 25).map(lambda i: f"c{i}"), max_size=40)

    def of(self, rows):
        present = [row for row in rows if row is not None]
        counts = {text: present.count(text) for text in present}
        return CategoryProfile.of(counts, rows=len(rows), limit=6)


class TestRowSketchLaws(PartialContract):
    """With a limit that is often crossed, and hashes that repeat."""

    def rows(self):
        return st.lists(st.integers(0, 20) | st.integers(2**63, 2**64 - 1), max_size=20)

    def of(self, rows):
        return RowSketch.of(np.array(rows, dtype=np.uint64), limit=5)


SCHEMA = TableSchema(
    (
        Column("fare", ColumnType.NUMERIC, Purpose.FEATURE, "float32", (0.0, 10.0)),
        Column("zone", ColumnType.CATEGORICAL, Purpose.FEATURE, "dictionary"),
        Column("shared", ColumnType.BOOLEAN, Purpose.FEATURE, "bool"),
        Column("ride", ColumnType.CATEGORICAL, Purpose.KEY, "string"),
    ),
    Task.REGRESSION,
)


class TestProfileLaws(PartialContract):
    relative, absolute = 1e-9, 1e-6

    def rows(self):
        row = st.tuples(
            st.none() | NUMBERS,
            st.none() | st.sampled_from("abc"),
            st.none() | st.booleans(),
            st.none() | st.text("rst", max_size=3),
        )
        return st.lists(row, max_size=20)

    def of(self, rows):
        columns = [[row[i] for row in rows] for i in range(4)]
        arrays = [pa.array(c, k) for c, k in zip(columns, KINDS, strict=True)]
        table = pa.table(arrays, SCHEMA.names)
        return Profile.of(table.cast(SCHEMA.arrow_schema()), SCHEMA)


KINDS = (pa.float32(), pa.string(), pa.bool_(), pa.string())


def test_a_fold_of_nothing_is_refused():
    """No partials have no merge."""
    with pytest.raises(ValueError, match="at least one"):
        fold([])


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (Moments.of(np.zeros((1, 1)), ("a",)), Moments.of(np.zeros((1, 1)), ("b",))),
        (NumericProfile.of(np.zeros(1), (0.0,)), NumericProfile.of(np.zeros(1), (1.0,))),
        (CategoryProfile.of({}, rows=0, limit=2), CategoryProfile.of({}, rows=0, limit=3)),
        (Profile(0, {}), Profile(0, {"a": CategoryProfile.of({}, rows=0)})),
        (
            Profile(0, {"a": NumericProfile.of(np.zeros(0), ())}),
            Profile(0, {"a": CategoryProfile.of({}, rows=0)}),
        ),
    ],
)
def test_partials_of_different_things_do_not_merge(left, right):
    """Names, edges, limits, columns and kinds must agree; the error has a remedy."""
    with pytest.raises(SchemaMismatch) as refusal:
        left.merge(right)
    assert refusal.value.remedy
