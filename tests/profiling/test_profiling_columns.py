"""Profiles of columns are what numpy and Arrow compute from all rows at once."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import SchemaMismatch
from tidemill.profiling import CategoryProfile, Moments, NumericProfile, Profile, fold
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_numeric_figures_are_numpys(kind):
    """Mean, variance, range and histogram equal numpy's in float64."""
    values = (np.random.default_rng(1).gamma(2.0, 300.0, 5_000)).astype(kind)
    edges = np.quantile(values, np.linspace(0, 1, 34)[1:-1])
    profile = NumericProfile.of(values, edges)
    exact = values.astype(np.float64)
    assert profile.mean == pytest.approx(exact.mean(), rel=1e-12)
    assert profile.variance == pytest.approx(exact.var(ddof=1), rel=1e-12)
    assert profile.std == pytest.approx(exact.std(ddof=1), rel=1e-12)
    assert (profile.minimum, profile.maximum) == (exact.min(), exact.max())
    expected = np.bincount(np.searchsorted(edges, exact, side="right"), minlength=33)
    assert profile.counts.tolist() == expected.tolist()


@settings(deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=30),
    st.lists(st.floats(-1e300, 1e300), max_size=6, unique=True).map(sorted),
)
def test_float32_values_are_binned_by_the_float64_edges(values, edges):
    """An edge that float32 cannot hold still parts the values as in float64."""
    values = np.array(values, dtype=np.float32)
    near = [float(v) + float(v) * 1e-9 for v in values[:3]]
    edges = np.array(sorted([*edges, *near]))
    expected = np.bincount(
        np.searchsorted(edges, values.astype(np.float64), side="right"), minlength=len(edges) + 1
    )
    assert NumericProfile.of(values, edges).counts.tolist() == expected.tolist()


def test_variance_survives_a_large_offset():
    """A mean of 1e9 does not eat a standard deviation of 1, in one batch or in many."""
    values = 1e9 + np.random.default_rng(2).normal(size=20_000)
    parts = fold(NumericProfile.of(part, ()) for part in np.array_split(values, 37))
    assert parts.std == pytest.approx(values.std(ddof=1), rel=1e-9)


def test_nan_and_infinities_count_as_null():
    """What is no number has no place in mean, range or histogram."""
    profile = NumericProfile.of(np.array([np.nan, np.inf, -np.inf, 2.0, 4.0]), (3.0,))
    assert (profile.rows, profile.nulls, profile.count) == (5, 3, 2)
    assert (profile.mean, profile.minimum, profile.maximum) == (3.0, 2.0, 4.0)
    assert profile.counts.tolist() == [1, 1]


def test_the_sign_of_zero_does_not_show():
    """0 and -0 are one number: which of them a batch holds leaves no trace in the bytes."""
    one, other = (NumericProfile.of(np.array(v), (0.0,)) for v in ([0.0], [-0.0]))
    assert repr(one.to_json()) == repr(other.to_json())


@pytest.mark.parametrize("values", [[], [math.nan, math.nan]])
def test_a_column_without_values_has_no_figures(values):
    """An empty or all-null column answers NaN, not zero."""
    profile = NumericProfile.of(np.array(values), (1.0,))
    assert profile.nulls == len(values)
    figures = (profile.mean, profile.minimum, profile.variance, profile.quantile(0.5))
    assert all(math.isnan(figure) for figure in figures)


def test_quantiles_lie_within_their_bin():
    """The interpolated quantile errs by at most the width of a bin; the ends are exact."""
    values = np.random.default_rng(3).normal(50, 10, 50_000)
    edges = np.linspace(20, 80, 61)
    profile = NumericProfile.of(values, edges)
    for q in (0.01, 0.25, 0.5, 0.9, 0.99):
        assert abs(profile.quantile(q) - np.quantile(values, q)) < 1.0
    assert profile.quantile(0.0) == values.min()
    assert profile.quantile(1.0) == values.max()


def test_quantiles_of_a_gap_are_where_values_are():
    """Empty bins are skipped: with values at 0 and 10 only, the low quantiles stay low."""
    values = np.array([0.0] * 60 + [10.0] * 40)
    profile = NumericProfile.of(values, (1.0, 2.0, 3.0, 9.0))
    assert profile.quantile(0.5) <= 1.0
    assert profile.quantile(0.7) >= 9.0


def test_a_quantile_beyond_one_is_refused():
    """q is a share, not a percentage."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        NumericProfile.of(np.ones(3), ()).quantile(50)


def test_few_categories_are_counted_exactly():
    """Below the limit nothing is dropped and the distinct count is exact."""
    profile = CategoryProfile.of({"b": 2, "a": 1, "gone": 0}, rows=5)
    assert profile.complete
    assert profile.counts == {"a": 1, "b": 2}
    assert (profile.nulls, profile.n_distinct) == (2, 2.0)


def test_many_categories_are_sampled_with_exact_counts():
    """Beyond the limit memory is bounded, kept counts are exact, distinct is estimated."""
    batches = [
        {f"c{i}": 1 + i % 3 for i in range(start, start + 3_000)}
        for start in range(0, 20_000, 2_000)
    ]
    profile = fold(CategoryProfile.of(b, rows=sum(b.values()), limit=500) for b in batches)
    truth: dict[str, int] = {}
    for batch in batches:
        for category, count in batch.items():
            truth[category] = truth.get(category, 0) + count
    assert not profile.complete
    assert len(profile.counts) == 500
    assert all(truth[category] == count for category, count in profile.counts.items())
    assert profile.n_distinct == pytest.approx(len(truth), rel=0.15)


def table_of(**columns):
    return pa.table(columns)


def schema_of(*columns):
    return TableSchema(columns, Task.REGRESSION)


def test_dictionaries_are_counted_by_value_whatever_their_codes():
    """Chunks with different dictionaries, unused and repeated entries, give plain counts."""
    one = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int32()), pa.array(["a", "b"]))
    two = pa.DictionaryArray.from_arrays(
        pa.array([1, 2, 3, 3], pa.int32()), pa.array(["unused", "a", "a", None])
    )
    table = pa.table({"zone": pa.chunked_array([one, two])})
    schema = schema_of(Column("zone", ColumnType.CATEGORICAL, Purpose.FEATURE, "dictionary"))
    zone = Profile.of(table, schema).columns["zone"]
    assert zone.counts == {"a": 3, "b": 1}
    assert (zone.rows, zone.nulls) == (7, 3)


def test_a_sliced_table_is_profiled_by_its_own_rows():
    """Offsets into shared buffers are respected for every kind of column."""
    whole = table_of(
        fare=pa.array([1.0, None, 3.0, 4.0], pa.float32()),
        zone=pa.array(["a", "b", None, "b"]).dictionary_encode(),
        shared=pa.array([True, None, False, True]),
    )
    schema = schema_of(
        Column("fare", ColumnType.NUMERIC, Purpose.FEATURE, "float32", (2.0,)),
        Column("zone", ColumnType.CATEGORICAL, Purpose.FEATURE, "dictionary"),
        Column("shared", ColumnType.BOOLEAN, Purpose.FEATURE, "bool"),
    )
    profile = Profile.of(whole.slice(1, 3), schema)
    assert profile.rows == 3
    assert (profile.columns["fare"].nulls, profile.columns["fare"].mean) == (1, 3.5)
    assert profile.columns["zone"].counts == {"b": 2}
    assert profile.columns["shared"].counts == {"false": 1, "true": 1}


def test_a_table_of_no_rows_has_a_profile():
    """No chunks at all, or an empty record batch: every column is there, with no rows."""
    schema = schema_of(
        Column("fare", ColumnType.NUMERIC, Purpose.FEATURE, "float32", (2.0,)),
        Column("at", ColumnType.DATETIME, Purpose.TIME, "timestamp[us]", (1.0,)),
        Column("zone", ColumnType.CATEGORICAL, Purpose.FEATURE, "dictionary"),
        Column("shared", ColumnType.BOOLEAN, Purpose.FEATURE, "bool"),
    )
    arrow = schema.arrow_schema()
    no_chunks = pa.table([pa.chunked_array([], f.type) for f in arrow], schema=arrow)
    for empty in (no_chunks, arrow.empty_table(), pa.RecordBatch.from_pylist([], arrow)):
        profile = Profile.of(empty, schema)
        assert {name: column.rows for name, column in profile.columns.items()} == dict.fromkeys(
            schema.names, 0
        )


def test_times_are_profiled_in_epoch_seconds():
    """A timestamp column has its mean, range and bins in seconds since 1970."""
    times = pa.array([0, 2_500_000, None], pa.timestamp("us"))
    schema = schema_of(Column("at", ColumnType.DATETIME, Purpose.TIME, "timestamp[us]", (1.0,)))
    at = Profile.of(pa.table({"at": times}), schema).columns["at"]
    assert (at.minimum, at.maximum, at.mean, at.nulls) == (0.0, 2.5, 1.25, 1)
    assert at.counts.tolist() == [1, 1]


def test_integers_with_nulls_keep_their_nulls():
    """A missing whole number is null, not zero."""
    schema = schema_of(Column("n", ColumnType.NUMERIC, Purpose.FEATURE, "int64", (2.0,)))
    n = Profile.of(pa.table({"n": pa.array([1, None, 3])}), schema).columns["n"]
    assert (n.nulls, n.mean) == (1, 2.0)


def test_a_text_key_is_not_counted_category_by_category():
    """Of a text key only rows and nulls are kept."""
    schema = schema_of(Column("ride", ColumnType.CATEGORICAL, Purpose.KEY, "string"))
    ride = Profile.of(pa.table({"ride": ["r1", "r2", None]}), schema).columns["ride"]
    assert (ride.rows, ride.nulls, ride.counts, ride.complete) == (3, 1, {}, False)


def test_columns_keep_the_file_order_through_canonical_json():
    """Sorted keys in the file do not reorder the columns."""
    schema = schema_of(
        Column("z", ColumnType.NUMERIC, Purpose.FEATURE, "float64"),
        Column("a", ColumnType.NUMERIC, Purpose.FEATURE, "float64"),
    )
    profile = Profile.of(pa.table({"a": [1.0], "z": [2.0]}), schema)
    assert list(Profile.from_json(profile.to_json()).columns) == ["z", "a"]


def test_a_table_without_a_column_of_the_schema_is_refused():
    """The missing column is named."""
    schema = schema_of(Column("fare", ColumnType.NUMERIC, Purpose.FEATURE, "float32"))
    with pytest.raises(SchemaMismatch, match="fare"):
        Profile.of(pa.table({"fee": [1.0]}), schema)


def test_covariance_is_numpys():
    """Moments of many batches give numpy's covariance of all rows in float64."""
    rng = np.random.default_rng(4)
    matrix = (rng.normal(size=(9_000, 5)) @ rng.normal(size=(5, 5)) + 1e4).astype(np.float32)
    parts = np.array_split(matrix, [1, 4_096, 4_097, 8_500])
    moments = fold(Moments.of(part, tuple("abcde")) for part in parts)
    expected = np.cov(matrix.astype(np.float64), rowvar=False)
    np.testing.assert_allclose(moments.covariance, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(moments.mean, matrix.mean(axis=0, dtype=np.float64), rtol=1e-12)


def test_moments_refuse_names_that_do_not_fit():
    """One name a column."""
    with pytest.raises(SchemaMismatch, match="2 names"):
        Moments.of(np.zeros((3, 3)), ("a", "b"))


def test_moments_of_one_row_have_no_covariance():
    """One row has no spread to measure."""
    assert np.isnan(Moments.of(np.ones((1, 2)), ("a", "b")).covariance).all()
