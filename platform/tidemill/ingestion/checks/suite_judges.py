"""Who says whether an expectation is met: we, where it takes a count; else Great Expectations."""

from __future__ import annotations

from typing import Any

from tidemill.ingestion.checks.foreign_checks import try_foreign
from tidemill.ingestion.checks.gx_metrics import ScanFindings
from tidemill.ingestion.checks.gx_results import Answerer, results_document
from tidemill.ingestion.checks.scan_plan import ScanPlan
from tidemill.ingestion.checks.suite import Suite
from tidemill.schema import TableSchema

__all__ = ["SuiteJudges"]


class SuiteJudges:
    """A suite, ready to be judged; Great Expectations is imported only if it is needed.

    Parameters
    ----------
    suite : Suite
    plan : ScanPlan
    schema : TableSchema

    Raises
    ------
    SuiteInvalid
        If Great Expectations does not accept an expectation that is left to it, or cannot judge
        the values of its columns.
    """

    def __init__(self, suite: Suite, plan: ScanPlan, schema: TableSchema) -> None:
        self._suite = suite
        self._own = Answerer(suite, plan, schema)
        for rule in plan.rules:
            if rule.kernel is None:
                try_foreign(rule.expectation, schema)
        left = tuple(e for e in suite.expectations if not self._own.knows(e))
        self._session: Any = None
        if left:
            from tidemill.ingestion.checks.gx_session import GxSession

            self._session = GxSession(Suite(suite.name, left, suite.document), schema)
        self._left = frozenset(e.index for e in left)

    def document(self, findings: ScanFindings) -> dict[str, Any]:
        """The result of the validation, in the order of the suite."""
        entries = {} if self._session is None else self._session.validate(findings)
        for expectation in self._suite.expectations:
            if expectation.index not in self._left:
                entries[expectation.index] = self._own.answer(expectation, findings)
        return results_document(self._suite, entries)
