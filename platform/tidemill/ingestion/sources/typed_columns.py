"""Columns whose type the source itself declares: one plain type, whatever their texts look like."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from tidemill.ingestion.sources.text_columns import Stated, column_of_texts
from tidemill.numbers import EXACT
from tidemill.schema import ColumnType, SourceColumn

__all__ = ["FLOAT32_HOLDS", "FLOAT64_DIGITS", "typed_column"]

FLOAT32_HOLDS = 2**24
"""Every whole number up to this."""
FLOAT64_DIGITS = 15
"""Every decimal number of so many."""

_STATED = {
    ColumnType.NUMERIC: "number",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.CATEGORICAL: "text",
    ColumnType.TEXT: "text",
    ColumnType.DATETIME: "datetime",
}


def typed_column(
    name: str,
    plain: str,
    stated: Stated,
    texts: pa.Array | None = None,
    *,
    narrow: bool = False,
    wide: bool = False,
    note: str = "",
) -> SourceColumn:
    """How a column is read that the source declares to be of a plain type.

    Parameters
    ----------
    plain : str
        text, integer, number, boolean, datetime or other.
    texts : (rows,) pyarrow.Array or None
        Some of its texts, where it holds such, or whole numbers that may be codes.
    narrow : bool
        Whether float32 holds its numbers, by their type.
    wide : bool
        Whether a whole number may be beyond what float32 holds.
    note : str
        What people should know of it; of ``other`` what it holds.
    """
    if plain == "other":
        return SourceColumn(name, plain, style=EXACT, note=note)
    if texts is not None and (plain == "text" or stated.type is None):
        found = column_of_texts(name, texts, stated, declared=plain == "text")
        return replace(found, wide=wide, note="; ".join(filter(None, [note, found.note])))
    if stated.type not in (None, ColumnType.IGNORED):
        whole = (stated.type, plain) == (ColumnType.NUMERIC, "integer")
        plain = "integer" if whole else _STATED[stated.type]
    style = "" if stated.type else EXACT
    return SourceColumn(name, plain, style=style, narrow=narrow, wide=wide, note=note)
