"""Row-wise expectations as kernels: picklable values that judge a batch without Great Expectations.

A kernel says for each row of a batch whether the row is *considered* (a missing value usually
is not) and whether it is *unexpected*. Bounds and sets are compared in the column's own type:
0.1 is within ``max_value=0.1`` whether the column is float32 or float64.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from tidemill.errors import first_few
from tidemill.ingestion.checks.batch_view import BatchView, Mask

__all__ = [
    "Between",
    "Equal",
    "Greater",
    "InSet",
    "Lengths",
    "Matches",
    "Missing",
    "Present",
    "RowCheck",
]


class RowCheck(Protocol):
    """What judges the rows of a batch."""

    def judge(self, view: BatchView) -> tuple[Mask | None, Mask]:
        """Return (considered, unexpected), each (rows,); None means all rows."""

    @property
    def reason(self) -> str:
        """What is wrong with an unexpected row."""


@dataclass(frozen=True, slots=True)
class Present:
    """The value is not missing.

    >>> import pyarrow as pa
    >>> Present("a").judge(BatchView(pa.table({"a": [1.0, None]})))[1]
    array([False,  True])
    """

    column: str

    def judge(self, view: BatchView) -> tuple[Mask | None, Mask]:
        """See :class:`RowCheck`."""
        return None, ~view.valid(self.column)

    @property
    def reason(self) -> str:
        """See :class:`RowCheck`."""
        return f"{self.column} is missing"


@dataclass(frozen=True, slots=True)
class Missing:
    """The value is missing."""

    column: str

    def judge(self, view: BatchView) -> tuple[Mask | None, Mask]:
        """See :class:`RowCheck`."""
        return None, view.valid(self.column)

    @property
    def reason(self) -> str:
        """See :class:`RowCheck`."""
        return f"{self.column} is not missing"


@dataclass(frozen=True, slots=True)
class Between:
    """The number or time lies between two bounds (times in microseconds since 1970).

    >>> import pyarrow as pa
    >>> Between("a", 0, 2, strict_high=True).judge(BatchView(pa.table({"a": [0, 2]})))[1]
    array([False,  True])
    """

    column: str
    low: float | int | None
    high: float | int | None
    strict_low: bool = False
    strict_high: bool = False
    shown: str = ""

    def judge(self, view: BatchView) -> tuple[Mask | None, Mask]:
        """See :class:`RowCheck`."""
        valid, values = view.valid(self.column), view.numbers(self.column)
        return valid, valid & _outside(values, self)

    @property
    def reason(self) -> str:
        """See :class:`RowCheck`."""
        return f"{self.column} is not {self.shown or _range(self)}"


@dataclass(frozen=True, slots=True)
class Lengths:
    """The text's number of characters lies between two bounds."""

    column: str
    low: float | int | None
    high: float | int | None
    strict_low: bool = False
    strict_high: bool = False

    def judge(self, view: BatchView) -> tuple[Mask | None, Mask]:
        """See :class:`RowCheck`."""
        codes, texts = view.texts(self.column)
        lengths = np.fromiter((len(text) for text in texts), np.int64, len(texts))
        return _by_text(codes, _outside(lengths, self))

    @property
    def reason(self) -> str:
        """See :class:`RowCheck`."""
        return f"the length of {self.column} is not {_range(self)}"


@dataclass(frozen=True, slots=True)
class InSet:
    """The value is one of a set, or (``negate``) none of it."""

    column: str
    values: tuple[Any, ...]
    textual: bool
    negate: bool = False

    def judge(self, view: BatchView) -> tuple[Mask | None, Mask]:
        """See :class:`RowCheck`."""
        wanted = set(self.values)
        if self.textual:
            codes, texts = view.texts(self.column)
            found = np.fromiter((text in wanted for text in texts), np.bool_, len(texts))
            return _by_text(codes, found if self.negate else ~found)
        valid, values = view.valid(self.column), view.numbers(self.column)
        numbers = [v for v in self.values if isinstance(v, (bool, int, float))]
        inside = np.isin(values, np.asarray(numbers, np.float64).astype(values.dtype))
        return valid, valid & (inside if self.negate else ~inside)

    @property
    def reason(self) -> str:
        """See :class:`RowCheck`."""
        shown = ", ".join(repr(v) for v in self.values[:5])
        more = ", ..." if len(self.values) > 5 else ""
        return f"{self.column} is {'' if self.negate else 'not '}one of {shown}{more}"


@dataclass(frozen=True, slots=True)
class Matches:
    """The text holds a match of any (or ``every``) pattern, or (``negate``) of none."""

    column: str
    patterns: tuple[str, ...]
    every: bool = False
    negate: bool = False

    def judge(self, view: BatchView) -> tuple[Mask | None, Mask]:
        """See :class:`RowCheck`."""
        codes, texts = view.texts(self.column)
        compiled = [re.compile(pattern) for pattern in self.patterns]
        join = all if self.every else any
        found = np.fromiter(
            (join(p.search(text) is not None for p in compiled) for text in texts),
            np.bool_,
            len(texts),
        )
        return _by_text(codes, found if self.negate else ~found)

    @property
    def reason(self) -> str:
        """See :class:`RowCheck`."""
        shown = first_few(map(repr, self.patterns), 3, between=" or ")
        return f"{self.column} {'matches' if self.negate else 'does not match'} {shown}"


@dataclass(frozen=True, slots=True)
class Greater:
    """The value of ``a`` is greater than (or ``or_equal``) that of ``b``."""

    a: str
    b: str
    or_equal: bool
    ignore: str

    def judge(self, view: BatchView) -> tuple[Mask | None, Mask]:
        """See :class:`RowCheck`."""
        left, right = view.numbers(self.a), view.numbers(self.b)
        holds = left >= right if self.or_equal else left > right
        return _pair(view, self.a, self.b, holds, self.ignore)

    @property
    def reason(self) -> str:
        """See :class:`RowCheck`."""
        return f"{self.a} is not greater than {'or equal to ' if self.or_equal else ''}{self.b}"


@dataclass(frozen=True, slots=True)
class Equal:
    """The values of ``a`` and ``b`` are equal."""

    a: str
    b: str
    textual: bool
    ignore: str

    def judge(self, view: BatchView) -> tuple[Mask | None, Mask]:
        """See :class:`RowCheck`."""
        if self.textual:
            left, right = (view.array(c).cast("string") for c in (self.a, self.b))
            holds = pc.equal(left, right).fill_null(False).to_numpy(zero_copy_only=False)
        else:
            holds = view.numbers(self.a) == view.numbers(self.b)
        return _pair(view, self.a, self.b, holds, self.ignore)

    @property
    def reason(self) -> str:
        """See :class:`RowCheck`."""
        return f"{self.a} is not equal to {self.b}"


def _outside(values: npt.NDArray[Any], bounds: Between | Lengths) -> Mask:
    outside = np.zeros(len(values), np.bool_)
    if bounds.low is not None:
        low = _bound(bounds.low, values.dtype)
        outside |= values <= low if bounds.strict_low else values < low
    if bounds.high is not None:
        high = _bound(bounds.high, values.dtype)
        outside |= values >= high if bounds.strict_high else values > high
    return outside


def _bound(bound: float | int, dtype: np.dtype[Any]) -> Any:
    if dtype == np.float32:
        with np.errstate(over="ignore"):  # beyond float32's range everything is within
            return np.float32(bound)
    return bound if isinstance(bound, int) or dtype.kind == "f" else np.float64(bound)


def _by_text(codes: npt.NDArray[np.int32], bad: Mask) -> tuple[Mask, Mask]:
    # One entry more, which code -1 (no value) picks.
    return codes >= 0, np.append(bad, False)[codes]


def _pair(view: BatchView, a: str, b: str, holds: Mask, ignore: str) -> tuple[Mask | None, Mask]:
    left, right = view.valid(a), view.valid(b)
    unexpected = ~(holds & left & right)
    if ignore == "neither":
        return None, unexpected
    considered = left | right if ignore == "both_values_are_missing" else left & right
    return considered, considered & unexpected


def _range(bounds: Between | Lengths) -> str:
    if bounds.low is None:
        return f"{'below' if bounds.strict_high else 'at most'} {bounds.high:g}"
    if bounds.high is None:
        return f"{'above' if bounds.strict_low else 'at least'} {bounds.low:g}"
    return f"between {bounds.low:g} and {bounds.high:g}"
