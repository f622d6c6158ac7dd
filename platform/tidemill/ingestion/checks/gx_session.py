"""The seam to Great Expectations: its suite and its results, our scan's figures.

Great Expectations is shown an empty, correctly typed batch. Its execution engine, ours here,
answers what it asks about columns and types as ever, and everything about rows from what the
scan has found. What the scan did not gather makes the expectation fail by name.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import pyarrow as pa

from tidemill.errors import SuiteInvalid
from tidemill.ingestion.checks.batch_view import plain_table
from tidemill.ingestion.checks.gx_metrics import MetricAnswers, ScanFindings, Unanswerable
from tidemill.ingestion.checks.gx_modules import GX_LOCK, GxModules, gx_modules
from tidemill.ingestion.checks.gx_results import NO_EXCEPTION
from tidemill.ingestion.checks.suite import Suite
from tidemill.schema import TableSchema

__all__ = ["GxSession"]

_RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 20}

_TYPE: Literal["tidemill_scan"] = "tidemill_scan"

#: Metrics that Great Expectations computes itself: from the empty batch's schema, or from
#: metrics that the scan has answered.
_ITS_OWN = frozenset(
    {
        "table.columns",
        "table.column_types",
        "table.column_count",
        "column.non_null_proportion",
        "column.unique_proportion",
        "column_values.nonnull.count",
        "column_values.null.count",
    }
)


def _datasource() -> Any:
    """Our datasource, made once: Great Expectations registers classes by name."""
    with GX_LOCK:
        found = gx_modules()
        if _TYPE not in found.datasource_types:
            _make_datasource(found)
        return found.datasource_types[_TYPE]


def _make_datasource(found: GxModules) -> None:
    class TidemillScanEngine(found.engine):  # type: ignore[misc, name-defined]
        """Answers metrics from :class:`MetricAnswers`."""

        answers: MetricAnswers

        def resolve_metrics(
            self, metrics_to_resolve: Any, metrics: Any = None, runtime_configuration: Any = None
        ) -> dict[Any, Any]:
            resolved: dict[Any, Any] = {}
            refused: dict[str, list[Any]] = {}
            its_own = [m for m in metrics_to_resolve if m.metric_name in _ITS_OWN]
            for metric in metrics_to_resolve:
                if metric.metric_name in _ITS_OWN:
                    continue
                try:
                    resolved[metric.id] = self.answers.answer(metric)
                except Unanswerable as exc:
                    refused.setdefault(str(exc), []).append(metric)
            for message, failed in sorted(refused.items()):
                raise found.unresolved(message=message, failed_metrics=failed)
            if its_own:
                resolved.update(super().resolve_metrics(its_own, metrics, runtime_configuration))
            return resolved

    class TidemillScanDatasource(found.datasource):  # type: ignore[misc, name-defined]
        """A pandas datasource whose engine is the scan's."""

        execution_engine_override = TidemillScanEngine
        type: Literal["tidemill_scan"] = _TYPE


class GxSession:
    """One suite, ready to be validated; making it takes seconds (the import) and no data.

    Parameters
    ----------
    suite : Suite
    schema : TableSchema

    Raises
    ------
    SuiteInvalid
        If Great Expectations does not accept the suite.
    """

    def __init__(self, suite: Suite, schema: TableSchema) -> None:
        datasource_class = _datasource()
        self._suite, self._schema = suite, schema
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            context: Any = gx_modules().gx.get_context(mode="ephemeral")
            self._context = context
            self._context.variables.progress_bars = {"globally": False}
            self._gx_suite = self._load()
            # It gives every expectation an id of its own: how results find their place again.
            self._ids = {
                str(e.id): given.index
                for e, given in zip(self._gx_suite.expectations, suite.expectations, strict=True)
            }
            source = datasource_class(name="tidemill")
            source = self._context.data_sources.add_or_update_tidemill_scan(datasource=source)
            self._definition = source.add_dataframe_asset(
                "scan"
            ).add_batch_definition_whole_dataframe("all rows")
            self._answers = MetricAnswers(suite, schema)
            source.get_execution_engine().answers = self._answers
            self._rehearse()

    def validate(self, findings: ScanFindings) -> dict[int, dict[str, Any]]:
        """Let Great Expectations judge the findings.

        Returns
        -------
        dict
            Its results in BASIC format, without ids, by index of the expectation.
        """
        self._answers.findings = findings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            batch = self._definition.get_batch({"dataframe": self._frame()})
            result: Any = batch.validate(self._gx_suite, result_format=_RESULT_FORMAT)
            for entry in result.results:
                # Some are numpy's, which its own store cannot write.
                entry.success = bool(entry.success)
        return dict(map(self._entry, result.to_json_dict()["results"]))

    def _load(self) -> Any:
        document = self._suite.document
        entries = [
            {k: v for k, v in document["expectations"][e.index].items() if k != "id"}
            for e in self._suite.expectations
        ]
        try:
            loaded = gx_modules().gx.ExpectationSuite(name=self._suite.name, expectations=entries)
        except Exception as exc:  # pydantic's, marshmallow's or its own
            raise SuiteInvalid(
                f"Great Expectations does not accept the suite {self._suite.name!r}: {exc}",
                remedy="correct the expectation that it names",
                suite=self._suite.name,
            ) from exc
        return self._context.suites.add_or_update(loaded)

    def _rehearse(self) -> None:
        batch = self._definition.get_batch({"dataframe": self._frame()})
        for expectation in self._gx_suite.expectations:
            self._answers.asking = self._ids[str(expectation.id)]
            batch.validate(expectation, result_format=_RESULT_FORMAT)
        self._answers.asking = None

    def _frame(self) -> Any:
        empty = pa.Table.from_batches([], schema=self._schema.arrow_schema())
        return plain_table(empty).to_pandas(date_as_object=False)

    def _entry(self, entry: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        config = entry["expectation_config"]
        index = self._ids[config.pop("id")]
        config["kwargs"].pop("batch_id", None)
        message = _message(entry["exception_info"])
        raised = {"raised_exception": message is not None, "exception_message": message}
        return index, {**entry, "exception_info": {**NO_EXCEPTION, **raised}}


def _message(info: dict[str, Any]) -> str | None:
    """What an expectation raised, without the traceback (paths and lines are no result)."""
    if "raised_exception" in info:
        return info["exception_message"] if info["raised_exception"] else None
    return next((str(each["exception_message"]) for each in info.values()), None)
