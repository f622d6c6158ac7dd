"""What training rows are told, where the target is in it: never what they themselves have said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.features.row_folds import RowFolds
from tidemill.storage import FileEntry

if TYPE_CHECKING:
    from tidemill.features.reducer import Reducer

__all__ = ["TOLD", "FittedRows"]

TOLD = ("target", "text")
"""Kinds of features that have the target in them."""


@dataclass(frozen=True, eq=False)
class FittedRows:
    """How the rows are reduced that a reducer was fitted on.

    Parameters
    ----------
    folds : RowFolds
    reducer : Reducer
        With tables of every fold, one after the other, in place of the merged ones.
    """

    folds: RowFolds
    reducer: Reducer

    @classmethod
    def of(
        cls, reducer: Reducer, folds: RowFolds, folded: Mapping[str, npt.NDArray[np.float32]]
    ) -> Self:
        """Of the tables by feature."""
        features = [
            {**feature, "values": folded[feature["name"]], "folds": folds.count}
            if feature["kind"] in TOLD
            else feature
            for feature in reducer.features
        ]
        return cls(folds, type(reducer)(**{**reducer.get_params(deep=False), "features": features}))

    @property
    def folded(self) -> dict[str, npt.NDArray[np.float32]]:
        """The tables by feature."""
        told = (feature for feature in self.reducer.features if feature["kind"] in TOLD)
        return {feature["name"]: feature["values"] for feature in told}

    def transform(self, table: pa.Table, file: FileEntry, first: int) -> npt.NDArray[np.float32]:
        """As :meth:`Reducer.transform`; ``first`` is the number of the first row in the file."""
        return self.reducer.transform_folds(table, self.folds.assign(table, file, first))

    def rule(self) -> dict[str, Any]:
        """The folds as they are stored."""
        return {**asdict(self.folds), "ends": list(self.folds.ends)}
