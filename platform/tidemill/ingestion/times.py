"""How values that are no times could become times: expressions for ``dataset.derive``."""

from __future__ import annotations

import json
import re
from datetime import datetime
from itertools import product

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import ConfigError
from tidemill.ingestion.derive import check_expressions

__all__ = ["time_expression", "time_format", "time_remedy"]

_EXAMPLES = 200
# Of two that fit all values alike, the earlier is offered.
_DAYS = (
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%Y%m%d"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S", ", %H:%M:%S")
_USUAL = "%d/%m/%Y %H:%M:%S"
# Largest plausible number of each unit since 1970 (the year 2286), with what makes microseconds.
_EPOCHS = ((1e10, " * 1000000"), (1e13, " * 1000"), (float("inf"), ""))


def time_remedy(name: str, values: pa.Array) -> str:
    """What to do where ``dataset.time`` names a column of such values, ready to be pasted."""
    by_rows = "order by rows with sharding.holdout.by: order"
    expression = time_expression(name, values)
    if expression is None:
        return by_rows
    derived = "_".join(re.findall(r"\w+", name)) + "_at"
    return (
        f"derive a time and name it, dataset.derive: {{{derived}: {json.dumps(expression)}}}, "
        f"dataset.time: {derived} (if that is how the values are meant), or {by_rows}"
    )


def time_expression(name: str, values: pa.Array) -> str | None:
    """An SQL expression that makes times of a column, or None if nothing suggests one.

    Parameters
    ----------
    name : str
    values : (rows,) array of texts or numbers

    Examples
    --------
    >>> time_expression("seen", pa.array(["31/12/2023 08:15", "01/02/2024 17:00"]))
    "strptime(seen, '%d/%m/%Y %H:%M')"
    >>> time_expression("seen", pa.array([1_700_000_000, 1_700_000_060]))
    'make_timestamp(seen * 1000000)'
    """
    column = _identifier(name)
    if pa.types.is_string(values.type):
        return f"strptime({column}, '{time_format(values) or _USUAL}')"
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return None
    present = values.drop_null()
    whole = bool(pc.all(pc.equal(present, pc.floor(present))).as_py())
    least, most = pc.min(present).as_py() or 0, pc.max(present).as_py() or 0
    if whole and least >= 19_000_101 and most <= 21_001_231:
        return f"strptime(CAST(CAST({column} AS BIGINT) AS VARCHAR), '%Y%m%d')"
    factor = next(factor for limit, factor in _EPOCHS if most < limit)
    counted = f"{column}{factor}"
    return f"make_timestamp({counted})" if whole else f"make_timestamp(CAST({counted} AS BIGINT))"


def time_format(values: pa.Array) -> str | None:
    """The format of ``strptime`` that fits the first 200 different texts, or None.

    >>> time_format(pa.array(["12/31/2023", "01/02/2024"]))
    '%m/%d/%Y'
    """
    texts = pc.unique(pc.utf8_trim_whitespace(values.drop_null()))[:_EXAMPLES].to_pylist()
    formats = (day + clock for day, clock in product(_DAYS, _CLOCKS))
    return next((f for f in formats if texts and all(_fits(text, f) for text in texts)), None)


def _fits(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)  # noqa: DTZ007  # only whether it can be read
    except ValueError:
        return False
    return True


def _identifier(name: str) -> str:
    """The name as SQL reads it: quoted where it is a keyword or not a plain word."""
    try:
        if check_expressions({f"{name}_": name}, (name,)) == {f"{name}_": {name}}:
            return name
    except ConfigError:
        pass
    return '"' + name.replace('"', '""') + '"'
