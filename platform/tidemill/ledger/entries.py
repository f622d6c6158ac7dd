"""What goes into the ledger and what it answers: plain values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = [
    "BatchNote",
    "EventBatch",
    "EventReceipt",
    "Folding",
    "LabelBatch",
    "LabelPart",
    "LabelReceipt",
    "LeftOut",
    "Request",
    "Stretch",
    "Totals",
    "WindowKey",
    "WindowPart",
]


@dataclass(frozen=True, slots=True)
class Request:
    """An Idempotency-Key: the same key and body again gets the first answer again.

    Parameters
    ----------
    scope : str
        Who asks for what; keys of different scopes do not meet.
    key : str
    digest : bytes
        Of the request's body.
    answer : bytes
        Opaque; given back when the request is repeated.
    """

    scope: str
    key: str
    digest: bytes
    answer: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class EventBatch:
    """Rows that a model predicted.

    Parameters
    ----------
    table : Table
        ``event_id`` (string) and ``at`` (timestamp[us]), both without nulls; then whatever
        was predicted from and with.
    model_version : int
    outcomes : tuple of str
        Columns that labels are compared with; stored apart from the features.
    intake : bytes, optional
        What the request said besides its good rows; given to the folding.
    request : Request, optional
    """

    table: pa.Table
    model_version: int
    outcomes: tuple[str, ...] = ("prediction",)
    intake: bytes | None = None
    request: Request | None = None


@dataclass(frozen=True, slots=True)
class EventReceipt:
    """What became of an :class:`EventBatch`.

    Parameters
    ----------
    accepted : int
    duplicates : tuple of int
        Row numbers in the table of ids that are known; they are not stored again.
    first_seq : int or None
        Number of the first accepted row among all rows; the others follow.
    replayed : bool
        The answer to an earlier, equal request.
    answer : bytes
    """

    accepted: int
    duplicates: tuple[int, ...]
    first_seq: int | None
    replayed: bool = False
    answer: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class LabelBatch:
    """What turned out to be true.

    Parameters
    ----------
    table : Table
        ``event_id`` (string), ``truth`` (string, or float64 for regression), both without
        nulls, and optionally ``at`` (timestamp[us]).
    request : Request, optional
    """

    table: pa.Table
    request: Request | None = None


@dataclass(frozen=True, slots=True)
class LabelReceipt:
    """What became of a :class:`LabelBatch`; tuples hold row numbers in its table.

    Parameters
    ----------
    matched : int
        Labels that found their event.
    pending : int
        Labels whose event has not come yet; kept.
    repeated : int
        Labels that were known; no effect.
    conflicts : tuple of int
        Another truth is known; it stays.
    expired : tuple of int
        The event was there and was pruned.
    refused : tuple of int
        Too many labels wait for their events already.
    """

    matched: int
    pending: int
    repeated: int
    conflicts: tuple[int, ...] = ()
    expired: tuple[int, ...] = ()
    refused: tuple[int, ...] = ()
    replayed: bool = False
    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class WindowKey:
    """Names a window.

    Parameters
    ----------
    model_version : int
    sequence : int
        Its number in time or in order of arrival.
    segment : str
        "" for all rows, else for example ``zone=airport``.
    """

    model_version: int
    sequence: int
    segment: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class WindowPart:
    """The partials of some rows of one window; the bytes are the caller's.

    Parameters
    ----------
    key : WindowKey
    start, end : datetime
    rows : int
    profile, outputs, intake : bytes, optional
    positions : (int, int), optional
        Half-open range of positions, for windows by count.
    members : (rows,) int64, optional
        Positions of its rows, so that the store can tell which of them came too late; of the
        whole traffic only.
    """

    key: WindowKey
    start: dt.datetime
    end: dt.datetime
    rows: int
    profile: bytes | None = None
    outputs: bytes | None = None
    intake: bytes | None = None
    positions: tuple[int, int] | None = None
    members: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LabelPart:
    """The partial figures of some labelled rows of one window.

    Parameters
    ----------
    key : WindowKey
    rows : int
    figures : bytes or None
        None where nothing is known of the version that predicted them.
    unmeasured : int
        Those of the rows that should have been measured and could not be.
    """

    key: WindowKey
    rows: int
    figures: bytes | None
    unmeasured: int = 0


@dataclass(frozen=True, slots=True)
class BatchNote:
    """One request within a :class:`Stretch`.

    Parameters
    ----------
    received_at : datetime
    position : int
        Of its first accepted row.
    rows, duplicates : int
    intake : bytes, optional
    repeats : (duplicates,) int64, optional
        Numbers (``seq``) of the events that were sent again; None where they are not known.
    """

    received_at: dt.datetime
    position: int
    rows: int
    duplicates: int
    intake: bytes | None
    repeats: npt.NDArray[np.int64] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Consecutive rows of one model version and one schema, to be folded at once.

    Parameters
    ----------
    table : Table
        The rows, with a column ``position`` (int64): their number among the version's rows.
    model_version : int
    notes : tuple of BatchNote
    repeated : tuple of tuple of (int, Table)
        For each note the stored events that it sent again: by model version their ``at`` and
        ``position``.
    """

    table: pa.Table
    model_version: int
    notes: tuple[BatchNote, ...]
    repeated: tuple[tuple[tuple[int, pa.Table], ...], ...] = ()


class Folding(Protocol):
    """How rows become partials: pure functions, called by one thread at a time."""

    def events(self, stretch: Stretch) -> Sequence[WindowPart]:
        """The partials of the windows that the rows belong to."""

    def labels(self, table: pa.Table, model_version: int) -> Sequence[LabelPart]:
        """The partial figures of labelled rows: outcome columns, ``position``, ``truth``."""

    def merge(self, field: str, parts: Sequence[bytes]) -> bytes:
        """One partial of several; ``field`` is profile, outputs, intake or figures."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What is durable and could not be folded, ever.

    Parameters
    ----------
    rows : int
        Events that are in no window.
    labels : int
        Labels of known events that are in no window's figures.
    late_labels : int
        Labels of events that came after their window was closed: nothing is wrong with them.
    """

    rows: int
    labels: int
    late_labels: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """How much came in.

    Parameters
    ----------
    rows : int
        Ever, over all model versions.
    rows_last_hour, rows_last_minute : int
    last_received_at : datetime or None
    by_version : dict of int to int
    """

    rows: int
    rows_last_hour: int
    rows_last_minute: int
    last_received_at: dt.datetime | None
    by_version: dict[int, int]
