"""Row conditions of expectations as pandas queries, read without Great Expectations."""

from __future__ import annotations

from typing import Any

from tidemill.errors import SuiteInvalid
from tidemill.ingestion.checks.batch_view import BatchView, Mask
from tidemill.ingestion.checks.suite import Expectation

__all__ = ["condition_query", "meets"]


def condition_query(expectation: Expectation) -> str | None:
    """The row condition of an expectation as a ``DataFrame.query`` text, or None.

    Raises
    ------
    SuiteInvalid
        If the condition is not one that Great Expectations writes.
    """
    condition = expectation.kwargs.get("row_condition")
    if not condition:
        return None
    try:
        return condition if isinstance(condition, str) else _clause(condition)
    except (KeyError, TypeError, ValueError) as exc:
        raise SuiteInvalid(
            f"expectation {expectation.index + 1} ({expectation}) has a row_condition that is not "
            f"understood: {condition!r}",
            remedy="write it as pandas query text, with condition_parser: pandas",
            expectation=expectation.type,
            index=expectation.index,
        ) from exc


def meets(view: BatchView, query: str) -> Mask:
    """Which rows of the batch meet a condition, (rows,) bool.

    >>> import pyarrow as pa
    >>> meets(BatchView(pa.table({"a": [1, 2, 3]})), "a > 1")
    array([False,  True,  True])
    """
    import numpy as np

    frame = view.frame()
    chosen = np.zeros(view.rows, np.bool_)
    chosen[frame.query(query).index.to_numpy()] = True
    return chosen


def _clause(condition: dict[str, Any]) -> str:
    kind = condition["type"]
    if kind == "pass_through":
        return str(condition["pass_through_filter"])
    if kind in ("and", "or"):
        return "(" + f" {kind} ".join(_clause(part) for part in condition["conditions"]) + ")"
    name = condition["column"]["name"]
    column = f"`{name}`"
    if kind == "nullity":
        return f"{column}.isnull()" if condition["is_null"] else f"~{column}.isnull()"
    if kind != "comparison":
        raise ValueError(kind)
    operator, value = condition["operator"], condition["parameter"]
    if operator in ("IN", "NOT_IN"):
        values = ", ".join(map(repr, value))
        return f"{column} {'in' if operator == 'IN' else 'not in'} [{values}]"
    return f"{column} {operator} {value!r}"
