"""Our scan and Great Expectations' own pandas engine say the same about the same rows."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tidemill.config import DatasetConfig
from tidemill.contracts import Split
from tidemill.engines import LocalEngine
from tidemill.errors import SuiteInvalid
from tidemill.ingestion.checks.batch_view import plain_table
from tidemill.ingestion.checks.gx_results import Answerer, results_document
from tidemill.ingestion.checks.gx_session import GxSession
from tidemill.ingestion.checks.scan_plan import compile_plan
from tidemill.ingestion.checks.suite import known_expectations, read_suite
from tidemill.ingestion.checks.suite_judges import SuiteJudges
from tidemill.ingestion.ingest import _check_keys, _findings
from tidemill.ingestion.scan import ScanJob, _Scan
from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.ingestion.sources.listing import SourceListing
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill.storage import StoreFolder

F = Purpose.FEATURE
SCHEMA = TableSchema(
    (
        Column("fare", ColumnType.NUMERIC, F, "float64"),
        Column("tip", ColumnType.NUMERIC, F, "float64"),
        Column("distance", ColumnType.NUMERIC, F, "float32"),
        Column("seats", ColumnType.NUMERIC, F, "int64"),
        Column("zone", ColumnType.CATEGORICAL, F, "dictionary"),
        Column("other_zone", ColumnType.CATEGORICAL, F, "dictionary"),
        Column("code", ColumnType.CATEGORICAL, F, "string"),
        Column("shared", ColumnType.BOOLEAN, F, "bool"),
        Column("start", ColumnType.DATETIME, Purpose.TIME, "timestamp[us]"),
        Column("end", ColumnType.DATETIME, F, "timestamp[us]"),
        Column("note", ColumnType.CATEGORICAL, F, "string"),
        Column("label", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary"),
    ),
    Task.BINARY,
)

NOTES = ('{"a": 1}', '{"a": "x"}', None, '{"b": 2}', "[1]", '{"a": 7}', "3")


def make_table(rows: int = 500) -> pa.Table:
    random = np.random.default_rng(7)

    def holes(values: np.ndarray, share: float = 0.1) -> np.ndarray:
        return random.random(len(values)) < share

    start = (np.datetime64("2024-01-01", "us") + random.integers(0, 10**13, rows)).astype(
        "datetime64[us]"
    )
    fare, tip = random.normal(20, 10, rows).round(2), random.normal(2, 3, rows).round(2)
    zones = np.array(["north", "south", "east", "a b", "x"])
    zone, other = zones[random.integers(0, 5, rows)], zones[random.integers(0, 5, rows)]
    code = np.array([f"R{n:05d}" if n % 7 else f"bad{n}" for n in range(rows)])
    code[3], code[400] = code[10], code[10]
    end = start + random.integers(-(10**8), 10**9, rows)
    columns = [
        pa.array(fare, mask=holes(fare)),
        pa.array(tip, mask=holes(tip)),
        pa.array(random.normal(5, 2, rows).round(1).astype(np.float32), mask=holes(tip)),
        pa.array(random.integers(0, 6, rows)),
        pa.array(zone, mask=holes(fare)).dictionary_encode(),
        pa.array(other, mask=holes(fare)).dictionary_encode(),
        pa.array(code, mask=holes(fare, 0.05)),
        pa.array(random.random(rows) < 0.4),
        pa.array(start),
        pa.array(end, mask=holes(fare)),
        pa.array([NOTES[row % len(NOTES)] for row in range(rows)]),
        pa.array(np.array(["no", "yes"])[random.integers(0, 2, rows)]).dictionary_encode(),
    ]
    return pa.table(columns, schema=SCHEMA.arrow_schema())


def expect(name: str, **kwargs: object) -> dict[str, object]:
    return {"type": f"expect_{name}", "kwargs": kwargs, "meta": {}, "severity": "critical"}


HAS_A = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
WHERE = {"row_condition": "fare > 15", "condition_parser": "pandas"}

ROW_WISE = [
    expect("column_values_to_not_be_null", column="fare"),
    expect("column_values_to_not_be_null", column="zone", mostly=0.8),
    expect("column_values_to_be_null", column="tip"),
    expect("column_values_to_be_between", column="fare", min_value=5, max_value=30),
    expect("column_values_to_be_between", column="fare", min_value=5, strict_min=True, mostly=0.5),
    expect("column_values_to_be_between", column="seats", max_value=4, strict_max=True),
    expect("column_values_to_be_between", column="distance", min_value=1.05, max_value=8.05),
    expect("column_values_to_be_in_set", column="zone", value_set=["north", "south"]),
    expect("column_values_to_be_in_set", column="seats", value_set=[1, 2, 3]),
    expect("column_values_to_be_in_set", column="shared", value_set=[True]),
    expect("column_values_to_not_be_in_set", column="zone", value_set=["x"]),
    expect("column_values_to_match_regex", column="code", regex=r"^R\d{5}$"),
    expect("column_values_to_match_regex", column="code", regex=r"R(?!0000)"),
    expect("column_values_to_not_match_regex", column="code", regex="bad"),
    expect("column_values_to_match_regex_list", column="code", regex_list=["^R", "7"]),
    expect(
        "column_values_to_match_regex_list", column="code", regex_list=["^b", "7"], match_on="all"
    ),
    expect("column_values_to_not_match_regex_list", column="code", regex_list=["^b", "9$"]),
    expect("column_value_lengths_to_be_between", column="zone", min_value=3, max_value=4),
    expect("column_value_lengths_to_equal", column="zone", value=5),
    expect("column_pair_values_a_to_be_greater_than_b", column_A="fare", column_B="tip"),
    expect(
        "column_pair_values_a_to_be_greater_than_b",
        column_A="end",
        column_B="start",
        or_equal=True,
        ignore_row_if="either_value_is_missing",
    ),
    expect("column_pair_values_to_be_equal", column_A="zone", column_B="other_zone"),
    expect(
        "column_pair_values_to_be_equal",
        column_A="zone",
        column_B="other_zone",
        ignore_row_if="neither",
    ),
    expect("column_values_to_be_between", column="tip", min_value=0, max_value=4, **WHERE),
    expect("column_values_to_be_in_set", column="zone", value_set=["east"], **WHERE),
    # These have no kernel: Great Expectations' own code judges each batch.
    expect("column_values_to_match_strftime_format", column="code", strftime_format="R%Y0"),
    expect("column_values_to_be_dateutil_parseable", column="code"),
    expect("multicolumn_sum_to_equal", column_list=["fare", "tip"], sum_total=20),
    expect("multicolumn_values_to_be_equal", column_list=["zone", "other_zone"]),
    expect(
        "column_pair_values_to_be_in_set",
        column_A="zone",
        column_B="other_zone",
        value_pairs_set=[["x", "x"], ["north", "south"]],
    ),
    expect("column_value_lengths_to_equal", column="seats", value=1),
    expect("column_values_to_match_regex", column="seats", regex="^[0-3]"),
    expect("column_values_to_not_match_regex", column="seats", regex="5"),
    expect("column_values_to_be_json_parseable", column="code"),
    expect("column_values_to_be_json_parseable", column="note"),
    expect("column_values_to_match_json_schema", column="note", json_schema=HAS_A),
    expect(
        "column_values_to_match_json_schema",
        column="note",
        json_schema={"type": "object"},
        mostly=0.5,
    ),
    expect("column_pair_values_to_be_equal", column_A="zone", column_B="other_zone", mostly=0.1),
    expect("select_column_values_to_be_unique_within_record", column_list=["zone", "other_zone"]),
]

AGGREGATES = [
    expect("table_row_count_to_be_between", min_value=1, max_value=400),
    expect("table_row_count_to_equal", value=500),
    expect("column_min_to_be_between", column="fare", min_value=0),
    expect("column_max_to_be_between", column="seats", max_value=5),
    expect("column_mean_to_be_between", column="fare", min_value=10, max_value=15),
    expect("column_mean_to_be_between", column="tip", min_value=0, max_value=15, **WHERE),
    expect("column_stdev_to_be_between", column="fare", min_value=1, max_value=12),
    expect("column_sum_to_be_between", column="seats", min_value=1, max_value=12),
    expect("column_median_to_be_between", column="fare", min_value=10, max_value=30),
    expect(
        "column_quantile_values_to_be_between",
        column="fare",
        quantile_ranges={"quantiles": [0.1, 0.9], "value_ranges": [[0, 10], [None, 20]]},
    ),
    expect("column_proportion_of_non_null_values_to_be_between", column="tip", min_value=0.95),
    expect("column_proportion_of_unique_values_to_be_between", column="code", min_value=0.9),
    expect("column_unique_value_count_to_be_between", column="zone", max_value=3),
    expect("column_values_to_be_unique", column="code"),
    expect("column_values_to_be_unique", column="seats", mostly=0.1),
    expect("compound_columns_to_be_unique", column_list=["zone", "seats"]),
    expect("column_distinct_values_to_be_in_set", column="zone", value_set=["north", "x"]),
    expect("column_distinct_values_to_equal_set", column="seats", value_set=[0, 1, 2, 3, 4, 5]),
    expect("column_distinct_values_to_contain_set", column="zone", value_set=["west"]),
    expect("column_most_common_value_to_be_in_set", column="zone", value_set=["north"]),
    expect(
        "column_kl_divergence_to_be_less_than",
        column="zone",
        partition_object={"values": ["north", "south"], "weights": [0.5, 0.5]},
        threshold=0.1,
        tail_weight_holdout=0.1,
    ),
]

SCHEMA_LEVEL = [
    expect("column_to_exist", column="fare"),
    expect("column_to_exist", column="fair"),
    expect("column_values_to_be_of_type", column="fare", type_="float64"),
    expect("column_values_to_be_of_type", column="zone", type_="str"),
    expect("column_values_to_be_in_type_list", column="distance", type_list=["int64"]),
    expect("table_columns_to_match_ordered_list", column_list=list(SCHEMA.names)),
    expect("table_columns_to_match_set", column_set=["fare"], exact_match=False),
    expect("table_column_count_to_equal", value=3),
    expect("table_column_count_to_be_between", min_value=3),
    expect("column_values_to_be_in_type_list", column="fare", type_list=["float32", "float64"]),
    expect("column_values_to_be_in_type_list", column="start", type_list=["datetime64[ns]"]),
    expect("column_values_to_be_in_type_list", column="shared", type_list=["bool"]),
    expect("column_values_to_be_of_type", column="seats", type_="float64"),
    expect("column_type_to_be", column="fare", type_="float64"),
    expect("column_type_to_be", column="distance", type_="float64"),
    expect("column_type_to_be", column="zone", type_="str"),
    expect("column_type_to_be", column="zone", type_="object"),
    expect("column_type_to_be", column="start", type_="datetime64"),
    expect("column_type_to_be", column="shared", type_="bool"),
    expect("table_columns_to_match_set", column_set=list(SCHEMA.names), exact_match=True),
    expect("table_columns_to_match_set", column_set=["fare", "fair"]),
]

#: Refused before any row is read, and a word of the reason.
REFUSED = {
    **dict.fromkeys(
        (
            "expect_column_bootstrapped_ks_test_p_value_to_be_greater_than",
            "expect_column_chisquare_test_p_value_to_be_greater_than",
            "expect_column_pair_cramers_phi_value_to_be_less_than",
            "expect_column_parameterized_distribution_ks_test_p_value_to_be_greater_than",
            "expect_multicolumn_values_to_be_unique",
        ),
        "no way",
    ),
    "expect_column_value_z_scores_to_be_less_than": "second pass",
    "expect_column_values_to_not_be_outliers": "second pass",
    "expect_column_values_to_be_decreasing": "order of rows",
    "expect_column_values_to_be_increasing": "order of rows",
    **dict.fromkeys(
        (
            "expect_column_values_to_match_like_pattern",
            "expect_column_values_to_match_like_pattern_list",
            "expect_column_values_to_not_match_like_pattern",
            "expect_column_values_to_not_match_like_pattern_list",
            "expect_query_results_to_match_comparison",
            "expect_table_row_count_to_equal_other_table",
            "unexpected_rows_expectation",
        ),
        "query to a database",
    ),
}


def scan(table: pa.Table, document: dict, work: Path, batch_rows: int) -> dict:
    """Validate with the scan, in several splits and batches."""
    suite = read_suite(document)
    plan = compile_plan(suite, SCHEMA)
    listing = SourceListing((), (), None)
    dataset = DatasetConfig(source="x", target="label")
    place = StoreFolder.at(work)
    job = ScanJob(listing, SCHEMA, dataset, plan, document, work, place, batch_rows, 2, 4)
    from contextlib import ExitStack

    receipts = []
    for number in range(2):
        split = Split(number, f"{number}.csv", "csv", "none", 1, f"{number:064x}")
        half = table.slice(number * 250, 250)
        with ExitStack() as stack:
            running = _Scan(job, split, f"key-{number}", stack)
            for begin in range(0, 250, batch_rows):
                part = half.slice(begin, batch_rows)
                rows = np.arange(begin, begin + part.num_rows)
                running.add(ParsedBatch(part, rows, {}, ()))
            running.end()
        receipts.append(running.receipt())
    checks = {
        str(u.index): _check_keys(job, str(u.index), receipts, LocalEngine())
        for u in plan.uniqueness
    }
    findings = _findings(plan, receipts, checks)
    by_gx = GxSession(suite, SCHEMA).validate(findings)
    answerer = Answerer(suite, plan, SCHEMA)
    for expectation in suite.expectations:
        # Whoever judges, every field of the entry is the same.
        if answerer.knows(expectation):
            entry = answerer.answer(expectation, findings)
            assert same(_in_order(entry), _in_order(by_gx[expectation.index])), entry
    known = sum(map(answerer.knows, suite.expectations))
    return {**results_document(suite, by_gx), "known": known}


def _in_order(entry: dict) -> dict:
    """Its sets of names have the order of a hash; ours that of the suite."""
    config = entry["expectation_config"]
    if "column_set" not in config["kwargs"]:
        return entry
    kwargs = {**config["kwargs"], "column_set": sorted(config["kwargs"]["column_set"])}
    return {**entry, "expectation_config": {**config, "kwargs": kwargs}}


def stock(table: pa.Table, document: dict) -> dict:
    """Validate the whole table with the engine that Great Expectations ships."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("stock").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(
        {"dataframe": plain_table(table).to_pandas(date_as_object=False)}
    )
    suite = gx.ExpectationSuite(name="stock", expectations=document["expectations"])
    by_id = {str(e.id): i for i, e in enumerate(suite.expectations)}
    results = []
    for expectation in suite.expectations:
        result = batch.validate(
            expectation, result_format={"result_format": "BASIC", "partial_unexpected_count": 20}
        )
        results.append(result.to_json_dict())
    assert len(by_id) == len(results) or by_id
    return {"results": results}


def same(ours: object, theirs: object) -> bool:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, (int, float)):
        return math.isclose(ours, theirs, rel_tol=1e-12) or (
            math.isnan(ours) and math.isnan(theirs)
        )
    return ours == theirs


@pytest.mark.parametrize("batch_rows", [37, pytest.param(250, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "expectations",
    [ROW_WISE, AGGREGATES, SCHEMA_LEVEL],
    ids=["row_wise", "aggregates", "schema_level"],
)
def test_every_result_equals_the_stock_engine(
    expectations: list, batch_rows: int, tmp_path: Path
) -> None:
    """Success and result of each expectation, met or not, equal those of the pandas engine."""
    table = make_table()
    document = {"name": "both", "expectations": expectations}
    scanned = scan(table, document, tmp_path, batch_rows)
    assert scanned["known"] >= len(expectations) // 4
    ours = scanned["results"]
    theirs = stock(table, document)["results"]
    different = [
        (
            e["type"],
            mine["success"],
            mine["result"],
            mine["exception_info"]["exception_message"],
            other["success"],
            other["result"],
        )
        for e, mine, other in zip(expectations, ours, theirs, strict=True)
        if mine["success"] != (other["success"] in (True, "True"))
        or not same(mine["result"], other["result"])
    ]
    assert not different, "\n".join(map(str, different))
    assert {r["success"] for r in ours} == {True, False}


def test_every_expectation_that_it_ships_is_answered_or_refused_by_name() -> None:
    """None is left out: each is held equal to the stock engine, or refused with its reason."""
    answered = {e["type"] for e in (*ROW_WISE, *AGGREGATES, *SCHEMA_LEVEL)}
    assert answered | set(REFUSED) == set(known_expectations())
    assert not answered & set(REFUSED)
    for name, reason in REFUSED.items():
        suite = read_suite({"name": "s", "expectations": [{"type": name, "kwargs": {}}]})
        with pytest.raises(SuiteInvalid, match=f"expectation 1 .*{name}.*{reason}"):
            compile_plan(suite, SCHEMA)


@pytest.mark.parametrize(
    ("name", "kwargs", "reason"),
    [
        ("column_values_to_match_strftime_format", {"column": "fare"}, "of type string"),
        ("column_values_to_match_json_schema", {"column": "seats"}, "must be str"),
        ("column_mean_to_be_between", {"column": "zone", "min_value": 1}, "texts"),
        ("column_median_to_be_between", {"column": "code", "min_value": 1}, "texts"),
        ("column_sum_to_be_between", {"column": "start", "min_value": 1}, "no sum"),
    ],
)
def test_what_cannot_judge_such_values_is_refused_before_the_scan(
    name: str, kwargs: dict, reason: str
) -> None:
    """A time format on numbers, or a mean of texts, is told by name, not met in mid-scan."""
    if "strftime" in name:
        kwargs = {**kwargs, "strftime_format": "%Y"}
    if "json_schema" in name:
        kwargs = {**kwargs, "json_schema": HAS_A}
    suite = read_suite({"name": "s", "expectations": [expect(name, **kwargs)]})
    with pytest.raises(SuiteInvalid, match=f"expectation 1 .*{name}.*{reason}"):
        SuiteJudges(suite, compile_plan(suite, SCHEMA), SCHEMA)


def test_a_value_that_its_code_cannot_judge_ends_the_scan_by_name(tmp_path: Path) -> None:
    """A text that is no JSON has no answer to a JSON schema, in the stock engine neither."""
    document = {
        "name": "s",
        "expectations": [
            expect("column_values_to_match_json_schema", column="code", json_schema=HAS_A)
        ],
    }
    (theirs,) = stock(make_table(), document)["results"]
    assert theirs["result"] == {}
    with pytest.raises(SuiteInvalid, match=r"expectation 1 .*json_schema\(code\).*Expecting value"):
        scan(make_table(), document, tmp_path, 250)


def test_its_own_schema_reads_the_report(tmp_path: Path) -> None:
    """``expectationSuiteValidationResultSchema`` loads what is written, and writes it again."""
    from great_expectations.core.expectation_validation_result import (
        expectationSuiteValidationResultSchema,
    )

    document = {"name": "both", "expectations": ROW_WISE[:8]}
    written = scan(make_table(), document, tmp_path, 250)
    del written["known"]
    read = expectationSuiteValidationResultSchema.load(json.loads(json.dumps(written)))
    assert [r.success for r in read.results] == [r["success"] for r in written["results"]]
    assert read.to_json_dict()["statistics"] == written["statistics"]


def test_bounds_of_times_are_judged_where_the_stock_engine_cannot(tmp_path: Path) -> None:
    """Bounds of times given as text count the rows that lie outside."""
    table = make_table()
    bound = "2024-02-15T00:00:00"
    document = {
        "name": "times",
        "expectations": [expect("column_values_to_be_between", column="start", min_value=bound)],
    }
    result = scan(table, document, tmp_path, 100)["results"][0]["result"]
    outside = [t for t in table["start"].to_pylist() if t.isoformat() < bound]
    assert result["unexpected_count"] == len(outside) > 0
    assert result["partial_unexpected_list"] == [t.isoformat() for t in outside[:20]]
