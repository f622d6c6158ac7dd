"""What is wrong with which rows, said once for each kind of fault."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.oddities import Oddity
from tidemill_monitor.problems import Problem

__all__ = [
    "MAX_REPORTED",
    "Fault",
    "Refused",
    "RowError",
    "Rows",
    "Sorted",
    "good_rows",
    "list_errors",
    "merged_intake",
    "require_rows",
]

MAX_REPORTED = 1000
"""Errors that an answer lists; it counts all."""

Rows = npt.NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault of one field.

    Parameters
    ----------
    field : str
        Empty for the row as a whole.
    code : str
        ``missing``, ``extra``, ``twice``, ``type``, ``not_finite``, ``out_of_range``, ``text``,
        ``time``, ``unknown_class``, ``unknown_version``, ``json``, ``conflict``; ``rounded`` and
        ``cut`` of values that are taken, as the model's type holds them.
    detail : str
        For people; never the value that was sent.
    rows : (n,) int64
        0-based, as they were sent.
    """

    field: str
    code: str
    detail: str
    rows: Rows

    @property
    def alters(self) -> bool:
        """Whether the value was taken, though not as it came: no reason to refuse its row."""
        return self.code in (Oddity.ROUNDED, Oddity.CUT)

    def at(self, positions: Rows) -> Fault:
        """The same fault where ``rows`` counted positions of a subset."""
        return Fault(self.field, self.code, self.detail, positions[self.rows])


@dataclass(frozen=True, slots=True)
class RowError:
    """One fault of one row, as an answer lists it."""

    row: int
    field: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Refused:
    """What the window's intake figures need to know of rows that were not taken.

    Parameters
    ----------
    rows_sent, rows_refused : int
        Equal: rows that were taken are counted where they are folded.
    reasons : dict of (field, code) to int
        Rows with each fault.
    at : datetime
        Arrival.
    model_version : int
    """

    rows_sent: int
    rows_refused: int
    reasons: dict[tuple[str, str], int]
    at: dt.datetime
    model_version: int

    def to_bytes(self) -> bytes:
        """JSON, as the ledger keeps it beside the batch."""
        document = {
            "rows_sent": self.rows_sent,
            "rows_refused": self.rows_refused,
            "reasons": [[name, code, rows] for (name, code), rows in sorted(self.reasons.items())],
            "at": self.at.isoformat(),
            "model_version": self.model_version,
        }
        return json.dumps(document).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Refused:
        """Read what :meth:`to_bytes` wrote."""
        document = json.loads(content)
        return cls(
            document["rows_sent"],
            document["rows_refused"],
            {(name, code): rows for name, code, rows in document["reasons"]},
            dt.datetime.fromisoformat(document["at"]),
            document["model_version"],
        )


@dataclass(slots=True)
class Sorted:
    """The rows of a request: the good ones as a table, the others as faults.

    Parameters
    ----------
    rows : int
        Sent.
    table : pyarrow.Table
        Good rows.
    positions : (table.num_rows,) int64
        Where each was in the request.
    faults : list of Fault
        Of the other rows.
    altered : list of Fault
        Values of good rows that are not in the table as they came.
    """

    rows: int
    table: pa.Table
    positions: Rows
    faults: list[Fault] = field(default_factory=list)
    altered: list[Fault] = field(default_factory=list)

    @property
    def refused(self) -> int:
        """Rows that were not taken."""
        return self.rows - len(self.positions)

    @property
    def faults_total(self) -> int:
        """Faults over all rows and fields."""
        return sum(len(fault.rows) for fault in self.faults)

    def errors(self, limit: int = MAX_REPORTED) -> list[RowError]:
        """The first ``limit`` faults, by row."""
        return list_errors(self.faults, limit)

    def alterations(self) -> list[dict[str, Any]]:
        """For the answer: ``field``, ``code`` and in how many ``rows``."""
        return [
            {"field": found.field, "code": found.code, "rows": len(found.rows)}
            for found in self.altered
        ]

    def to_refused(self, at: dt.datetime, model_version: int) -> Refused | None:
        """For the window's intake figures; None if every row was taken."""
        if not self.refused:
            return None
        reasons: dict[tuple[str, str], int] = {}
        for fault in self.faults:
            key = (fault.field, fault.code)
            reasons[key] = reasons.get(key, 0) + len(fault.rows)
        return Refused(self.refused, self.refused, reasons, at, model_version)


def list_errors(faults: Iterable[Fault], limit: int = MAX_REPORTED) -> list[RowError]:
    """The first ``limit`` faults, by row; time and memory of what is listed."""
    found = [
        RowError(row, fault.field, fault.code, fault.detail)
        for fault in faults
        for row in np.sort(fault.rows)[:limit].tolist()
    ]
    return sorted(found, key=lambda error: error.row)[:limit]


def good_rows(rows: int, faults: Sequence[Fault]) -> Rows:
    """Numbers of the rows without any fault."""
    good = np.ones(rows, np.bool_)
    for fault in faults:
        good[fault.rows] = False
    return np.flatnonzero(good)


def merged_intake(requests: Sequence[Sorted], at: dt.datetime, version: int) -> bytes | None:
    """What the ledger keeps of the refused rows of requests that are stored together."""
    found = [one for own in requests if (one := own.to_refused(at, version)) is not None]
    if not found:
        return None
    reasons: dict[tuple[str, str], int] = {}
    for one in found:
        for key, rows in one.reasons.items():
            reasons[key] = reasons.get(key, 0) + rows
    total = sum(one.rows_refused for one in found)
    return Refused(total, total, reasons, at, version).to_bytes()


def require_rows(found: T, rows: int) -> T:
    """Return ``found``, or answer 422 if a request has no row at all."""
    if not rows:
        raise Problem(422, "NoRows", "No rows", "the request holds no row")
    return found
