"""Kernels, figures and the plan, without Great Expectations."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from tidemill.errors import ColumnMissing, SuiteInvalid
from tidemill.ingestion.checks.batch_view import BatchView
from tidemill.ingestion.checks.column_figures import ColumnFigures, keepers
from tidemill.ingestion.checks.row_checks import Between, InSet, Matches
from tidemill.ingestion.checks.row_tally import Example, RowTally
from tidemill.ingestion.checks.scan_plan import Question, compile_plan
from tidemill.ingestion.checks.suite import load_suite, read_suite
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task

SCHEMA = TableSchema(
    (
        Column("fare", ColumnType.NUMERIC, Purpose.FEATURE, "float32"),
        Column("late", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary"),
    ),
    Task.BINARY,
)


def unexpected(kernel: object, **columns: pa.Array) -> list[bool]:
    return kernel.judge(BatchView(pa.table(columns)))[1].tolist()


def test_bounds_are_compared_in_the_columns_own_type() -> None:
    """0.1 is within max_value 0.1 for float32, and beyond its range everything is."""
    values = pa.array([0.1, 0.2, None], pa.float32())
    assert unexpected(Between("a", None, 0.1), a=values) == [False, True, False]
    assert unexpected(Between("a", None, 1e300), a=values) == [False] * 3


def test_strict_bounds_leave_the_bound_out() -> None:
    """strict_min and strict_max exclude the bound itself."""
    values = pa.array([1, 2, 3])
    assert unexpected(Between("a", 1, 3, True, True), a=values) == [True, False, True]


def test_large_integers_are_not_rounded() -> None:
    """2**53 + 1 is not taken for 2**53, also where the column has nulls."""
    values = pa.array([2**53, 2**53 + 1, None])
    assert unexpected(Between("a", None, 2**53), a=values) == [False, True, False]


def test_nan_counts_as_missing() -> None:
    """NaN is no value: neither in nor out of a range."""
    values = pa.array([np.nan, -1.0, 1.0])
    considered, bad = Between("a", 0, None).judge(BatchView(pa.table({"a": values})))
    assert considered.tolist() == [False, True, True]
    assert bad.tolist() == [False, True, False]


def test_texts_are_judged_across_chunks_with_different_dictionaries() -> None:
    """Dictionary codes of two chunks are not mixed up."""
    chunks = [pa.array(c).dictionary_encode() for c in (["x", None], ["y", "x"])]
    kernel = InSet("a", ("x",), True)
    assert unexpected(kernel, a=pa.chunked_array(chunks)) == [False, False, True, False]


def test_patterns_are_searched_with_look_around() -> None:
    """Python's regular expressions, anywhere in the text."""
    kernel = Matches("a", (r"(?<=R)\d+",))
    assert unexpected(kernel, a=pa.array(["xR12", "12", None])) == [False, True, False]


def test_tallies_keep_the_first_examples_whatever_the_order() -> None:
    """Merging is commutative, and keeps the twenty smallest positions."""
    parts = [RowTally(10, 1, 9, 1, (Example(n % 3, n, n),)) for n in range(30)]
    forth = back = RowTally()
    for part in parts:
        forth = forth.merge(part)
    for part in reversed(parts):
        back = back.merge(part)
    assert forth == back
    assert len(forth.examples) == 20
    assert [e.place for e in forth.examples] == sorted(e.place for e in forth.examples)


def figures(values: np.ndarray, cuts: list[int], etag: str = "7" * 64) -> ColumnFigures:
    question = Question(0, "a", None, frozenset({"moments", "sample", "counts"}))
    (keeper,) = keepers((question,), etag)
    for begin, end in zip([0, *cuts], [*cuts, len(values)], strict=True):
        view = BatchView(pa.table({"a": values[begin:end]}))
        keeper.add(view, np.arange(begin, end), None)
    return keeper.close()


def test_figures_do_not_depend_on_batches_to_the_last_bit() -> None:
    """Mean, variance and sample are the same however the rows of a split are cut."""
    values = np.random.default_rng(0).normal(1e6, 3, 150_000).round(1)
    whole, cut = figures(values, []), figures(values, [1, 70_000, 140_001])
    assert whole.to_json() == cut.to_json()
    assert whole.mean == pytest.approx(values.mean(), rel=1e-12)
    assert whole.std == pytest.approx(values.std(ddof=1), rel=1e-9)
    assert len(whole.values) == 20_000
    assert ColumnFigures.from_json(whole.to_json()).to_json() == whole.to_json()


def test_a_sample_is_of_what_names_the_split() -> None:
    """Whatever text a source gives for that: of another one it has other rows."""
    values = np.arange(30_000.0)
    samples = [figures(values, [], etag).values for etag in ('W/"x-3"', 'W/"x-3"', 'W/"x-4"', "")]
    assert (samples[0] == samples[1]).all()
    assert not (samples[0] == samples[2]).all()
    assert len(samples[3]) == 20_000


def test_counts_of_too_many_values_are_given_up() -> None:
    """Beyond the limit there are no counts, rather than wrong ones."""
    assert figures(np.arange(10_001.0), [5_000]).counts is None
    assert len(figures(np.arange(10_000.0), [5_000]).counts) == 10_000


def test_an_expectation_about_an_unknown_column_names_the_nearest() -> None:
    """The plan refuses columns that the table lacks."""
    suite = read_suite(
        {
            "expectations": [
                {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "fair"}}
            ]
        }
    )
    with pytest.raises(ColumnMissing) as caught:
        compile_plan(suite, SCHEMA)
    assert caught.value.fields["nearest"] == "fare"
    with pytest.raises(ColumnMissing, match="the data have and look left out") as dropped:
        compile_plan(suite, SCHEMA, {"fair": "take it out of dataset.drop"})
    assert dropped.value.remedy.startswith("take it out of dataset.drop; or take out ")


def mended(document: dict, remedy: str) -> dict:
    """The suite after what a remedy says to take out of it."""
    told = remedy.partition("; or have it drafted")[0]
    whole, _, parts = told.partition("their names in the lists of ")
    gone, listed = (set(map(int, re.findall(r"\d+", text))) for text in (whole, parts))
    kept = []
    for number, each in enumerate(document["expectations"], start=1):
        kwargs = dict(each["kwargs"])
        if number in listed:
            kwargs["column_set"] = [name for name in kwargs["column_set"] if name in SCHEMA]
        if number not in gone:
            kept.append({**each, "kwargs": kwargs})
    return {**document, "expectations": kept}


def test_what_a_lost_column_is_named_by_can_be_taken_out() -> None:
    """The remedy tells all of it at once, also what Great Expectations answers from the names."""
    given = {
        "expect_table_columns_to_match_set": {"column_set": ["late", "fare", "tolls", "tip"]},
        "expect_column_values_to_be_of_type": {"column": "tolls", "type_": "float32"},
        "expect_column_values_to_be_between": {"column": "fare", "min_value": 0},
        "expect_column_values_to_not_be_null": {"column": "tolls"},
        "expect_column_values_to_be_in_set": {"column": "tip", "value_set": [1]},
    }
    document = {"expectations": [{"type": kind, "kwargs": k} for kind, k in given.items()]}
    with pytest.raises(ColumnMissing, match="'tolls', which the data do not have") as caught:
        compile_plan(read_suite(document), SCHEMA)
    assert "suite draft --force" in caught.value.remedy
    rest = mended(document, caught.value.remedy)
    assert compile_plan(read_suite(rest), SCHEMA).rules
    assert [each["kwargs"] for each in rest["expectations"]] == [
        {"column_set": ["late", "fare"]},
        {"column": "fare", "min_value": 0},
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"expectations": []}', '{"expectations": [1]}'])
def test_a_file_that_is_no_suite_is_refused(text: str, tmp_path) -> None:
    """No JSON, no list, no expectation: SuiteInvalid with a remedy."""
    path = tmp_path / "suite.json"
    path.write_text(text)
    with pytest.raises(SuiteInvalid) as caught:
        load_suite(path)
    assert "tidemill suite draft" in caught.value.remedy
    assert caught.value.exit_code == 2


def test_a_folder_is_no_suite(tmp_path) -> None:
    """It is the setting that is wrong, not the disk."""
    (tmp_path / "suite.json").write_text("{}")
    with pytest.raises(SuiteInvalid, match="Is a directory"):
        load_suite(tmp_path)


def test_workers_do_not_import_great_expectations() -> None:
    """Judging with kernels leaves Great Expectations' memory and seconds to the parent."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    code = "import sys, tidemill.ingestion.scan; print('great_expectations' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "False"
