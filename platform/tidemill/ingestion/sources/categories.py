"""Texts as categories: whether they repeat, and which differ in no more than blanks around them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import ConfigError
from tidemill.ingestion.sources.derived_columns import Deriver, sql_name
from tidemill.spelling import missing_of

__all__ = ["hardly_repeat", "said_of_blanks"]

_MIN_FREE_TEXTS, _MAX_DISTINCT_SHARE = 20, 0.5
_TRIMMED = ("trim({})", r"regexp_replace({}, '^\s+|\s+$', '', 'g')")


def hardly_repeat(different: int, present: int) -> bool:
    """Whether so many texts, so many of them different, are free text and no categories.

    >>> [hardly_repeat(20, 20), hardly_repeat(21, 40), hardly_repeat(50, 100)]
    [False, True, False]
    """
    return different > max(_MIN_FREE_TEXTS, _MAX_DISTINCT_SHARE * present)


def said_of_blanks(name: str, texts: pa.Array, missing_values: Collection[str]) -> str:
    """How many cells have blanks around a text that others have without; empty if none has.

    It is said, too, if all have them. Of texts that hardly repeat nothing is said: nothing is
    learnt from them.

    Parameters
    ----------
    texts : (rows,) pyarrow.Array of string, or of a dictionary of strings

    >>> said_of_blanks("c", pa.array(["red", "red ", "blue", " blue"]), ()).partition(":")[0]
    "2 cells differ from others only in blanks around them ('red ' is not 'red')"
    >>> said_of_blanks("c", pa.array(["red ", "blue", "NA", "NA "]), ("NA",))
    ''
    """
    counted = texts.cast(pa.string()).value_counts()
    words, counts = counted.field("values"), counted.field("counts")
    present = pc.invert(pc.fill_null(missing_of(words, {*missing_values, ""}), True))
    words, counts = words.filter(present), counts.filter(present)
    if hardly_repeat(len(words), pc.sum(counts).as_py() or 0):
        return ""
    plain = pc.utf8_trim_whitespace(words)
    padded = pc.not_equal(words, plain)
    if not pc.any(padded).as_py():
        return ""
    if pc.all(padded).as_py() and len(words) > 1:
        kept = f"all texts have blanks around them, which are kept (such as {words[0].as_py()!r})"
        return kept + _remedy(name, words)
    times = plain.value_counts()
    shared = times.field("values").filter(pc.greater(times.field("counts"), 1))
    other = pc.and_(padded, pc.is_in(plain, value_set=shared))
    cells = pc.sum(counts.filter(other)).as_py()
    if not cells:
        return ""
    some = words.filter(other)
    first = some[0].as_py()
    return (
        f"{cells:,} cells differ from others only in blanks around them ({first!r} is not "
        f"{first.strip()!r}){_remedy(name, words)}"
    )


def _remedy(name: str, words: pa.Array) -> str:
    """Lines for params.yaml that were tried on the words."""
    new = "_".join([*re.findall(r"\w+", name), "trimmed"])
    wanted = pc.utf8_trim_whitespace(words)
    for way in _TRIMMED:
        expression = way.format(sql_name(name))
        try:
            found = Deriver({new: expression}).columns(pa.table({name: words}))[new]
        except ConfigError:
            continue
        if found.equals(wanted):
            derive = json.dumps({new: expression}, ensure_ascii=False)
            drop = json.dumps([name], ensure_ascii=False)
            return f": dataset.derive: {derive} and dataset.drop: {drop} take them away"
    return ""
