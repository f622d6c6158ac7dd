"""Results in Great Expectations' own form, of expectations whose answer the scan holds in full.

Importing it costs seconds, and each expectation some milliseconds; what most suites ask is a
count and a share. Whatever is not understood to the last argument is left to it. A test holds
each answer equal to its own, field by field.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from tidemill.ingestion.checks.column_figures import ColumnFigures
from tidemill.ingestion.checks.gx_metrics import ScanFindings
from tidemill.ingestion.checks.row_tally import RowTally
from tidemill.ingestion.checks.scan_plan import ScanPlan
from tidemill.ingestion.checks.suite import Expectation, Suite
from tidemill.schema import TableSchema

__all__ = ["NO_EXCEPTION", "Answerer", "results_document"]

_KEYS = {"type", "kwargs", "meta", "severity", "id"}

#: Success, and the result in BASIC format.
Answer = tuple[bool, dict[str, Any]]

#: What stands where nothing was raised.
NO_EXCEPTION = {
    "raised_exception": False,
    "exception_message": None,
    "exception_traceback": None,
}


def results_document(suite: Suite, entries: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    """The result of a validation as Great Expectations' own schema reads it.

    Parameters
    ----------
    suite : Suite
    entries : mapping of int to dict
        By index of the expectation, one for each.
    """
    results = [entries[expectation.index] for expectation in suite.expectations]
    met = sum(entry["success"] for entry in results)
    return {
        "success": met == len(results),
        "suite_name": suite.name,
        "statistics": {
            "evaluated_expectations": len(results),
            "successful_expectations": met,
            "unsuccessful_expectations": len(results) - met,
            "success_percent": 100.0 * met / len(results),
        },
        "results": results,
        "meta": {"great_expectations_version": version("great-expectations")},
    }


class Answerer:
    """Knows which expectations of a suite it can answer, before any row is read.

    Parameters
    ----------
    suite : Suite
    plan : ScanPlan
    schema : TableSchema
    """

    def __init__(self, suite: Suite, plan: ScanPlan, schema: TableSchema) -> None:
        self._entries = suite.document["expectations"]
        self._schema = schema
        self._kernels = {rule.index for rule in plan.rules if rule.kernel is not None}

    def knows(self, expectation: Expectation) -> bool:
        """Whether :meth:`answer` says what Great Expectations would."""
        allowed = _ARGUMENTS.get(expectation.type)
        if allowed is None or not self._entries[expectation.index].keys() <= _KEYS:
            return False
        if not _plain_arguments(expectation, allowed):
            return False
        if expectation.type in _BY_ROW:
            return expectation.index in self._kernels
        if expectation.type in _MOMENTS:
            column = self._schema[expectation.kwargs["column"]]
            return column.physical in ("float32", "float64", "int64")
        if expectation.type in _TYPES:
            return self._knows_type(expectation)
        return True

    def answer(self, expectation: Expectation, findings: ScanFindings) -> dict[str, Any]:
        """The entry in the results of an expectation that it knows."""
        success, result = self._answer(expectation, findings)
        return {
            "success": success,
            "result": result,
            "expectation_config": {
                "type": expectation.type,
                "kwargs": {k: v for k, v in expectation.kwargs.items() if not _is_default(k, v)},
                "meta": expectation.meta,
                "severity": expectation.severity,
            },
            "meta": {},
            "exception_info": dict(NO_EXCEPTION),
        }

    def _answer(self, expectation: Expectation, findings: ScanFindings) -> Answer:
        kind, index = expectation.type, expectation.index
        if kind in _BY_ROW:
            mostly = float(expectation.kwargs.get("mostly", 1))
            return _BY_ROW[kind](findings.tallies.get(index, RowTally()), mostly)
        if kind in _MOMENTS:
            value = _MOMENTS[kind](findings.figures[index])
            return _between(None if math.isnan(value) else value, expectation.kwargs)
        if kind in _TYPES:
            return self._type(expectation)
        if kind == "expect_table_columns_to_match_set":
            return self._columns(expectation)
        if kind == "expect_table_row_count_to_equal":
            equal = findings.rows == expectation.kwargs["value"]
            return equal, {"observed_value": findings.rows}
        return _between(findings.rows, expectation.kwargs)

    def _knows_type(self, expectation: Expectation) -> bool:
        column = str(expectation.kwargs.get("column"))
        if column not in self._schema:
            return False
        named = expectation.kwargs.get("type_list", [expectation.kwargs.get("type_")])
        if any(name not in _FAMILIES for name in named):
            return False
        # Of texts it asks in several ways, and not the same ones in both expectations.
        in_list = "type_list" in expectation.kwargs
        return not (in_list and (_pandas_type(self._schema, column) == "str" or "str" in named))

    def _type(self, expectation: Expectation) -> Answer:
        found = _pandas_type(self._schema, expectation.kwargs["column"])
        if "type_list" in expectation.kwargs:
            success = found in expectation.kwargs["type_list"]
        else:
            success = _FAMILIES[found] == _FAMILIES[expectation.kwargs["type_"]]
        return success, {"observed_value": _FAMILIES[found]}

    def _columns(self, expectation: Expectation) -> Answer:
        found, wanted = set(self._schema.names), set(expectation.kwargs["column_set"])
        result: dict[str, Any] = {"observed_value": sorted(found)}
        if found == wanted:
            return True, result
        mismatched = {
            name: sorted(names)
            for name, names in (("unexpected", found - wanted), ("missing", wanted - found))
            if names
        }
        result["details"] = {"mismatched": mismatched}
        exact = expectation.kwargs.get("exact_match", True)
        return not exact and not wanted - found, result


def _plain_arguments(expectation: Expectation, allowed: frozenset[str]) -> bool:
    """Whether all arguments are known, and of the kinds that need no thought."""
    given = expectation.kwargs
    if not given.keys() <= allowed:
        return False
    numbers = [given[k] for k in ("mostly", "min_value", "max_value", "value") if k in given]
    shares = [given["mostly"]] if "mostly" in given else []
    known_bounds = all(_is_number(n) for n in numbers) or expectation.type in _BY_ROW
    return known_bounds and all(_is_number(share) and 0 <= share <= 1 for share in shares)


def _is_default(argument: str, value: Any) -> bool:
    """Whether Great Expectations leaves an argument out because it says nothing."""
    return argument in _DEFAULTS and bool(value == _DEFAULTS[argument])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _of_column(tally: RowTally, mostly: float) -> Answer:
    """Of values: missing ones are not judged."""
    return _counted(tally, tally.rows - tally.missing, mostly)


def _of_pair(tally: RowTally, mostly: float) -> Answer:
    """Of pairs: rows that are ignored are not judged."""
    return _counted(tally, tally.considered, mostly)


def _counted(tally: RowTally, judged: int, mostly: float) -> Answer:
    success = not judged or (float(judged) - float(tally.unexpected)) / float(judged) >= mostly
    total = _percent(tally.unexpected, tally.rows)
    share = _percent(tally.unexpected, judged)
    missing = tally.rows - judged
    return success, {
        "element_count": tally.rows,
        "unexpected_count": tally.unexpected,
        "unexpected_percent": share,
        "partial_unexpected_list": [example.value for example in tally.examples],
        "missing_count": missing,
        "missing_percent": _percent(missing, tally.rows),
        "unexpected_percent_total": total,
        "unexpected_percent_nonmissing": share,
    }


def _of_presence(tally: RowTally, mostly: float) -> Answer:
    """Of rows: whether there is a value is what is asked."""
    success = not tally.rows or (tally.rows - tally.unexpected) / tally.rows >= mostly
    return success, {
        "element_count": tally.rows,
        "unexpected_count": tally.unexpected,
        "unexpected_percent": _percent(tally.unexpected, tally.rows),
        "partial_unexpected_list": [example.value for example in tally.examples],
    }


def _percent(part: int, whole: int) -> float | None:
    return part / whole * 100 if whole else None


def _between(value: float | int | None, bounds: dict[str, Any]) -> Answer:
    result = {"observed_value": value}
    if value is None:
        return False, result
    low, high = bounds.get("min_value"), bounds.get("max_value")
    above = low is None or (value > low if bounds.get("strict_min") else value >= low)
    below = high is None or (value < high if bounds.get("strict_max") else value <= high)
    return above and below, result


#: What the type of a column is called where the types of pandas are named; numpy's class of it.
_FAMILIES = {
    "float32": "float32",
    "float64": "float64",
    "int64": "int64",
    "bool": "bool",
    "datetime64[us]": "datetime64",
    "datetime64[ns]": "datetime64",
    "str": "str",
}
_PANDAS = {"timestamp[us]": "datetime64[us]", "string": "str", "dictionary": "str"}


def _pandas_type(schema: TableSchema, column: str) -> str:
    physical = schema[column].physical
    return _PANDAS.get(physical, physical)


_BY_ROW: dict[str, Callable[[RowTally, float], Answer]] = {
    "expect_column_values_to_not_be_null": _of_presence,
    "expect_column_values_to_be_null": _of_presence,
    "expect_column_values_to_be_between": _of_column,
    "expect_column_values_to_be_in_set": _of_column,
    "expect_column_values_to_not_be_in_set": _of_column,
    "expect_column_value_lengths_to_be_between": _of_column,
    "expect_column_value_lengths_to_equal": _of_column,
    "expect_column_values_to_match_regex": _of_column,
    "expect_column_values_to_match_regex_list": _of_column,
    "expect_column_values_to_not_match_regex": _of_column,
    "expect_column_values_to_not_match_regex_list": _of_column,
    "expect_column_pair_values_a_to_be_greater_than_b": _of_pair,
    "expect_column_pair_values_to_be_equal": _of_pair,
}

_MOMENTS: dict[str, Callable[[ColumnFigures], float]] = {
    "expect_column_max_to_be_between": lambda f: math.nan if f.maximum is None else f.maximum,
    "expect_column_mean_to_be_between": lambda f: f.mean if f.count else math.nan,
    "expect_column_min_to_be_between": lambda f: math.nan if f.minimum is None else f.minimum,
    "expect_column_stdev_to_be_between": lambda f: f.std,
    "expect_column_sum_to_be_between": lambda f: f.total,
}

_TYPES = ("expect_column_values_to_be_in_type_list", "expect_column_values_to_be_of_type")

_DEFAULTS = {
    "mostly": 1,
    "strict_min": False,
    "strict_max": False,
    "exact_match": True,
    "or_equal": None,
    "match_on": "any",
    "ignore_row_if": "both_values_are_missing",
}

_BOUNDS = ("min_value", "max_value", "strict_min", "strict_max")

_ARGUMENTS: dict[str, frozenset[str]] = {
    **{
        name: frozenset(arguments)
        for name, arguments in {
            "expect_column_values_to_not_be_null": ("column", "mostly"),
            "expect_column_values_to_be_null": ("column", "mostly"),
            "expect_column_values_to_be_between": ("column", "mostly", *_BOUNDS),
            "expect_column_values_to_be_in_set": ("column", "mostly", "value_set"),
            "expect_column_values_to_not_be_in_set": ("column", "mostly", "value_set"),
            "expect_column_value_lengths_to_be_between": ("column", "mostly", *_BOUNDS),
            "expect_column_value_lengths_to_equal": ("column", "mostly", "value"),
            "expect_column_values_to_match_regex": ("column", "mostly", "regex"),
            "expect_column_values_to_match_regex_list": (
                "column",
                "mostly",
                "regex_list",
                "match_on",
            ),
            "expect_column_values_to_not_match_regex": ("column", "mostly", "regex"),
            "expect_column_values_to_not_match_regex_list": ("column", "mostly", "regex_list"),
            "expect_column_pair_values_a_to_be_greater_than_b": (
                "column_A",
                "column_B",
                "mostly",
                "or_equal",
                "ignore_row_if",
            ),
            "expect_column_pair_values_to_be_equal": (
                "column_A",
                "column_B",
                "mostly",
                "ignore_row_if",
            ),
            "expect_column_values_to_be_in_type_list": ("column", "type_list"),
            "expect_column_values_to_be_of_type": ("column", "type_"),
            "expect_table_columns_to_match_set": ("column_set", "exact_match"),
            "expect_table_row_count_to_equal": ("value",),
            "expect_table_row_count_to_be_between": _BOUNDS,
        }.items()
    },
    **dict.fromkeys(_MOMENTS, frozenset(("column", *_BOUNDS))),
}
