"""Draft a suite from a profile: a start for people, wide where the data cannot say."""

from __future__ import annotations

import importlib.metadata
import math
from dataclasses import replace
from typing import Any

from tidemill.ingestion.sources.wide_tables import WIDE
from tidemill.profiling import CategoryProfile, NumericProfile, Profile
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task

__all__ = ["draft_suite", "drafted_columns"]

_REPORT = {"tidemill": "report"}

_TYPES = {
    ColumnType.NUMERIC: ["float32", "float64", "int64"],
    ColumnType.BOOLEAN: ["bool"],
    ColumnType.DATETIME: ["datetime64[us]", "datetime64[ns]"],
}

_MAX_SET = 50
_FEATURE_SPANS = 100.0
_TARGET_SPANS = 10.0
_LONG_TAIL_SPANS = 10.0
# The histogram's outer bins reach to the extremes, so quantiles further out say little.
_MIDDLE = (0.05, 0.95)


def draft_suite(schema: TableSchema, profile: Profile) -> dict[str, Any]:
    """Draft expectations as ``ExpectationSuite.to_json_dict`` would write them.

    Rare is not wrong, and later rows may differ: a drafted range decides rows a hundred times
    the middle range (5% to 95%) away from it, and only for features without long tails among the
    profiled rows. Of a numeric target, values ten times away are taken for errors, and negative
    ones where the profile has none. Everything else only reports (``meta: {"tidemill":
    "report"}``).

    Of a table of more than 2,000 columns the suite is thin: it speaks of the table, the target,
    the key and the time, and of no single feature.

    Parameters
    ----------
    schema : TableSchema
    profile : Profile
        Of the look's sample, or of validated rows: of :func:`drafted_columns` at least.

    Returns
    -------
    dict
        The suite's JSON document.
    """
    drafted = [
        _expect("expect_table_row_count_to_be_between", {"min_value": 1}),
        _expect(
            "expect_table_columns_to_match_set",
            {"column_set": list(schema.names), "exact_match": True},
        ),
    ]
    thin = len(schema.columns) > WIDE
    for column in drafted_columns(schema).columns:
        drafted += _of_column(column, profile.columns[column.name], schema.task)
    return {
        "name": "tidemill",
        "id": None,
        "expectations": drafted,
        "meta": {"great_expectations_version": importlib.metadata.version("great-expectations")},
        "notes": "Drafted by tidemill from a profile; yours to correct. Row-wise expectations "
        'send rows to quarantine unless their meta says {"tidemill": "report"}.'
        + (f" Above {WIDE:,} columns nothing is drafted for single features." if thin else ""),
    }


def drafted_columns(schema: TableSchema) -> TableSchema:
    """The schema of the columns of which a draft speaks: all, or of many those that are no feature.

    >>> from tidemill.schema import Task
    >>> label = Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary")
    >>> features = [
    ...     Column(f"x{n}", ColumnType.NUMERIC, Purpose.FEATURE, "float32") for n in range(2_000)
    ... ]
    >>> [len(drafted_columns(TableSchema((label, *some), Task.BINARY)).columns)
    ...     for some in (features[:-1], features)]
    [2000, 1]
    """
    if len(schema.columns) <= WIDE:
        return schema
    few = tuple(c for c in schema.columns if c.purpose is not Purpose.FEATURE)
    return replace(schema, columns=few)


def _of_column(
    column: Column, profile: NumericProfile | CategoryProfile, task: Task
) -> list[dict[str, Any]]:
    name = {"column": column.name}
    drafted = []
    if column.purpose is not Purpose.KEY:
        drafted.append(_type(name, column.type))
    present = profile.rows - profile.nulls
    if column.purpose in (Purpose.KEY, Purpose.TARGET):
        # Ingestion itself refuses gaps in the key and sets rows without target apart.
        drafted.append(_expect("expect_column_values_to_not_be_null", name, _REPORT))
    elif column.purpose is Purpose.TIME:
        drafted.append(_expect("expect_column_values_to_not_be_null", name))
    elif present:
        share = max(0.0, math.floor((present / profile.rows * 0.95 - 0.01) * 100) / 100)
        mostly = {**name, "mostly": share}
        drafted.append(_expect("expect_column_values_to_not_be_null", mostly, _REPORT, "warning"))
    if column.purpose is Purpose.KEY or not present:
        return drafted
    if isinstance(profile, NumericProfile) and column.type is ColumnType.NUMERIC:
        target = column.purpose is Purpose.TARGET and task is Task.REGRESSION
        drafted += _range(name, profile, target=target)
    elif isinstance(profile, CategoryProfile) and column.type is ColumnType.CATEGORICAL:
        drafted += _set(name, profile)
    return drafted


def _type(name: dict[str, Any], kind: ColumnType) -> dict[str, Any]:
    if kind in _TYPES:
        types = {**name, "type_list": _TYPES[kind]}
        return _expect("expect_column_values_to_be_in_type_list", types)
    # pandas 3's own text type is known to this expectation only.
    return _expect("expect_column_values_to_be_of_type", {**name, "type_": "str"})


def _range(name: dict[str, Any], profile: NumericProfile, *, target: bool) -> list[dict[str, Any]]:
    low, high = (profile.quantile(q) for q in _MIDDLE)
    span = high - low
    if not span > 0:
        return []
    spans = _TARGET_SPANS if target else _FEATURE_SPANS
    signed = profile.minimum < 0 or not target
    lower = _rounded(low - spans * span, math.floor) if signed else 0.0
    upper = _rounded(high + spans * span, math.ceil)
    long_tail = profile.maximum - profile.minimum > _LONG_TAIL_SPANS * span
    limits = {"min_value": lower, "max_value": upper}
    held = {side: bound for side, bound in limits.items() if math.isfinite(bound)}
    if not held:
        return []
    bounds = {**name, **held}
    if target or not long_tail:
        return [_expect("expect_column_values_to_be_between", bounds)]
    bounds["mostly"] = 0.95
    return [_expect("expect_column_values_to_be_between", bounds, _REPORT, "warning")]


def _set(name: dict[str, Any], profile: CategoryProfile) -> list[dict[str, Any]]:
    if not profile.complete or len(profile.counts) > _MAX_SET:
        return []
    known = {**name, "value_set": sorted(profile.counts), "mostly": 0.95}
    return [_expect("expect_column_values_to_be_in_set", known, _REPORT, "warning")]


def _rounded(bound: float, rounding: Any) -> float:
    """Two significant digits, away from the data: nobody reads 10247.3951.

    Infinite where no float64 is so large.
    """
    if not math.isfinite(bound):
        return bound
    unit = 10.0 ** (math.floor(math.log10(abs(bound))) - 1) if bound else 1.0
    return float(rounding(bound / unit) * unit) if unit else bound  # 0: digits of the least floats


def _expect(
    kind: str,
    kwargs: dict[str, Any],
    meta: dict[str, str] | None = None,
    severity: str = "critical",
) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "meta": dict(meta or {}), "severity": severity}
