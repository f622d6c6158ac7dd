"""Cells of a frame are read as those of the table that was learnt from, or refused by place."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tidemill.casting import cast_column
from tidemill.config import ReductionConfig
from tidemill.engines import LocalEngine
from tidemill.errors import SchemaMismatch
from tidemill.features import fit_reducer
from tidemill.features.columns import Reading
from tidemill.features.described import check_reducer
from tidemill.features.saving import load_reducer, save_reducer
from tidemill.numbers import EXACT
from tidemill.schema import SourceColumn

SOURCE = (
    SourceColumn("whole", "integer", style="shortest"),
    SourceColumn("price", "number", convention="1.234,5"),
    SourceColumn("flag", "boolean", words=("no", "yes")),
    SourceColumn("day", "datetime"),
    SourceColumn("code", "text"),
)
MISSING = ("", "NA")


@pytest.fixture(scope="module")
def reducer(make_shards):
    """Of whole numbers, prices as 1.234,5, truths, days and codes."""
    rows = 12
    table = pa.table(
        {
            "whole": pa.array(np.arange(rows), pa.float32()),
            "price": pa.array(np.arange(rows) * 1.5, pa.float64()),
            "flag": pa.array([n % 2 == 0 for n in range(rows)]),
            "day": pa.array(np.arange(rows) * 86_400_000_000).cast(pa.timestamp("us")),
            "code": pa.array(["01", "1", "NB"] * 4).dictionary_encode(),
            "y": np.arange(float(rows)),
        }
    )
    manifest, folder = make_shards([table])
    schema = replace(manifest.schema, source=SOURCE, missing_values=MISSING)
    config = ReductionConfig(impute="none", indicator=True, max_correlation=1.0)
    fitted, _ = fit_reducer(replace(manifest, schema=schema), folder, config, engine=LocalEngine())
    return fitted, schema


def matrix(fitted, column, cells):
    """What the reducer makes of a frame with these cells in one column."""
    frame = {
        "whole": 3.0,
        "price": 1.5,
        "flag": True,
        "day": pd.Timestamp("1970-01-02"),
        "code": "1",
    }
    many = {name: [value] * len(cells) for name, value in frame.items() if name != column}
    return fitted.transform(pd.DataFrame({**many, column: cells}))


SAME = {
    "whole": [
        ["3", " 3 ", "3.0", "NA", ""],
        pd.array([3, None], "Int64"),
        [Decimal(3), None],
        ["3.10", "2.5"],
        [True, False],
        [0.1, 1e39, np.inf, 1 / 3],
        pd.Categorical([3, 4]),
        pd.to_timedelta([3, 4], unit="s"),
        pd.to_datetime(["1970-01-01 00:00:03"]),
    ],
    "price": [["1.234,5", "-7,25"], [1.5, np.nan], [2**53 + 1, 5]],
    "flag": [
        ["yes", "N", "tRuE", " false", "NA", "1", "0", "1.0", "0."],
        [1, 0],
        [1.0, np.nan],
        pd.array([True, None], "boolean"),
        pd.Categorical(["no", "yes"]),
    ],
    "day": [
        ["1970-01-02", "1970-01-02T01:00:00.25+02:00", "NA", None],
        pd.to_datetime(["1970-01-03 02:00"]).tz_localize("Asia/Tokyo"),
        [dt.date(1970, 1, 4), None],
        [dt.datetime(9999, 12, 31, tzinfo=dt.UTC), dt.datetime(1, 1, 1, tzinfo=dt.UTC)],
        ["9999-12-31", "1970-01-02 10:00:00,5"],
    ],
    "code": [
        ["01", "1", "NA", " NA ", "", "never", None],
        [1, 2],
        [1.0, np.nan],
        pd.array([1, None], "Int64"),
        pd.array(np.array([1.0, 0.1], np.float32)),
        [Decimal("1.0"), Decimal("2.50")],
        [b"01", b"1"],
    ],
}


@pytest.mark.parametrize(("column", "cells"), [(n, c) for n, many in SAME.items() for c in many])
def test_a_frame_is_read_as_a_file_of_it(reducer, column, cells):
    """Whatever pandas holds the cells in: what the one reader of files makes of them."""
    fitted, schema = reducer
    column_of = schema[column]
    arrow = pa.array(pd.Series(cells), from_pandas=True)
    source = next(s for s in SOURCE if s.name == column)
    source = replace(source, style=EXACT if source.style else "")
    typed = cast_column(arrow, column_of.arrow_type, MISSING, source)
    expected = matrix(fitted, column, typed.values.to_pandas())
    np.testing.assert_array_equal(matrix(fitted, column, cells), expected)
    table = pa.table({**{n: [None] * len(cells) for n in schema.names}, column: typed.values})
    mine = [i for i, name in enumerate(fitted.encoded) if name.split(".")[0] == column]
    np.testing.assert_array_equal(fitted.transform(table)[:, mine], expected[:, mine])


REFUSED = [
    *(("whole", cell) for cell in ("1_0", "1e5", "+7", "007", "inf", "nan", "0x10", "1,5", 1j)),
    *(("whole", cell) for cell in (2**53 + 1, 10**30, [2])),
    ("price", "1234.5"),
    *(("flag", cell) for cell in (2, -1, 0.5, "2", ".5", "01", "on", np.inf, Decimal(2))),
    ("flag", pd.Timestamp("2024-01-01")),
    *(("day", cell) for cell in (1_700_000_000, 0.5, True, "now", "2024", "2024-03", "20240305")),
    *(("day", cell) for cell in ("NaT", "2024-W05-1", "2024-02-30")),
]


@pytest.mark.parametrize(("column", "cell"), REFUSED)
@pytest.mark.parametrize("alone", [True, False])
def test_what_a_file_would_not_give_is_refused(reducer, column, cell, alone):
    """Texts, numbers and times that are none of the column's, by column and row."""
    sound = {"whole": "3", "price": "1,5", "flag": "yes", "day": "1970-01-02"}[column]
    cells = pd.Series([cell] if alone else [sound, cell, sound], dtype=None if alone else object)
    with pytest.raises(SchemaMismatch) as caught:
        matrix(reducer[0], column, cells)
    assert caught.value.fields["column"] == column
    assert caught.value.fields["row"] == (0 if alone else 1)
    assert caught.value.remedy


@pytest.mark.parametrize("time", [dt.date(1970, 1, 2), dt.datetime(1970, 1, 2, tzinfo=dt.UTC)])
def test_a_number_behind_a_time_is_none(reducer, time):
    """Arrow would make microseconds since 1970 of it, or days."""
    with pytest.raises(SchemaMismatch) as caught:
        matrix(reducer[0], "day", [time, 5])
    assert caught.value.fields["row"] == 1


@pytest.mark.parametrize("number", [1.234, np.float64(1.234), Decimal("1.234"), 1234, 1234.5, 5])
@pytest.mark.parametrize("kind", [object, "category"])
def test_only_texts_keep_a_convention(reducer, number, kind):
    """A number among texts is itself, as in JSON lines: 1.234 beside 2.500,25 is no 1234."""
    cells = pd.Series(["2.500,25", number, None, "1.234"], dtype=kind)
    values = matrix(reducer[0], "price", cells)
    expected = matrix(reducer[0], "price", [2500.25, float(number), np.nan, 1234.0])
    np.testing.assert_array_equal(values, expected)


def test_a_truth_among_texts_of_a_convention_is_refused_by_its_row(reducer):
    """Of the faults of both kinds the first is told."""
    with pytest.raises(SchemaMismatch, match=r"row 1 .* True"):
        matrix(reducer[0], "price", ["1,5", True, "much"])


def test_only_texts_keep_a_convention_of_days(reducer):
    """The 2nd of January is not read as the 1st of February where texts begin with days."""
    feature = next(f for f in reducer[0].features if f["name"] == "day")
    reading = Reading.of({**feature, "source": {"type": "datetime", "convention": "%Y-%d-%m"}})
    found = reading.typed(pd.Series([dt.date(1970, 1, 2), "1970-01-02"], dtype=object))
    assert [str(time) for time in found] == ["1970-01-02 00:00:00", "1970-02-01 00:00:00"]


def test_bytes_among_texts_are_texts(reducer):
    """As a column of nothing but bytes is."""
    values = matrix(reducer[0], "code", [b"01", "01", b"1"])
    np.testing.assert_array_equal(values, matrix(reducer[0], "code", ["01", "01", "1"]))


def test_columns_of_one_name_are_refused(reducer):
    """Which of them is meant nobody knows."""
    frame = pd.DataFrame([[1, 2]], columns=["whole", "whole"])
    row = pd.DataFrame({"price": [1.5], "flag": [True], "day": [None], "code": ["1"]})
    with pytest.raises(SchemaMismatch, match="several columns of one name: whole"):
        reducer[0].transform(pd.concat([frame, row], axis=1))


def test_how_cells_are_read_is_stored_and_checked(reducer, tmp_path):
    """A stored reducer reads the same; ways that are none are refused before anything is read."""
    fitted, _ = reducer
    save_reducer(fitted, tmp_path)
    again = load_reducer(tmp_path)
    assert (again.features, again.missing_values) == (fitted.features, list(MISSING))
    assert check_reducer(again) == len(fitted.encoded)
    for key, wrong in (
        ("source", {"style": "decimals x"}),
        ("source", {"convention": "comma"}),
        ("source", {"name": "other"}),
        ("narrow", 2),
    ):
        broken = load_reducer(tmp_path)
        broken.features[0][key] = wrong
        with pytest.raises(ValueError, match="read in no known way"):
            check_reducer(broken)
