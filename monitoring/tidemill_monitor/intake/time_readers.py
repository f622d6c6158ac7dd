"""Reader of times."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.cells import decoded_type
from tidemill.oddities import Oddity
from tidemill.spelling import finer_than_micros, moments, whole_micros
from tidemill_monitor.intake.column_readers import (
    NONE,
    Faulty,
    Read,
    is_text,
    kind_of,
    search,
    wrong_type,
)
from tidemill_monitor.intake.row_faults import Fault

__all__ = ["TimeCells"]


class TimeCells:
    """Times, UTC; bounded where bounds are given.

    Parameters
    ----------
    name : str
    bounds : callable or None
        Gives the earliest and the latest time that is taken.
    """

    def __init__(
        self, name: str, bounds: Callable[[], tuple[dt.datetime, dt.datetime]] | None = None
    ) -> None:
        self.name, self._bounds = name, bounds

    def read(self, values: Sequence[Any]) -> Read:
        """ISO 8601 texts; without an offset they are UTC."""
        kinds = set(map(type, values))
        if kinds <= {NONE}:
            return pa.nulls(len(values), pa.timestamp("us")), []
        if kinds <= {str, NONE}:
            try:
                texts = pa.array(values, pa.string())
            except UnicodeEncodeError:
                pass  # a lone surrogate: say where
            else:
                return self._times(texts, [])

        def cell(value: Any) -> str:
            if type(value) is not str:
                raise Faulty("type", f"must be a time as text, not {kind_of(value)}")
            # Whatever is no ASCII is no time: nothing else need be said of it.
            return value if value.isascii() else ""

        found, faults = search(self.name, values, cell)
        return self._times(pa.array(found, pa.string()), faults)

    def _times(self, texts: Any, faults: list[Fault]) -> Read:
        times = moments(texts, pa.timestamp("us"), bounded=False)
        if times.null_count > texts.null_count:
            odd = pc.and_(pc.is_valid(texts), pc.is_null(times)).to_numpy(zero_copy_only=False)
            detail = "must be a time such as 2026-01-31T09:30:00Z"
            faults = [*faults, Fault(self.name, "time", detail, np.flatnonzero(odd))]
        array, more = self._within(times)
        return array, [*faults, *self._cut(finer_than_micros(texts)), *more]

    def read_arrow(self, values: Any) -> Read:
        """Timestamps of any unit and zone, dates, and the texts that JSON may send."""
        kind = values.type
        if pa.types.is_null(kind):
            return values.cast(pa.timestamp("us")), []
        if is_text(decoded_type(kind)):
            return self._times(_short_texts(values), [])
        if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
            return wrong_type(self.name, values, pa.timestamp("us"), "timestamps or texts of times")
        if pa.types.is_date(kind):
            values = values.cast(pa.timestamp("s" if pa.types.is_date32(kind) else "ms"))
        values, beyond = self._representable(values)
        if values.type.unit == "ns":
            times, finer = whole_micros(values)
            beyond = [*beyond, *self._cut(finer)]
        else:
            times = values.cast(pa.timestamp("us", values.type.tz)).cast(pa.timestamp("us"))
        array, faults = self._within(times)
        return array, [*beyond, *faults]

    def _cut(self, finer: Any) -> list[Fault]:
        """Digits beyond the microsecond are dropped: no reason to refuse a row, and counted."""
        if not pc.any(finer).as_py():
            return []
        rows = np.flatnonzero(pc.fill_null(finer, False).to_numpy(zero_copy_only=False))
        return [Fault(self.name, Oddity.CUT, "is cut after the microsecond", rows)]

    def _representable(self, values: Any) -> Read:
        """Coarser units reach further than microseconds do: null there."""
        scale = {"s": 1, "ms": 1_000}.get(values.type.unit)
        if scale is None:
            return values, []
        far = pc.greater(pc.abs(pc.divide(values.cast(pa.int64()), 2 * scale)), _FAR_SECONDS // 2)
        bad = pc.fill_null(far, False).to_numpy(zero_copy_only=False)
        if not bad.any():
            return values, []
        fault = Fault(self.name, "out_of_range", "must lie before the year 10000", bad.nonzero()[0])
        return pc.if_else(pa.array(bad), None, values), [fault]

    def _within(self, times: Any) -> Read:
        low, high = self._bounds() if self._bounds else (_FIRST, _LAST)
        micros = times.view(pa.int64())
        ends = pc.min_max(micros).as_py()
        if ends["min"] is None or (_micros(low) <= ends["min"] and ends["max"] <= _micros(high)):
            return times, []
        outside = pc.or_(pc.less(micros, _micros(low)), pc.greater(micros, _micros(high)))
        bad = pc.fill_null(outside, False).to_numpy(zero_copy_only=False)
        detail = f"must lie between {low:%Y-%m-%dT%H:%M:%SZ} and {high:%Y-%m-%dT%H:%M:%SZ}"
        fault = Fault(self.name, "out_of_range", detail, np.flatnonzero(bad))
        return pc.if_else(pa.array(bad), None, times), [fault]


def _short_texts(values: Any) -> Any:
    """Plain texts; what is too long for a time is none, before one of many rows is spelled out."""
    words = values.dictionary if pa.types.is_dictionary(values.type) else values
    words = pc.if_else(pc.greater(pc.binary_length(words), _LONGEST), "", words).cast(pa.string())
    return words.take(values.indices) if pa.types.is_dictionary(values.type) else words


_LONGEST = 64
_FAR_SECONDS = 253_402_300_800  # the year 10000
_FIRST = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
_LAST = dt.datetime.max.replace(tzinfo=dt.UTC)
_ORIGIN = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _micros(time: dt.datetime) -> int:
    return (time - _ORIGIN) // dt.timedelta(microseconds=1)
