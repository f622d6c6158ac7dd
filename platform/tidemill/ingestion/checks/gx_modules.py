"""Great Expectations itself: imported here and nowhere else, once, whoever asks first.

Its modules import each other in a circle, so two threads that import parts of it at once find
half of a module; and it refuses a class whose name it has. Both are kept behind one lock.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from threading import RLock, get_ident
from typing import Any

__all__ = ["GX_LOCK", "GxModules", "gx_modules", "hidden"]

#: Held while it is imported, and by whoever makes classes that it registers.
GX_LOCK = RLock()


@dataclass(frozen=True, slots=True)
class GxModules:
    """What we take from Great Expectations.

    Parameters
    ----------
    gx : module
    engine, datasource : type
        Its pandas engine, and the datasource of frames.
    metric, calculator : type
        A question about data; what lets an engine answer it.
    unresolved : type
        The error of an engine that cannot answer.
    expectation : callable
        From the name of an expectation to its class.
    datasource_types : mapping of str to type
        The datasources that it has registered.
    result_schema : marshmallow.Schema
        Reads and writes the result of a validation.
    run, suite_identifier, result_identifier : type
        What its store calls a result by.
    """

    gx: Any
    engine: Any
    datasource: Any
    metric: Any
    calculator: Any
    unresolved: Any
    expectation: Any
    datasource_types: Any
    result_schema: Any
    run: Any
    suite_identifier: Any
    result_identifier: Any


_FOUND: list[GxModules] = []


def gx_modules() -> GxModules:
    """Great Expectations' own parts; the first call imports it (seconds, some 200 MB)."""
    with GX_LOCK:
        if not _FOUND:
            with hidden("pyspark"):
                _FOUND.append(_import())
        return _FOUND[0]


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Hide a package's modules, but those that are there, from what this thread imports.

    Great Expectations takes all of Spark that is installed, for frames of its kind: a second and
    30 MB more, warnings, and without Spark's connect packages an end of the process in silence.
    """
    finder = _Hiding(package, get_ident())
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@dataclass(frozen=True, slots=True)
class _Hiding(MetaPathFinder):
    package: str
    thread: int

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == self.package and get_ident() == self.thread:
            raise ModuleNotFoundError(f"{name} is hidden here", name=name)


def _import() -> GxModules:
    # It posts usage statistics unless told otherwise before its first import.
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.core.expectation_validation_result import (
        expectationSuiteValidationResultSchema,
    )
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )
    from great_expectations.datasource.fluent.pandas_datasource import PandasDatasource
    from great_expectations.datasource.fluent.sources import DataSourceManager
    from great_expectations.exceptions.exceptions import MetricResolutionError
    from great_expectations.execution_engine.pandas_execution_engine import (
        PandasExecutionEngine,
    )
    from great_expectations.expectations.registry import get_expectation_impl
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from great_expectations.validator.metrics_calculator import MetricsCalculator

    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    return GxModules(
        gx=gx,
        engine=PandasExecutionEngine,
        datasource=PandasDatasource,
        metric=MetricConfiguration,
        calculator=MetricsCalculator,
        unresolved=MetricResolutionError,
        expectation=get_expectation_impl,
        datasource_types=DataSourceManager.type_lookup,
        result_schema=expectationSuiteValidationResultSchema,
        run=RunIdentifier,
        suite_identifier=ExpectationSuiteIdentifier,
        result_identifier=ValidationResultIdentifier,
    )
