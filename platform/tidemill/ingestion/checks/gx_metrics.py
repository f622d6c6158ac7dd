"""Answers Great Expectations' metrics from what the scan found."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tidemill.ingestion.checks.column_figures import COUNT_LIMIT, ColumnFigures, moment_of
from tidemill.ingestion.checks.gx_modules import gx_modules
from tidemill.ingestion.checks.row_tally import RowTally
from tidemill.ingestion.checks.suite import Suite
from tidemill.schema import TableSchema

__all__ = ["MetricAnswers", "ScanFindings", "Unanswerable"]


@dataclass(frozen=True, slots=True)
class ScanFindings:
    """What the scan found, by index of the expectation.

    Parameters
    ----------
    rows : int
        Rows that were judged.
    tallies : mapping of int to RowTally
        Row-wise and uniqueness expectations.
    figures : mapping of int to ColumnFigures
        Expectations about a column or the table.
    distinct : mapping of int to int
        Different values, for uniqueness expectations.
    """

    rows: int
    tallies: Mapping[int, RowTally]
    figures: Mapping[int, ColumnFigures]
    distinct: Mapping[int, int]


class Unanswerable(Exception):
    """The scan did not gather what a metric needs; the expectation then fails by name."""


class MetricAnswers:
    """Knows which expectation asks for which metric, and answers from the findings.

    Great Expectations asks for metrics, not for expectations: a dry run of each expectation
    alone (``asking`` set to its index) records who asks for what.
    """

    def __init__(self, suite: Suite, schema: TableSchema) -> None:
        self._types = [expectation.type for expectation in suite.expectations]
        self._schema = schema
        self._askers: dict[Any, int] = {}
        self.asking: int | None = None
        self.findings: ScanFindings | None = None

    def answer(self, metric: Any) -> Any:
        """The value of one metric.

        Raises
        ------
        Unanswerable
            If the scan has not gathered it.
        """
        name = str(metric.metric_name)
        key = _identity(metric)
        if self.asking is not None:
            self._askers.setdefault(key, self.asking)
            return _NOTHING.get(name.rsplit(".", 1)[-1], 0)
        if name.endswith((".condition", ".map")):
            return None
        if self.findings is None or key not in self._askers:
            raise Unanswerable(f"the scan does not answer the metric {name}")
        return self._look_up(self.findings, self._askers[key], name, metric)

    def _look_up(self, findings: ScanFindings, index: int, name: str, metric: Any) -> Any:
        if name == "table.row_count":
            found = findings.tallies.get(index) or findings.figures.get(index)
            return findings.rows if found is None else found.rows
        tally = findings.tallies.get(index)
        kind, _, last = name.rpartition(".")
        if kind in ("column_values.nonnull", "column_values.null") and last == "unexpected_count":
            return _nulls(findings, index, kind)
        if tally is not None and last in _TALLIED:
            return _TALLIED[last](tally)
        if name == "column.distinct_values.count" and index in findings.distinct:
            return findings.distinct[index]
        return self._figure(findings, index, name, metric)

    def _figure(self, findings: ScanFindings, index: int, name: str, metric: Any) -> Any:
        figures = findings.figures.get(index)
        if figures is None or name not in (*_FIGURES, *_STOCK):
            raise Unanswerable(f"the scan does not answer the metric {name}")
        column = metric.metric_domain_kwargs["column"]
        time = pa.types.is_timestamp(self._schema[column].arrow_type)
        if name in _FIGURES:
            return _FIGURES[name](figures, time)
        return _ask_stock(metric, column, _stock_values(figures, name, column, time))


def _nulls(findings: ScanFindings, index: int, kind: str) -> int:
    if index in findings.tallies:
        tally = findings.tallies[index]
        rows, nulls = tally.rows, tally.missing
    elif index in findings.figures:
        rows, nulls = findings.figures[index].rows, findings.figures[index].nulls
    else:
        raise Unanswerable("the scan did not count missing values here")
    return nulls if kind == "column_values.nonnull" else rows - nulls


def _identity(metric: Any) -> Any:
    # How many examples are shown has no say in what they are.
    values = {k: v for k, v in metric.metric_value_kwargs.items() if k != "result_format"}
    return metric.metric_name, metric.metric_domain_kwargs_id, repr(sorted(values.items()))


_NOTHING: dict[str, Any] = {"condition": None, "map": None, "unexpected_values": []}

_TALLIED: dict[str, Callable[[RowTally], Any]] = {
    "unexpected_count": lambda tally: tally.unexpected,
    "unexpected_values": lambda tally: [example.value for example in tally.examples],
    "filtered_row_count": lambda tally: tally.considered,
}


def _extreme(value: float | int | None, time: bool) -> Any:
    if value is None:
        return math.nan
    return moment_of(value) if time else value


def _mean(figures: ColumnFigures, time: bool) -> Any:
    if not figures.count:
        return math.nan
    return moment_of(figures.mean) if time else figures.mean


def _counts(figures: ColumnFigures, time: bool) -> dict[Any, int]:
    if figures.counts is None:
        raise Unanswerable(f"the column has more than {COUNT_LIMIT} different values")
    ordered = sorted(figures.counts.items())
    return {moment_of(value) if time else value: n for value, n in ordered}


def _modes(figures: ColumnFigures, time: bool) -> list[Any]:
    counts = _counts(figures, time)
    most = max(counts.values(), default=0)
    return [value for value, n in counts.items() if n == most]


def _value_counts(figures: ColumnFigures, time: bool) -> Any:
    import pandas as pd

    counts = pd.Series(_counts(figures, time), name="count", dtype="int64")
    counts.index.name = "value"
    return counts


_FIGURES: dict[str, Callable[[ColumnFigures, bool], Any]] = {
    "column.max": lambda figures, time: _extreme(figures.maximum, time),
    "column.mean": _mean,
    "column.min": lambda figures, time: _extreme(figures.minimum, time),
    "column.most_common_value": _modes,
    "column.non_null_count": lambda figures, _: figures.rows - figures.nulls,
    "column.standard_deviation": lambda figures, _: figures.std,
    "column.sum": lambda figures, _: figures.total,
    "column.value_counts": _value_counts,
}

#: Metrics that the stock engine computes from the distinct values or from the sample.
_STOCK = frozenset(
    {
        "column.distinct_values",
        "column.distinct_values.missing_from_column",
        "column.distinct_values.missing_from_column.count",
        "column.distinct_values.not_in_set",
        "column.distinct_values.not_in_set.count",
        "column.median",
        "column.quantile_values",
    }
)


def _stock_values(figures: ColumnFigures, name: str, column: str, time: bool) -> Any:
    import pandas as pd

    if name in ("column.median", "column.quantile_values"):
        if figures.values is None:
            raise Unanswerable(f"the scan kept no sample of {column}")
        sample = pd.Series(figures.values)
        return pd.to_datetime(sample, unit="us") if time else sample
    return pd.Series(list(_counts(figures, time)))


def _ask_stock(metric: Any, column: str, values: Any) -> Any:
    """Let the stock engine compute a metric from distinct values or from the sample."""
    import pandas as pd

    found = gx_modules()
    engine = found.engine(batch_data_dict={"figures": pd.DataFrame({column: values})})
    asked = found.metric(
        metric.metric_name,
        {"column": column, "batch_id": "figures"},
        metric.metric_value_kwargs,
    )
    return found.calculator(engine, show_progress_bars=False).get_metric(asked)
