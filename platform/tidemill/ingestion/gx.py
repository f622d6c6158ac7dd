"""The seam to Great Expectations: its suite, its results and its Data Docs, our scan's figures.

Great Expectations is shown an empty, correctly typed batch. Its execution engine, ours here,
answers what it asks about columns and types as ever, and everything about rows from what the
scan has found. What the scan did not gather makes the expectation fail by name.
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from tidemill.errors import SuiteInvalid
from tidemill.ingestion.offline import read_offline
from tidemill.ingestion.oracle import Findings, Oracle, Unanswerable
from tidemill.ingestion.stock import GX_LOCK, Stock, stock
from tidemill.ingestion.suite import Suite
from tidemill.ingestion.view import plain_table
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
        found = stock()
        if _TYPE not in found.datasource_types:
            _make_datasource(found)
        return found.datasource_types[_TYPE]


def _make_datasource(found: Stock) -> None:
    class TidemillScanEngine(found.engine):  # type: ignore[misc, name-defined]
        """Answers metrics from an :class:`Oracle`."""

        oracle: Oracle

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
                    resolved[metric.id] = self.oracle.answer(metric)
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
            context: Any = stock().gx.get_context(mode="ephemeral")
            self._context = context
            self._context.variables.progress_bars = {"globally": False}
            self._gx_suite = self._load(suite.document)
            # It gives every expectation an id of its own: how results find their place again.
            self._ids = {str(e.id): i for i, e in enumerate(self._gx_suite.expectations)}
            source = datasource_class(name="tidemill")
            source = self._context.data_sources.add_or_update_tidemill_scan(datasource=source)
            self._definition = source.add_dataframe_asset(
                "scan"
            ).add_batch_definition_whole_dataframe("all rows")
            self._oracle = Oracle(suite, schema)
            source.get_execution_engine().oracle = self._oracle
            self._rehearse()

    def validate(self, findings: Findings, *, docs: Path | None = None) -> dict[str, Any]:
        """Let Great Expectations judge the findings.

        Parameters
        ----------
        findings : Findings
        docs : Path, optional
            Folder for its Data Docs (they carry times and are no stage output).

        Returns
        -------
        dict
            Its result document in BASIC format, without times and run ids, the results in
            the order of the suite.
        """
        self._oracle.findings = findings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            batch = self._definition.get_batch({"dataframe": self._frame()})
            result: Any = batch.validate(self._gx_suite, result_format=_RESULT_FORMAT)
            for entry in result.results:
                # Some are numpy's, which its own store cannot write.
                entry.success = bool(entry.success)
            if docs is not None:
                self._build_docs(result, batch.id, docs)
        return self._document(result.to_json_dict())

    def _build_docs(self, result: Any, batch_id: str, docs: Path) -> None:
        found = stock()
        run = found.run(run_time=datetime.now(UTC))
        suite = found.suite_identifier(self._suite.name)
        shown = self._shown(result)
        shown.meta.update(run_id=run, validation_time=run.run_time)
        self._context.validation_results_store.set(
            found.result_identifier(suite, run, batch_id), shown
        )
        _add_site(self._context, docs)
        self._context.build_data_docs(site_names=["tidemill"])
        read_offline(docs)

    def _shown(self, result: Any) -> Any:
        """The result for Data Docs; the suite's page then is as harmless.

        Some of Great Expectations' templates write names and values into the page as they are.
        """
        document = result.to_json_dict()
        if harmless(document) == document and harmless(self._suite.document) == (
            self._suite.document
        ):
            return result
        # An update compares each expectation with each: a quarter of the seconds of an ingest.
        self._context.suites.delete(self._suite.name)
        self._load(harmless(self._suite.document))
        return stock().result_schema.load(harmless(document))

    def _load(self, document: dict[str, Any]) -> Any:
        entries = [
            {key: value for key, value in entry.items() if key != "id"}
            for entry in document["expectations"]
        ]
        try:
            loaded = stock().gx.ExpectationSuite(
                name=self._suite.name,
                expectations=entries,
                meta=document.get("meta"),
                notes=document.get("notes"),
            )
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
            self._oracle.asking = self._ids[str(expectation.id)]
            batch.validate(expectation, result_format=_RESULT_FORMAT)
        self._oracle.asking = None

    def _frame(self) -> Any:
        empty = pa.Table.from_batches([], schema=self._schema.arrow_schema())
        return plain_table(empty).to_pandas(date_as_object=False)

    def _document(self, result: dict[str, Any]) -> dict[str, Any]:
        results = sorted(
            result["results"], key=lambda r: self._ids[r["expectation_config"].get("id")]
        )
        for entry in results:
            entry["expectation_config"].pop("id", None)
            entry["expectation_config"]["kwargs"].pop("batch_id", None)
            entry["exception_info"] = _message(entry["exception_info"])
        met = sum(entry["success"] for entry in results)
        return {
            "success": met == len(results),
            "suite_name": result["suite_name"],
            "statistics": {
                "evaluated_expectations": len(results),
                "successful_expectations": met,
                "unsuccessful_expectations": len(results) - met,
                "success_percent": 100.0 * met / len(results),
            },
            "results": results,
            "great_expectations_version": result["meta"]["great_expectations_version"],
        }


def harmless(value: Any) -> Any:
    """A document whose texts, keys included, can open no tag and end no attribute of HTML.

    Conditions are left: Great Expectations reads them.

    >>> harmless({"column": "<b>", "n": 3})
    {'column': '&lt;b&gt;', 'n': 3}
    """
    if isinstance(value, str):
        return value.translate(_HARMLESS)
    if isinstance(value, dict):
        return {
            harmless(key): each if key == "row_condition" else harmless(each)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [harmless(each) for each in value]
    return value


# An ampersand alone does no harm, and where a template does escape it would be seen twice.
_HARMLESS = str.maketrans({"<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


def _message(info: dict[str, Any]) -> str | None:
    """What an expectation raised, without the traceback (paths and lines are no result)."""
    if "raised_exception" in info:
        return info["exception_message"] if info["raised_exception"] else None
    return next((str(each["exception_message"]) for each in info.values()), None)


def _add_site(context: Any, docs: Path) -> None:
    for name in list(context.get_site_names()):
        context.delete_data_docs_site(name)
    context.add_data_docs_site(
        site_name="tidemill",
        site_config={
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": str(docs.resolve()),
            },
        },
    )
