"""Row-wise expectations without a kernel: Great Expectations' own code, one batch at a time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from tidemill.cells import decoded_type
from tidemill.errors import SuiteInvalid
from tidemill.ingestion.checks.batch_view import BatchView, Mask
from tidemill.ingestion.checks.gx_modules import gx_modules
from tidemill.ingestion.checks.suite import Expectation
from tidemill.schema import TableSchema

__all__ = ["foreign_judgement", "try_foreign"]


def foreign_judgement(expectation: Expectation, view: BatchView) -> tuple[Mask, Mask]:
    """Ask the stock engine which rows are considered and unexpected; each (rows,) bool.

    Notes
    -----
    Imports Great Expectations into this process (seconds, some 200 MB) and runs Python per
    value. The row condition is the caller's: it holds for the mask, not for what is judged.
    """
    found = gx_modules()
    given = {k: v for k, v in expectation.kwargs.items() if "condition" not in k}
    try:
        frame = view.frame()
        engine = found.engine(batch_data_dict={"batch": frame})
        instance: Any = found.expectation(expectation.type)(**given)
        asked = instance.get_validation_dependencies(execution_engine=engine).metric_configurations
        count = asked[f"{instance.map_metric}.unexpected_count"]
        condition = found.metric(
            f"{instance.map_metric}.condition",
            {**count.metric_domain_kwargs, "batch_id": "batch"},
            count.metric_value_kwargs,
        )
        calculator = found.calculator(engine, show_progress_bars=False)
        resolved, aborted = calculator.compute_metrics([condition])
        if condition.id not in resolved:  # it keeps to itself what its code raised
            raise ValueError(_aborted(aborted))
        series = resolved[condition.id][0]
    except Exception as exc:  # whatever its plug-in code raises
        raise _unanswered(expectation, exc) from exc
    return _masks(series, frame, expectation)


def try_foreign(expectation: Expectation, schema: TableSchema) -> None:
    """Judge one usual row, so that what cannot judge such values is refused before the scan.

    Raises
    ------
    SuiteInvalid
        If the stock engine fails on values of these types, for example a time format on numbers.
    """
    fields = [schema[column] for column in dict.fromkeys(expectation.columns)]
    row = pa.table({field.name: [_USUAL[field.physical]] for field in fields})
    view = BatchView(row.cast(pa.schema([(f.name, decoded_type(f.arrow_type)) for f in fields])))
    foreign_judgement(expectation, view)


_USUAL: dict[str, Any] = {
    "float32": 1.0,
    "float64": 1.0,
    "int64": 1,
    "bool": True,
    "string": "1",
    "dictionary": "1",
    "timestamp[us]": datetime(2024, 1, 1),  # noqa: DTZ001 (times are kept without a zone)
}


def _masks(series: Any, frame: Any, expectation: Expectation) -> tuple[Mask, Mask]:
    judged = np.zeros(len(frame), np.bool_)
    places = series.index.to_numpy()
    judged[places] = True
    if "column" in expectation.kwargs:
        judged &= frame[expectation.kwargs["column"]].notna().to_numpy()
    bad = np.zeros(len(frame), np.bool_)
    bad[places] = series.to_numpy().astype(np.bool_)
    return judged, bad & judged


def _aborted(metrics: Any) -> str:
    """What was raised where metrics were given up."""
    messages = (str(info["exception_info"]["exception_message"]) for info in metrics.values())
    return min(messages, default="")


def _unanswered(expectation: Expectation, exc: Exception) -> SuiteInvalid:
    why = str(exc).partition("\n")[0] or type(exc).__name__
    return SuiteInvalid(
        f"expectation {expectation.index + 1} ({expectation}) failed in Great Expectations: {why}",
        remedy="correct its arguments, or take it out of the suite",
        expectation=expectation.type,
        index=expectation.index,
    )
