"""Data Docs: Great Expectations' pages about a validation, made from its report when asked for."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tidemill.errors import UsageError
from tidemill.ingestion.checks.gx_modules import GxModules, gx_modules
from tidemill.ingestion.offline_docs import read_offline
from tidemill.ingestion.validation_report import read_report
from tidemill.storage import is_left

__all__ = ["docs_offer", "harmless", "write_data_docs"]


def docs_offer(docs: Path) -> str:
    """How a person comes to the pages of a validation, and where they will lie.

    >>> docs_offer(Path("docs"))
    'tidemill suite docs makes docs/index.html'
    """
    return f"tidemill suite docs makes {docs / 'index.html'}"


def write_data_docs(report: Path, docs: Path) -> Path:
    """Make the pages of the last validation; return the first one.

    Imports Great Expectations (seconds). Names and values that hold HTML are written escaped:
    some of its templates would run them.

    Parameters
    ----------
    report : Path
        reports/validation.json.
    docs : Path
        The folder of the site; what it holds is replaced.

    Raises
    ------
    UsageError
        If there is no report.
    IntegrityError
        If it is not what was written.
    """
    if not is_left(report):
        raise UsageError(
            f"there is no {report}",
            remedy="validate the data first: tidemill run --until ingest",
            path=str(report),
        )
    document = harmless(read_report(report))
    found, made = gx_modules(), datetime.fromtimestamp(report.stat().st_mtime, UTC)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context: Any = found.gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        _add_suite(context, found, document)
        run = found.run(run_time=made)
        result = found.result_schema.load(document)
        result.meta.update(run_id=run, validation_time=made)
        suite = found.suite_identifier(document["suite_name"])
        context.validation_results_store.set(found.result_identifier(suite, run, "rows"), result)
        _add_site(context, docs)
        context.build_data_docs(site_names=["tidemill"])
    read_offline(docs)
    return docs / "index.html"


def _add_suite(context: Any, found: GxModules, document: dict[str, Any]) -> None:
    entries = [dict(entry["expectation_config"]) for entry in document["results"]]
    suite = found.gx.ExpectationSuite(name=document["suite_name"], expectations=entries)
    context.suites.add(suite)


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
