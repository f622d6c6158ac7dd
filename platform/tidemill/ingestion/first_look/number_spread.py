"""What the numbers of a sample say of their columns: where to cut histograms, what holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.alike import alike
from tidemill.spelling import fits_float32

__all__ = ["Spread", "numbers_of_column", "present_numbers", "spreads_of"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spread:
    """Of numbers, or of times in seconds since 1970; empty of other kinds.

    Parameters
    ----------
    edges : tuple of float
        Inner edges between quantiles; they separate values that differ.
    narrow : bool
        Whether float32 holds every value.
    """

    edges: tuple[float, ...] = ()
    narrow: bool = True


def spreads_of(columns: Mapping[str, pa.Array], most: Mapping[str, int]) -> dict[str, Spread]:
    """The spread of each column, with ``most`` edges at most.

    Columns without gaps are looked at together. Memory: some 65,536 numbers at a time.

    >>> columns = {"a": pa.array([1.0, 2.0, 4.0]), "b": pa.array(["x", "y", "z"])}
    >>> spreads_of(columns, {"a": 1, "b": 1})
    {'a': Spread(edges=(2.0,), narrow=True), 'b': Spread(edges=(), narrow=True)}
    """
    keyed = {
        name: ((most[name], values.null_count == 0), values)
        for name, values in columns.items()
        if len(values) and (pa.types.is_floating(values.type) or _is_counted(values.type))
    }
    found = dict.fromkeys(columns, Spread())
    for (edges, whole), group in alike(keyed):
        numbers = numbers_of_column(group.cells) if whole else None
        if numbers is not None:
            found |= zip(group.names, _spreads(group.matrix(numbers), edges), strict=True)
            continue
        for name in group.names:
            present = numbers_of_column(columns[name])
            if present is not None and len(present):
                found |= zip([name], _spreads(present[None], edges), strict=True)
    return found


def _is_counted(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_timestamp(kind))


def _spreads(numbers: Floats, most: int) -> list[Spread]:
    """Of each row of (columns, rows) numbers."""
    with np.errstate(over="ignore", invalid="ignore"):  # between the least and the largest float64
        cuts = np.quantile(numbers, np.arange(1, most + 1) / (most + 1), axis=1).T
    above = np.isfinite(cuts) & (cuts > numbers.min(axis=1)[:, None])
    held = fits_float32(numbers.ravel()).reshape(numbers.shape)
    return [
        Spread(tuple(np.unique(row[kept].astype(np.float64)).tolist()), bool(all_held.all()))
        for row, kept, all_held in zip(cuts, above, held, strict=True)
    ]


def numbers_of_column(values: pa.Array) -> Floats | None:
    """The present values of numbers, or of times in seconds since 1970; None of other kinds."""
    if pa.types.is_timestamp(values.type):
        seconds = pc.divide(values.cast(pa.int64()).cast(pa.float64(), safe=False), 1e6)
        return present_numbers(seconds)
    if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
        return present_numbers(values)
    return None


def present_numbers(values: pa.Array) -> Floats:
    """Numbers without those that are missing."""
    numbers = pc.drop_null(values).to_numpy(zero_copy_only=False)
    return np.asarray(numbers, dtype=np.float64)
