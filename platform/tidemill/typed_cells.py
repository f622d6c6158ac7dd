"""Typed Arrow arrays as numbers and moments: what no text has a say in."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.cells import Cells, faults_at, narrowed
from tidemill.numbers import inexact, numbers_of
from tidemill.spelling import FIRST_MICROS, LARGEST_WHOLE, LAST_MICROS, whole_micros

__all__ = ["any_beyond", "floats_of", "moments_of"]

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def floats_of(values: pa.Array, wanted: pa.DataType, *, exact: bool) -> Cells:
    """Numbers, booleans, times and durations as floats; infinities are faults.

    Parameters
    ----------
    values : (n,) pyarrow.Array
        Times are seconds since 1970, durations are seconds.
    wanted : pyarrow.DataType
        float32 or float64.
    exact : bool
        Whether a whole number that float64 does not hold is a fault; else the nearest is taken,
        and counted.
    """
    kind = values.type
    held = wanted if pa.types.is_float32(kind) or pa.types.is_float16(kind) else pa.float64()
    if pa.types.is_temporal(kind):
        return narrowed(_to_seconds(values), values, wanted)
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    if pa.types.is_decimal(kind):  # Arrow's own cast is not to the nearest number
        numbers = numbers_of(values.cast(pa.string()))
    else:
        numbers = values.cast(held, safe=False)
    infinite = pc.is_inf(numbers)
    faults, cut = faults_at(values, infinite), 0
    if pc.all(pc.is_finite(numbers), skip_nulls=True).as_py() is False:
        numbers = pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, held))
    if (pa.types.is_integer(kind) or pa.types.is_decimal(kind)) and any_beyond(numbers):
        lost = pa.array(inexact(values.cast(pa.string()), numbers))
        if exact:
            faults = faults_at(values, lost)
            numbers = pc.if_else(lost, pa.scalar(None, pa.float64()), numbers)
        elif pa.types.is_float64(wanted):
            cut = pc.sum(lost).as_py() or 0
    return narrowed(Cells(numbers, faults, cut=cut), values, wanted)


def _to_seconds(values: pa.Array) -> Cells:
    """Durations, and times since 1970."""
    if pa.types.is_duration(values.type):
        counted, per_second = values.cast(pa.int64()), _PER_SECOND[values.type.unit]
        return Cells(pc.divide(counted.cast(pa.float64(), safe=False), float(per_second)))
    moments = moments_of(values, pa.timestamp("us"))
    micros = moments.values.cast(pa.int64()).cast(pa.float64(), safe=False)
    return Cells(pc.divide(micros, 1e6), moments.faults, cut=moments.cut)


def moments_of(values: pa.Array, wanted: pa.DataType) -> Cells:
    """Times and dates as ``wanted``, a timestamp; outside the years 1 to 9999 they are faults."""
    kind = values.type
    if pa.types.is_date(kind):
        values = values.cast(pa.timestamp("s" if pa.types.is_date32(kind) else "ms"))
    unit = values.type.unit
    counted = values.cast(pa.timestamp(unit, values.type.tz)).cast(pa.int64())
    scale, micros = _PER_SECOND[unit], 10**6
    low, high = FIRST_MICROS * scale // micros, LAST_MICROS * scale // micros
    outside = pc.or_(
        pc.less(counted, max(low, -(2**63))), pc.greater(counted, min(high, 2**63 - 1))
    )
    faults = None
    if pc.any(outside).as_py():
        shown = pc.binary_join_element_wise(counted.cast(pa.string()), f" {unit} since 1970", "")
        faults = faults_at(shown, outside)
        counted = pc.if_else(outside, pa.scalar(None, pa.int64()), counted)
    times, cut = counted.cast(pa.timestamp(unit)), 0
    if unit == "ns":
        times, finer = whole_micros(times)
        cut = pc.sum(finer).as_py() or 0
    return Cells(times.cast(wanted, safe=False), faults, cut=cut)


def any_beyond(numbers: pa.Array) -> bool:
    """Whether there is a number of which float64 does not hold every next whole one."""
    largest = pc.max(pc.abs(numbers)).as_py()
    return largest is not None and largest >= LARGEST_WHOLE
