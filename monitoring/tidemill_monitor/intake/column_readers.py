"""What the readers of columns share: their contract, and the search value by value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from tidemill_monitor.intake.row_faults import Fault

__all__ = ["NONE", "Faulty", "FieldReader", "Read", "is_text", "kind_of", "search", "wrong_type"]

NONE = type(None)

Read = tuple[Any, list[Fault]]  # (pyarrow.Array, faults): pyarrow ships no types


class FieldReader(Protocol):
    """Reads the values of one field; faulty ones become null."""

    name: str

    def read(self, values: Sequence[Any]) -> Read:
        """Python values to an array of the field's type, and what is wrong with which."""

    def read_arrow(self, values: Any) -> Read:
        """An Arrow array (validated) to one of the field's type, and what is wrong."""


class Faulty(Exception):
    """What is wrong with one value."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


def search(
    name: str, values: Sequence[Any], cell: Callable[[Any], Any]
) -> tuple[list[Any], list[Fault]]:
    """Value by value: what ``cell`` makes of each (null stays null), and the faults."""
    found: list[Any] = []
    rows: dict[tuple[str, str], list[int]] = {}
    for row, value in enumerate(values):
        try:
            found.append(None if value is None else cell(value))
        except Faulty as fault:
            found.append(None)
            rows.setdefault((fault.code, fault.detail), []).append(row)
    faults = [
        Fault(name, code, detail, np.array(where, np.int64))
        for (code, detail), where in rows.items()
    ]
    return found, faults


def wrong_type(name: str, values: Any, kind: Any, wanted: str) -> Read:
    """Nulls of ``kind``, and one fault over all rows: the Arrow column is of another type."""
    rows = np.arange(len(values), dtype=np.int64)
    fault = Fault(name, "type", f"the column must hold {wanted}, not {values.type}"[:200], rows)
    return pa.nulls(len(values), kind), [fault]


def is_text(kind: Any) -> bool:
    """Whether an Arrow type holds texts, a dictionary of them aside."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean"}
    return names.get(type(value), "a number")
