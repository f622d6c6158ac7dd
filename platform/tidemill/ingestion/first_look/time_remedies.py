"""How values that are no times could become times: lines for params.yaml."""

from __future__ import annotations

import json
import re

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import ConfigError
from tidemill.ingestion.sources.derived_columns import Deriver, sql_name
from tidemill.time_conventions import find_time_conventions

__all__ = ["time_expression", "time_remedy"]

# Largest plausible number of each unit since 1970 (the year 2286), with what makes microseconds.
_EPOCHS = ((1e10, " * 1000000"), (1e13, " * 1000"), (float("inf"), ""))


def time_remedy(name: str, values: pa.Array) -> str:
    """What to do where ``dataset.time`` names a column of such values, ready to be pasted."""
    by_rows = "order by rows with dataset.time: null and sharding.holdout.by: order"
    if pa.types.is_string(values.type):
        return _written(name, values, by_rows)
    expression = time_expression(name, values)
    if expression is None:
        return by_rows
    derived = "_".join(re.findall(r"\w+", name)) + "_at"
    return (
        f"derive a time and name it, dataset.derive: {{{derived}: {json.dumps(expression)}}}, "
        f"dataset.time: {derived} (if that is how the values are meant), or {by_rows}"
    )


def _written(name: str, texts: pa.Array, by_rows: str) -> str:
    """The formats that all texts keep, or why there is none."""
    fitting = find_time_conventions(pc.unique(pc.utf8_trim_whitespace(texts.drop_null())))
    if not fitting:
        return by_rows
    lines = " or ".join(f"{{{json.dumps(name)}: {json.dumps(str(form))}}}" for form in fitting)
    return f"say how they are written, dataset.conventions: {lines}; or {by_rows}"


def time_expression(name: str, values: pa.Array) -> str | None:
    """An SQL expression that makes times of numbers, or None if nothing suggests one.

    Parameters
    ----------
    name : str
    values : (rows,) array

    Examples
    --------
    >>> time_expression("seen", pa.array([1_700_000_000, 1_700_000_060]))
    'make_timestamp(seen * 1000000)'
    """
    column = sql_name(name)
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return None
    present = values.drop_null()
    whole = bool(pc.all(pc.equal(present, pc.floor(present))).as_py())
    least, most = pc.min(present).as_py() or 0, pc.max(present).as_py() or 0
    if whole and least >= 19_000_101 and most <= 21_001_231:
        expression = f"strptime(CAST(CAST({column} AS BIGINT) AS VARCHAR), '%Y%m%d')"
    else:
        counted = column + next(factor for limit, factor in _EPOCHS if most < limit)
        whole_micros = counted if whole else f"CAST({counted} AS BIGINT)"
        expression = f"make_timestamp({whole_micros})"
    read = present.cast(pa.int64()) if whole else present  # as expressions are given them
    return expression if _gives_times(name, expression, read) else None


def _gives_times(name: str, expression: str, present: pa.Array) -> bool:
    """Whether the expression can be computed for every value looked at."""
    try:
        Deriver({f"{name}_": expression}).columns(pa.table({name: present}))
    except ConfigError:
        return False
    return True
