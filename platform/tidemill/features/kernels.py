"""What writes one raw feature into the columns of the reduced matrix.

A kernel is compiled from the plain description that the reducer stores. ``read`` looks at the
whole column once; ``write`` fills its slots for a stretch of rows that fits into the cache.
A slot of -1 is a column that the selection dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from tidemill.features.calendar import calendar_codes
from tidemill.features.category_sums import bucket_codes
from tidemill.features.columns import Raw, Reading, read_codes, read_flags, read_numbers, read_times
from tidemill.features.text_terms import count_terms, only_terms, text_fold, weigh_terms

__all__ = ["LARGEST", "FoldedKernel", "Kernel", "compile_feature"]

_STRETCH = 8192  # texts whose terms are in memory

Values = npt.NDArray[Any]
LARGEST = float(np.finfo(np.float32).max)
"""What float32 can hold."""


class Kernel(Protocol):
    """One feature's way from its raw column to its slots."""

    def read(self, column: Raw) -> Values:
        """The column as numbers; (rows,), of a text (rows, slots)."""

    def write(self, values: Values, out: Values) -> None:
        """Fill this feature's slots of ``out`` (rows, slots), which holds zeros."""


@runtime_checkable
class FoldedKernel(Kernel, Protocol):
    """One whose training rows are told otherwise than other rows, each by its fold."""

    def read_folds(self, column: Raw, folds: npt.NDArray[np.int64]) -> Values:
        """As ``read``, of rows of these folds, (rows,), where its tables are of every fold."""


class _Scaled:
    """Impute, centre, scale: one value a slot."""

    def __init__(self, slot: int, fill: float | None, mean: float, scale: float) -> None:
        self.slot, self.mean, self.scale = slot, mean, scale
        self.filled = np.nan if fill is None else (fill - mean) / scale

    def write(self, values: Values, out: Values) -> npt.NDArray[np.bool_]:
        scaled = np.subtract(values, self.mean, dtype=np.float64)
        scaled /= self.scale
        # One comparison finds NaN, infinities and what float32 cannot hold.
        missing = ~(np.abs(scaled) <= LARGEST)
        if missing.any():
            scaled[missing] = self.filled
        if self.slot >= 0:
            out[:, self.slot] = scaled
        return missing


class _Number:
    def __init__(self, feature: Mapping[str, Any], reading: Reading) -> None:
        self._reading = reading
        self._read = read_flags if feature["kind"] == "boolean" else read_numbers
        self._scaled = _Scaled(
            feature["slots"][0], feature["fills"][0], feature["means"][0], feature["scales"][0]
        )
        self._missing_slot = feature["missing_slot"]

    def read(self, column: Raw) -> Values:
        return self._read(self._reading.typed(column))

    def write(self, values: Values, out: Values) -> None:
        missing = self._scaled.write(values, out)
        if self._missing_slot >= 0:
            out[:, self._missing_slot] = missing


class _Time:
    def __init__(self, feature: Mapping[str, Any], reading: Reading) -> None:
        self._reading = reading
        wanted = [i for i, slot in enumerate(feature["slots"]) if slot >= 0]
        self._parts = tuple(feature["parts"][i] for i in wanted)
        self._scaled = [
            _Scaled(
                feature["slots"][i], feature["fills"][i], feature["means"][i], feature["scales"][i]
            )
            for i in wanted
        ]
        self._missing_slot = feature["missing_slot"]

    def read(self, column: Raw) -> Values:
        return read_times(self._reading.typed(column))

    def write(self, values: Values, out: Values) -> None:
        missing = np.isnat(values)
        codes = calendar_codes(values, self._parts).astype(np.float64)
        if missing.any():
            codes[:, missing] = np.nan
        for scaled, code in zip(self._scaled, codes, strict=True):
            scaled.write(code, out)
        if self._missing_slot >= 0:
            out[:, self._missing_slot] = missing


class _OneHot:
    def __init__(self, feature: Mapping[str, Any], reading: Reading) -> None:
        self._reading = reading
        slots = dict(zip(feature["labels"], feature["slots"], strict=True))
        self._default = feature["rare_slot"]
        self._lookup = {**slots, None: feature["missing_slot"]}

    def read(self, column: Raw) -> Values:
        codes = read_codes(self._reading.typed(column), self._lookup, self._default)
        return codes.astype(np.int64)

    def write(self, values: Values, out: Values) -> None:
        present = np.flatnonzero(values >= 0)
        out[present, values[present]] = 1.0


class _Ordinal:
    def __init__(self, feature: Mapping[str, Any], reading: Reading) -> None:
        self._reading = reading
        self._slot = feature["slots"][0]
        self._default = feature["rare_value"]
        missing = feature["missing_value"]
        self._lookup = dict(zip(feature["labels"], feature["values"], strict=True))
        self._lookup[None] = np.nan if missing is None else missing

    def read(self, column: Raw) -> Values:
        return read_codes(self._reading.typed(column), self._lookup, self._default)

    def write(self, values: Values, out: Values) -> None:
        out[:, self._slot] = values


class _Target:
    """Rows of a table of what the target was, by the bucket of the category."""

    def __init__(self, feature: Mapping[str, Any], reading: Reading) -> None:
        self._reading = reading
        self._buckets = feature["buckets"]
        self._columns = [i for i, slot in enumerate(feature["slots"]) if slot >= 0]
        self._slots = [feature["slots"][i] for i in self._columns]
        self._values = feature["values"][:, self._columns]

    def read(self, column: Raw) -> Values:
        return bucket_codes(self._reading.typed(column), self._buckets)

    def read_folds(self, column: Raw, folds: npt.NDArray[np.int64]) -> Values:
        places: Values = self.read(column) + folds * (self._buckets + 1)
        return places

    def write(self, values: Values, out: Values) -> None:
        out[:, self._slots] = self._values[values]


class _Text:
    """The score of a linear model of a text's terms."""

    def __init__(self, feature: Mapping[str, Any], reading: Reading) -> None:
        self._reading = reading
        columns = [i for i, slot in enumerate(feature["slots"]) if slot >= 0]
        self._slots = [feature["slots"][i] for i in columns]
        self._terms, self._rarity = feature["terms"], feature["rarity"]
        values = feature["values"][:, columns]
        self._models = values.reshape(-1, len(self._terms) + 1, len(columns))
        self._folds = feature.get("folds", 1)

    def read(self, column: Raw) -> Values:
        return self.read_folds(column, np.zeros(len(column), np.int64))

    def read_folds(self, column: Raw, folds: npt.NDArray[np.int64]) -> Values:
        texts = self._reading.typed(column)
        told = text_fold(folds, self._folds, len(self._models))
        scores = np.empty((len(texts), len(self._slots)), np.float32)
        for start in range(0, len(texts), _STRETCH):
            rows = slice(start, start + _STRETCH)
            counts = only_terms(count_terms(texts[rows]), self._terms)
            weights = weigh_terms(counts, self._rarity)
            for fold in np.unique(told[rows]).tolist():
                model, its = self._models[fold], told[rows] == fold
                scores[rows][its] = weights[its] @ model[:-1] + model[-1]
        return scores

    def write(self, values: Values, out: Values) -> None:
        out[:, self._slots] = values


_KERNELS: dict[
    str,
    type[_Number] | type[_Time] | type[_OneHot] | type[_Ordinal] | type[_Target] | type[_Text],
] = {
    "numeric": _Number,
    "boolean": _Number,
    "datetime": _Time,
    "one_hot": _OneHot,
    "ordinal": _Ordinal,
    "target": _Target,
    "text": _Text,
}


def compile_feature(feature: Mapping[str, Any], missing_values: Sequence[str] = ()) -> Kernel:
    """The kernel of one feature's description; see :class:`~tidemill.features.reducer.Reducer`."""
    return _KERNELS[feature["kind"]](feature, Reading.of(feature, missing_values))
