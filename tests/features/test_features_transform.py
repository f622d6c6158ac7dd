"""Transforming rows, whatever holds them."""

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tidemill.config import ReductionConfig
from tidemill.engines import LocalEngine
from tidemill.errors import SchemaMismatch
from tidemill.features import fit_reducer


@pytest.fixture(scope="module")
def reducer(make_shards, ride_table):
    """A reducer with every kind of column, missing values kept."""
    config = ReductionConfig(impute="none", indicator=True)
    return fit_reducer(*make_shards([ride_table]), config, engine=LocalEngine())[0]


def test_tables_frames_and_dicts_reduce_alike(reducer, ride_table):
    """Arrow, pandas in several dtypes, dicts of arrays or lists: the same matrix."""
    expected = reducer.transform(ride_table)
    frame = ride_table.to_pandas()
    plain = frame.astype({"zone": "str"})
    nullable = plain.convert_dtypes()
    lists = ride_table.to_pydict()
    zoned = frame.assign(started=frame["started"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))
    chunked = pa.concat_tables([ride_table[:100], ride_table[100:]])
    plain_strings = ride_table.set_column(5, "zone", ride_table["zone"].cast(pa.string())).select(
        ride_table.column_names[::-1]
    )
    others = [
        frame,
        plain,
        nullable,
        lists,
        zoned,
        chunked,
        plain_strings,
        dict(ride_table.to_pandas()),
    ]
    for number, other in enumerate(others):
        np.testing.assert_array_equal(reducer.transform(other), expected, err_msg=str(number))
    batch = ride_table.combine_chunks().to_batches()[0]
    np.testing.assert_array_equal(reducer.transform(batch), expected)


def test_rows_reduce_alone_as_in_a_batch(reducer, ride_table):
    """One row gives what it gives among others, from a dict of scalars too."""
    expected = reducer.transform(ride_table)
    for row in (0, 17, 599):
        (values,) = ride_table[row : row + 1].to_pylist()
        np.testing.assert_array_equal(reducer.transform(values)[0], expected[row])
        np.testing.assert_array_equal(reducer.transform(pd.DataFrame([values]))[0], expected[row])


def test_the_output_is_float32_in_c_order(reducer, ride_table):
    """What learners get is float32, C-contiguous, one column a name; no rows are fine."""
    out = reducer.transform(ride_table)
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    assert out.shape == (600, len(reducer.get_feature_names_out()))
    assert reducer.transform(ride_table[:0]).shape == (0, out.shape[1])


def test_texts_of_times_and_flags_are_read(reducer, ride_table):
    """JSON has no times and a client may send flags as texts."""
    (row,) = ride_table[3:4].to_pylist()
    expected = reducer.transform(row)
    assert row["started"] is not None
    texts = {**row, "started": row["started"].isoformat() + "Z", "shared": str(row["shared"])}
    texts["shared"] = texts["shared"].lower()
    np.testing.assert_array_equal(reducer.transform(texts), expected)
    tokyo = (
        row["started"]
        .replace(tzinfo=datetime.UTC)
        .astimezone(datetime.timezone(datetime.timedelta(hours=9)))
    )
    np.testing.assert_array_equal(reducer.transform({**row, "started": tokyo}), expected)


def test_numbers_as_categories_are_their_texts(make_shards):
    """A category that training read as the text 3 is found in 3 and, beside gaps, in 3.0."""
    table = pa.table(
        {"code": pa.array(["3", "7", "3", "7"]).dictionary_encode(), "y": np.arange(4.0)}
    )
    fitted, _ = fit_reducer(*make_shards([table]), ReductionConfig(), engine=LocalEngine())
    expected = [[1, 0], [0, 1]]
    for values in ([3, 7], [3.0, 7.0], ["3", "7"]):
        np.testing.assert_array_equal(fitted.transform({"code": np.array(values)}), expected)
    many = pd.DataFrame({"code": [3.0, 7.0] * 100 + [None]})
    np.testing.assert_array_equal(fitted.transform(many)[-3:], [*expected, [0, 0]])


def test_infinite_and_enormous_values_count_as_missing(make_shards):
    """Nothing that float32 cannot hold reaches a learner."""
    table = pa.table({"x": [1.0, 2.0, 3.0], "y": np.arange(3.0)})
    fitted, _ = fit_reducer(*make_shards([table]), ReductionConfig(), engine=LocalEngine())
    out = fitted.transform({"x": [np.inf, -np.inf, 1e300, np.nan, 2.0]})
    np.testing.assert_array_equal(out[:, 0], np.zeros(5, np.float32))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: {k: v for k, v in row.items() if k != "fare"} | {"fares": 1}, "lack"),
        (lambda row: {**row, "fare": "much"}, "'fare' cannot be read as numbers"),
        (lambda row: {**row, "started": "soon"}, "'started' cannot be read as times"),
        (lambda row: {**row, "started": 5}, "'started' cannot be read as times"),
        (lambda row: {**row, "shared": "perhaps"}, "'shared' cannot be read as true or false"),
        (lambda row: {**row, "fare": [1.0, 2.0]}, "differ in length"),
        (lambda row: list(row.values()), "no named columns"),
    ],
)
def test_rows_that_do_not_fit_are_refused(reducer, ride_table, change, said):
    """What is wrong is named, with a remedy."""
    (row,) = ride_table[3:4].to_pylist()
    with pytest.raises(SchemaMismatch, match=said) as caught:
        reducer.transform(change(row))
    assert caught.value.remedy
    if said == "lack":
        assert caught.value.fields["missing"] == ["fare"]
        assert caught.value.fields["nearest"] == "fares"
