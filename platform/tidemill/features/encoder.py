"""From raw columns to the encoded matrix, without scikit-learn: workers need no more than this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tidemill.contracts import FloatMatrix
from tidemill.features.columns import Frame, take
from tidemill.features.kernels import LARGEST, FoldedKernel, compile_feature
from tidemill.features.sequence import FittedStep

__all__ = ["Encoder"]

Folds: TypeAlias = npt.NDArray[np.int64] | None

_STRETCH = 4096  # rows whose encoded columns stay in the cache


class Encoder:
    """Impute, encode and scale raw columns; lead them through steps.

    Parameters
    ----------
    features : sequence of mapping
        As :class:`tidemill.features.reducer.Reducer` describes them.
    width : int
        Encoded columns.
    missing_values : sequence of str
        Texts that mean 'missing'.
    """

    def __init__(
        self,
        features: Sequence[Mapping[str, Any]],
        width: int,
        missing_values: Sequence[str] = (),
    ) -> None:
        self._names = [feature["name"] for feature in features]
        self._kernels = [compile_feature(feature, missing_values) for feature in features]
        self._width = width

    def encode(
        self,
        frame: Frame,
        dtype: type[np.floating[Any]],
        *,
        buffer: npt.NDArray[Any] | None = None,
        folds: Folds = None,
    ) -> npt.NDArray[Any]:
        """The encoded columns; (rows, width) of ``dtype``, C-contiguous.

        ``buffer`` (at least rows, width), if given, is overwritten and its first rows returned:
        a pass over blocks then touches the same memory again, which is twice as fast. ``folds``
        (rows,): of training rows, where ``features`` have tables of every fold.
        """
        columns, rows = self._read(frame, folds)
        if buffer is None:
            out = np.zeros((rows, self._width), dtype)
        else:
            out = buffer[:rows]
            out.fill(0.0)
        for start in range(0, rows, _STRETCH):
            stop = min(start + _STRETCH, rows)
            self._write(columns, start, stop, out[start:stop])
        return out

    def through(
        self, frame: Frame, steps: Sequence[FittedStep], folds: Folds = None
    ) -> npt.NDArray[np.float32]:
        """What the steps make of the encoded columns; (rows, n_out) float32.

        The encoded matrix exists for a few thousand rows at a time. What float32 cannot hold
        becomes the largest that it can: one such row would end the prediction of all.
        """
        columns, rows = self._read(frame, folds)
        out = np.empty((rows, len(steps[-1].names)), np.float32)
        for start in range(0, rows, _STRETCH):
            stop = min(start + _STRETCH, rows)
            stretch: FloatMatrix = np.zeros((stop - start, self._width))
            self._write(columns, start, stop, stretch)
            for step in steps:
                stretch = step.transform(stretch)
            out[start:stop] = np.clip(stretch, -LARGEST, LARGEST)
        return out

    def _read(self, frame: Frame, folds: Folds) -> tuple[list[npt.NDArray[Any]], int]:
        raw, rows = take(frame, self._names)
        columns = []
        for kernel, column in zip(self._kernels, raw, strict=True):
            if folds is not None and isinstance(kernel, FoldedKernel):
                columns.append(kernel.read_folds(column, folds))
            else:
                columns.append(kernel.read(column))
        return columns, rows

    def _write(
        self, columns: list[npt.NDArray[Any]], start: int, stop: int, out: npt.NDArray[Any]
    ) -> None:
        for kernel, column in zip(self._kernels, columns, strict=True):
            kernel.write(column[start:stop], out)
