"""Readers of numbers and flags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.oddities import Oddity
from tidemill.spelling import LARGEST_WHOLE, fits_float32
from tidemill_monitor.intake.column_readers import NONE, Faulty, Read, kind_of, search, wrong_type
from tidemill_monitor.intake.row_faults import Fault

__all__ = ["FlagCells", "NumberCells", "WholeCells"]

_FLOAT32 = float(np.finfo(np.float32).max)


class NumberCells:
    """Finite floating-point numbers; in Arrow NaN is a missing value, as everywhere in tidemill.

    Parameters
    ----------
    name : str
    kind : pyarrow.DataType
    within : (float, float, str) or None
        The least and the largest number that is taken, and how that is said; None: what the
        type holds.
    exact : bool
        Whether a whole number that float64 does not hold is refused, as in a file of such rows;
        else the nearest is taken, and told.
    """

    def __init__(
        self,
        name: str,
        kind: Any,
        within: tuple[float, float, str] | None = None,
        *,
        exact: bool = False,
    ) -> None:
        self.name, self.kind, self._exact = name, kind, exact
        self._narrow = bool(pa.types.is_float32(kind))
        if within is None and self._narrow:
            within = (-_FLOAT32, _FLOAT32, "must lie within ±3.4e38")
        self._within = within

    def read(self, values: Sequence[Any]) -> Read:
        """Numbers and nulls; a boolean is no number."""
        kinds = set(map(type, values))
        if kinds <= {NONE}:
            return pa.nulls(len(values), self.kind), []
        if kinds <= {int, float, NONE}:
            try:
                numbers = np.array(values, np.float64)
            except OverflowError:  # a whole number beyond 1.8e308
                return self._search(values)
            odd = ~np.isfinite(numbers)
            lost = _lost(numbers, values) if int in kinds else None
            if NONE not in kinds and not odd.any():
                return self._bounded(numbers, None, lost)
            if all(values[i] is None for i in np.flatnonzero(odd).tolist()):
                return self._bounded(numbers, odd, lost)
        return self._search(values)

    def read_arrow(self, values: Any) -> Read:
        """Any width of integers and floats."""
        kind = values.type
        if pa.types.is_null(kind):
            return values.cast(self.kind), []
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return wrong_type(self.name, values, self.kind, "numbers")
        numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        missing = np.isnan(numbers)
        infinite = np.isinf(numbers)
        if not infinite.any():
            lost = _lost(numbers, values) if pa.types.is_integer(kind) else None
            return self._bounded(numbers, missing, lost)
        array, faults = self._bounded(np.where(infinite, np.nan, numbers), missing | infinite)
        return array, [*faults, _not_finite(self.name, infinite)]

    def _bounded(
        self,
        numbers: npt.NDArray[np.float64],
        missing: npt.NDArray[np.bool_] | None,
        lost: npt.NDArray[np.bool_] | None = None,
    ) -> Read:
        """``lost``: which were whole numbers that float64 does not hold."""
        faults: list[Fault] = []
        for bad, detail in self._refused(numbers, lost):
            faults.append(Fault(self.name, "out_of_range", detail, np.flatnonzero(bad)))
            missing = bad if missing is None else missing | bad
            numbers = np.where(bad, 0.0, numbers)
            lost = None if lost is None else lost & ~bad
        if self._narrow:
            lost = _rounded(numbers) if lost is None else lost | _rounded(numbers)
            numbers = numbers.astype(np.float32)
        if lost is not None and lost.any():
            # No reason to refuse a row: it is answered, and counted beside the refused ones.
            detail = f"is rounded to what {self.kind} holds"
            faults.append(Fault(self.name, Oddity.ROUNDED, detail, np.flatnonzero(lost)))
        return pa.array(numbers, self.kind, mask=missing), faults

    def _refused(
        self, numbers: npt.NDArray[np.float64], lost: npt.NDArray[np.bool_] | None
    ) -> Iterator[tuple[npt.NDArray[np.bool_], str]]:
        if self._within is not None:
            low, high, detail = self._within
            beyond = (numbers < low) | (numbers > high)
            if beyond.any():
                yield beyond, detail
        if self._exact and lost is not None and lost.any():
            yield lost, "must be a number that float64 holds"

    def _search(self, values: Sequence[Any]) -> Read:
        def cell(value: Any) -> float:
            if type(value) not in (int, float):
                raise Faulty("type", f"must be a number, not {kind_of(value)}")
            try:
                number = float(value)
            except OverflowError:
                raise Faulty("out_of_range", "must lie within ±1.8e308") from None
            if not np.isfinite(number):
                raise Faulty("not_finite", "must be finite")
            return number

        found, faults = search(self.name, values, cell)
        numbers = np.array(found, np.float64)
        lost = _lost(numbers, values)
        array, beyond = self._bounded(numbers, np.isnan(numbers), lost)
        return array, [*faults, *beyond]


class WholeCells:
    """Whole numbers of 64 bits."""

    def __init__(self, name: str, kind: Any) -> None:
        self.name, self.kind = name, kind

    def read(self, values: Sequence[Any]) -> Read:
        """Whole numbers, also written as 3.0."""
        if set(map(type, values)) <= {int, NONE}:
            try:
                return pa.array(values, self.kind), []
            except (pa.ArrowInvalid, OverflowError):
                pass  # one is too large: say which

        def cell(value: Any) -> int:
            if type(value) is float and value.is_integer():
                # JSON parsers give floats for whole numbers beyond 64 bits.
                value = int(value) if abs(value) <= LARGEST_WHOLE else 2**63
            if type(value) is not int:
                raise Faulty("type", f"must be a whole number, not {kind_of(value)}")
            if not -(2**63) <= value < 2**63:
                raise Faulty("out_of_range", "must fit into 64 bits")
            return value

        found, faults = search(self.name, values, cell)
        return pa.array(found, self.kind), faults

    def read_arrow(self, values: Any) -> Read:
        """Any width of integers."""
        if pa.types.is_null(values.type):
            return values.cast(self.kind), []
        if not pa.types.is_integer(values.type):
            return wrong_type(self.name, values, self.kind, "whole numbers")
        if pa.types.is_uint64(values.type):
            beyond = pc.fill_null(pc.greater(values, pa.scalar(2**63 - 1, pa.uint64())), False)
            bad = np.flatnonzero(beyond.to_numpy(zero_copy_only=False))
            if len(bad):
                fault = Fault(self.name, "out_of_range", "must fit into 64 bits", bad)
                return pc.if_else(beyond, None, values).cast(self.kind), [fault]
        return values.cast(self.kind, safe=False), []


class FlagCells:
    """Cells of a column of booleans."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, values: Sequence[Any]) -> Read:
        """Of JSON: true, false or null; 0, 1 and texts are faults."""
        if set(map(type, values)) <= {bool, NONE}:
            return pa.array(values, pa.bool_()), []

        def cell(value: Any) -> bool:
            if type(value) is not bool:
                raise Faulty("type", f"must be true or false, not {kind_of(value)}")
            return value

        found, faults = search(self.name, values, cell)
        return pa.array(found, pa.bool_()), faults

    def read_arrow(self, values: Any) -> Read:
        """Of Arrow: a boolean column, or one of nulls; any other type is a fault."""
        if pa.types.is_null(values.type) or pa.types.is_boolean(values.type):
            return values.cast(pa.bool_()), []
        return wrong_type(self.name, values, pa.bool_(), "booleans")


def _rounded(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which float32 alters; exactly a float32 stays it, however many digits its float64 has."""
    rounded: npt.NDArray[np.bool_] = (numbers.astype(np.float32) != numbers) & ~np.isnan(numbers)
    where = np.flatnonzero(rounded)
    if len(where):
        rounded[where] = ~fits_float32(numbers[where])
    return rounded


def _lost(numbers: npt.NDArray[np.float64], values: Any) -> npt.NDArray[np.bool_] | None:
    """Which whole numbers float64 does not hold, of a list or an Arrow array; None for none."""
    large = np.flatnonzero(np.abs(numbers) >= LARGEST_WHOLE).tolist()
    if not large:
        return None
    lost = np.zeros(len(numbers), np.bool_)
    for row in large:
        value = values[row].as_py() if isinstance(values, pa.Array) else values[row]
        lost[row] = type(value) is int and int(numbers[row]) != value
    return lost


def _not_finite(name: str, where: npt.NDArray[np.bool_]) -> Fault:
    return Fault(name, "not_finite", "must be finite", np.flatnonzero(where))
