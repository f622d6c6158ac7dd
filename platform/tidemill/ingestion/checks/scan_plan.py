"""What a suite asks of a scan: kernels for rows, figures for tables; picklable, without GX.

Every expectation is one of

- *row-wise with a kernel* (:mod:`tidemill.ingestion.checks.row_checks`),
- *row-wise without*: Great Expectations' own code judges each batch (slower, and each worker
  imports it),
- *about a column or the table*: answered from figures that the scan merges,
- *about uniqueness*: answered from bucket files of key hashes,
- *about the schema*: Great Expectations answers from column names and types,
- *impossible in one bounded scan*: refused by name before any row is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from tidemill.errors import SuiteInvalid
from tidemill.ingestion.checks import row_checks
from tidemill.ingestion.checks.row_conditions import condition_query
from tidemill.ingestion.checks.suite import Expectation, Suite
from tidemill.schema import TableSchema

__all__ = ["Question", "Rule", "ScanPlan", "Uniqueness", "compile_plan"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A row-wise expectation.

    Parameters
    ----------
    index : int
        Of the expectation in the suite.
    kernel : RowCheck or None
        None: Great Expectations' own code is asked.
    expectation : Expectation
    condition : str or None
        A pandas query; only rows that meet it are judged.
    decides : bool
        Whether an unexpected row goes to quarantine.
    reason : str
    """

    index: int
    kernel: row_checks.RowCheck | None
    expectation: Expectation
    condition: str | None
    decides: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Question:
    """An expectation about a column (or, without one, the table) as a whole.

    ``needs`` is any of moments, counts, sample.
    """

    index: int
    column: str | None
    condition: str | None
    needs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Uniqueness:
    """An expectation that needs to know which values occur more than once."""

    index: int
    columns: tuple[str, ...]
    condition: str | None
    ignore: str


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """What the scan must find out for a suite."""

    rules: tuple[Rule, ...]
    questions: tuple[Question, ...]
    uniqueness: tuple[Uniqueness, ...]

    @property
    def foreign(self) -> bool:
        """Whether workers need Great Expectations itself."""
        return any(rule.kernel is None for rule in self.rules)


def compile_plan(
    suite: Suite, schema: TableSchema, left_out: Mapping[str, str] = MappingProxyType({})
) -> ScanPlan:
    """Decide how each expectation of ``suite`` is answered.

    ``left_out`` has columns of the data that the schema lacks, and what to set to have each.

    Raises
    ------
    SuiteInvalid
        If an expectation cannot be answered in a bounded scan, or its arguments are wrong.
    ColumnMissing
        If a row-wise or column expectation names a column that the schema lacks.
    """
    rules: list[Rule] = []
    questions: list[Question] = []
    uniqueness: list[Uniqueness] = []
    for expectation in suite.expectations:
        if expectation.type in _SCHEMA:
            continue
        suite.require_columns(expectation, schema, left_out)
        condition = condition_query(expectation)
        if expectation.type in _UNIQUE:
            ignore = expectation.kwargs.get("ignore_row_if", "all_values_are_missing")
            uniqueness.append(
                Uniqueness(expectation.index, expectation.columns, condition, str(ignore))
            )
        if expectation.type in _QUESTIONS:
            column = next(iter(expectation.columns), None)
            needs = _QUESTIONS[expectation.type]
            _check_figures(expectation, schema, needs)
            questions.append(Question(expectation.index, column, condition, needs))
        elif expectation.type in _KERNELS or expectation.type in _FOREIGN:
            rules.append(_rule(expectation, schema, condition))
        elif expectation.type not in _UNIQUE:
            raise _refused(expectation)
    return ScanPlan(tuple(rules), tuple(questions), tuple(uniqueness))


def _rule(expectation: Expectation, schema: TableSchema, condition: str | None) -> Rule:
    build = _KERNELS.get(expectation.type)
    try:
        kernel = build(expectation, schema) if build is not None else None
    except (KeyError, TypeError, ValueError, re.error) as exc:
        raise SuiteInvalid(
            f"expectation {expectation.index + 1} ({expectation}) has unusable arguments: {exc!r}",
            remedy="correct its kwargs in the suite",
            expectation=expectation.type,
            index=expectation.index,
        ) from exc
    said = kernel.reason if kernel is not None else str(expectation)
    reason = said if condition is None else f"{said} (where {condition})"
    return Rule(
        expectation.index, kernel, expectation, condition, not expectation.reports_only, reason
    )


def _check_figures(expectation: Expectation, schema: TableSchema, needs: frozenset[str]) -> None:
    """Refuse figures that the values of the column do not have."""
    if not needs & {"moments", "sample"}:
        return
    kind = _kind(schema, expectation.kwargs["column"])
    if kind == "text":
        raise _refused(expectation, "of texts it keeps neither sums nor an order")
    if kind == "time" and expectation.type in _OF_NUMBERS:
        raise _refused(expectation, "times have no sum")


def _refused(
    expectation: Expectation, why: str = "tidemill has no way to answer it"
) -> SuiteInvalid:
    why = _IMPOSSIBLE.get(expectation.type, why)
    return SuiteInvalid(
        f"expectation {expectation.index + 1} ({expectation}) cannot be answered in one bounded "
        f"scan: {why}",
        remedy="take it out of the suite, or say the same row by row",
        expectation=expectation.type,
        index=expectation.index,
    )


Build = Callable[[Expectation, TableSchema], "row_checks.RowCheck | None"]


def _kind(schema: TableSchema, column: str) -> str:
    kind = schema[column].arrow_type
    if pa.types.is_timestamp(kind):
        return "time"
    if pa.types.is_boolean(kind):
        return "bool"
    return "number" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else "text"


def _between(expectation: Expectation, schema: TableSchema) -> row_checks.RowCheck | None:
    column = expectation.kwargs["column"]
    low, high = expectation.kwargs.get("min_value"), expectation.kwargs.get("max_value")
    if low is None and high is None:
        raise ValueError("min_value and max_value are both missing")
    strict_low = bool(expectation.kwargs.get("strict_min"))
    strict_high = bool(expectation.kwargs.get("strict_max"))
    kind = _kind(schema, column)
    if kind == "time":
        first, last = _microseconds(low), _microseconds(high)
        shown = " and ".join(
            f"{word} {bound}"
            for word, bound in (("at or after", low), ("at or before", high))
            if bound is not None
        )
        return _ordered(row_checks.Between(column, first, last, strict_low, strict_high, shown))
    if kind == "number":
        return _ordered(
            row_checks.Between(column, _number(low), _number(high), strict_low, strict_high)
        )
    if kind == "text" and any(isinstance(bound, (int, float)) for bound in (low, high)):
        raise SuiteInvalid(
            f"expectation {expectation.index + 1} ({expectation}) wants numbers, and the values "
            f"of {column} were found to be {schema[column].type.value}",
            remedy=f"say in params.yaml what they are, dataset.types: {{{column}: numeric}}, so "
            "that other texts are quarantined; or draft the suite again: tidemill suite draft "
            "--force",
            expectation=expectation.type,
            index=expectation.index,
            column=column,
        )
    return None


def _ordered(kernel: row_checks.Between) -> row_checks.Between:
    if kernel.low is not None and kernel.high is not None and kernel.low > kernel.high:
        raise ValueError("min_value is greater than max_value")
    return kernel


def _number(bound: Any) -> float | int | None:
    if bound is None or (isinstance(bound, (int, float)) and not isinstance(bound, bool)):
        return bound
    raise ValueError(f"{bound!r} is no bound for a number")


def _microseconds(bound: Any) -> int | None:
    if bound is None:
        return None
    if not isinstance(bound, str):
        raise ValueError(f"{bound!r} is no time (write ISO 8601 text)")
    moment = datetime.fromisoformat(bound)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _in_set(negate: bool) -> Build:
    def build(expectation: Expectation, schema: TableSchema) -> row_checks.RowCheck | None:
        column, values = expectation.kwargs["column"], expectation.kwargs["value_set"]
        kind = _kind(schema, column)
        if values is None or kind == "time":
            return None
        return row_checks.InSet(column, tuple(values), kind == "text", negate)

    return build


def _lengths(expectation: Expectation, schema: TableSchema) -> row_checks.RowCheck | None:
    given = expectation.kwargs
    if _kind(schema, given["column"]) != "text":
        return None
    if "value" in given:
        return row_checks.Lengths(given["column"], _number(given["value"]), _number(given["value"]))
    low, high = _number(given.get("min_value")), _number(given.get("max_value"))
    if low is None and high is None:
        raise ValueError("min_value and max_value are both missing")
    strict_low, strict_high = bool(given.get("strict_min")), bool(given.get("strict_max"))
    return row_checks.Lengths(given["column"], low, high, strict_low, strict_high)


def _matches(negate: bool) -> Build:
    def build(expectation: Expectation, schema: TableSchema) -> row_checks.RowCheck | None:
        given = expectation.kwargs
        if _kind(schema, given["column"]) != "text":
            return None
        patterns = tuple(given["regex_list"] if "regex_list" in given else [given["regex"]])
        for pattern in patterns:
            re.compile(pattern)
        every = not negate and given.get("match_on") == "all"
        return row_checks.Matches(given["column"], patterns, every, negate)

    return build


def _pair(expectation: Expectation, schema: TableSchema) -> row_checks.RowCheck | None:
    given = expectation.kwargs
    a, b = given["column_A"], given["column_B"]
    ignore = str(given.get("ignore_row_if", "both_values_are_missing"))
    kinds = {_kind(schema, a), _kind(schema, b)}
    if len(kinds) > 1 or ignore not in _PAIR_IGNORE:
        return None
    textual = kinds == {"text"}
    if expectation.type == "expect_column_pair_values_to_be_equal":
        return row_checks.Equal(a, b, textual, ignore)
    return None if textual else row_checks.Greater(a, b, bool(given.get("or_equal")), ignore)


_PAIR_IGNORE = ("both_values_are_missing", "either_value_is_missing", "neither")

_KERNELS: dict[str, Build] = {
    "expect_column_values_to_not_be_null": lambda e, _: row_checks.Present(e.kwargs["column"]),
    "expect_column_values_to_be_null": lambda e, _: row_checks.Missing(e.kwargs["column"]),
    "expect_column_values_to_be_between": _between,
    "expect_column_values_to_be_in_set": _in_set(negate=False),
    "expect_column_values_to_not_be_in_set": _in_set(negate=True),
    "expect_column_value_lengths_to_be_between": _lengths,
    "expect_column_value_lengths_to_equal": _lengths,
    "expect_column_values_to_match_regex": _matches(negate=False),
    "expect_column_values_to_match_regex_list": _matches(negate=False),
    "expect_column_values_to_not_match_regex": _matches(negate=True),
    "expect_column_values_to_not_match_regex_list": _matches(negate=True),
    "expect_column_pair_values_a_to_be_greater_than_b": _pair,
    "expect_column_pair_values_to_be_equal": _pair,
}

_FOREIGN = frozenset(
    {
        "expect_column_pair_values_to_be_in_set",
        "expect_column_values_to_be_dateutil_parseable",
        "expect_column_values_to_be_json_parseable",
        "expect_column_values_to_match_json_schema",
        "expect_column_values_to_match_strftime_format",
        "expect_multicolumn_sum_to_equal",
        "expect_multicolumn_values_to_be_equal",
        "expect_select_column_values_to_be_unique_within_record",
    }
)

_MOMENTS, _COUNTS, _SAMPLE = frozenset({"moments"}), frozenset({"counts"}), frozenset({"sample"})

_QUESTIONS: dict[str, frozenset[str]] = {
    "expect_column_distinct_values_to_be_in_set": _COUNTS,
    "expect_column_distinct_values_to_contain_set": _COUNTS,
    "expect_column_distinct_values_to_equal_set": _COUNTS,
    "expect_column_kl_divergence_to_be_less_than": _COUNTS,
    "expect_column_max_to_be_between": _MOMENTS,
    "expect_column_mean_to_be_between": _MOMENTS,
    "expect_column_median_to_be_between": _SAMPLE,
    "expect_column_min_to_be_between": _MOMENTS,
    "expect_column_most_common_value_to_be_in_set": _COUNTS,
    "expect_column_proportion_of_non_null_values_to_be_between": frozenset(),
    "expect_column_proportion_of_unique_values_to_be_between": frozenset(),
    "expect_column_quantile_values_to_be_between": _SAMPLE,
    "expect_column_stdev_to_be_between": _MOMENTS,
    "expect_column_sum_to_be_between": _MOMENTS,
    "expect_column_unique_value_count_to_be_between": frozenset(),
    "expect_column_values_to_be_unique": frozenset(),
    "expect_compound_columns_to_be_unique": frozenset(),
    "expect_table_row_count_to_be_between": frozenset(),
    "expect_table_row_count_to_equal": frozenset(),
}

_OF_NUMBERS = ("expect_column_stdev_to_be_between", "expect_column_sum_to_be_between")

_UNIQUE = frozenset(
    {
        "expect_column_proportion_of_unique_values_to_be_between",
        "expect_column_unique_value_count_to_be_between",
        "expect_column_values_to_be_unique",
        "expect_compound_columns_to_be_unique",
    }
)

_SCHEMA = frozenset(
    {
        "expect_column_to_exist",
        "expect_column_type_to_be",
        "expect_column_values_to_be_in_type_list",
        "expect_column_values_to_be_of_type",
        "expect_table_column_count_to_be_between",
        "expect_table_column_count_to_equal",
        "expect_table_columns_to_match_ordered_list",
        "expect_table_columns_to_match_set",
    }
)

_ORDER = "it depends on the order of rows across files"
_SECOND = "it needs a second pass over the rows"
_SQL = "it is a query to a database"

_IMPOSSIBLE = {
    "expect_column_value_z_scores_to_be_less_than": _SECOND,
    "expect_column_values_to_be_decreasing": _ORDER,
    "expect_column_values_to_be_increasing": _ORDER,
    "expect_column_values_to_match_like_pattern": _SQL,
    "expect_column_values_to_match_like_pattern_list": _SQL,
    "expect_column_values_to_not_be_outliers": _SECOND,
    "expect_column_values_to_not_match_like_pattern": _SQL,
    "expect_column_values_to_not_match_like_pattern_list": _SQL,
    "expect_query_results_to_match_comparison": _SQL,
    "unexpected_rows_expectation": _SQL,
    "expect_table_row_count_to_equal_other_table": _SQL,
}
