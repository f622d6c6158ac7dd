"""Row-wise expectations without a kernel: Great Expectations' own code, one batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill.errors import SuiteInvalid
from tidemill.ingestion.stock import stock
from tidemill.ingestion.suite import Expectation
from tidemill.ingestion.view import BatchView, Mask

__all__ = ["foreign_judgement"]


def foreign_judgement(expectation: Expectation, view: BatchView) -> tuple[Mask, Mask]:
    """Ask the stock engine which rows are considered and unexpected; each (rows,) bool.

    Notes
    -----
    Imports Great Expectations into this process (seconds, some 200 MB) and runs Python per
    value. The row condition is the caller's: it holds for the mask, not for what is judged.
    """
    found = stock()
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
        series = calculator.get_metric(condition)[0]
    except Exception as exc:  # whatever its plug-in code raises
        raise _unanswered(expectation, exc) from exc
    return _masks(series, frame, expectation)


def _masks(series: Any, frame: Any, expectation: Expectation) -> tuple[Mask, Mask]:
    judged = np.zeros(len(frame), np.bool_)
    places = series.index.to_numpy()
    judged[places] = True
    if "column" in expectation.kwargs:
        judged &= frame[expectation.kwargs["column"]].notna().to_numpy()
    bad = np.zeros(len(frame), np.bool_)
    bad[places] = series.to_numpy().astype(np.bool_)
    return judged, bad & judged


def _unanswered(expectation: Expectation, exc: Exception) -> SuiteInvalid:
    return SuiteInvalid(
        f"expectation {expectation.index + 1} ({expectation}) failed in Great Expectations: "
        f"{str(exc).splitlines()[0] if str(exc) else type(exc).__name__}",
        remedy="correct its arguments, or take it out of the suite",
        expectation=expectation.type,
        index=expectation.index,
    )
