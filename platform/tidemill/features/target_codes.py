"""The target as numbers: what every learner and every figure is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.schema import TableSchema, Task

__all__ = ["encode_target"]


def encode_target(column: pa.ChunkedArray, schema: TableSchema) -> npt.NDArray[Any]:
    """Return the target as float64 (regression) or int32 class codes; (rows,)."""
    if schema.task is Task.REGRESSION:
        return np.asarray(column.cast(pa.float64()))
    codes = pc.index_in(column.cast(pa.string()), value_set=pa.array(schema.classes))
    return np.asarray(codes.cast(pa.int32()))
