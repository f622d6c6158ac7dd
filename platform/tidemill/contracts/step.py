"""What turns the columns of the reduced matrix into others, or leaves some out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from tidemill.contracts.learner import Parameter
from tidemill.contracts.partials import FloatMatrix

__all__ = ["Comoments", "EncodedColumn", "Step", "TrainingColumns"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class EncodedColumn:
    """One column of the matrix, before scaling where encoding has made it.

    Parameters
    ----------
    name : str
    mean, variance : float
        Over all training rows, after imputation, or over the known values of a column that keeps
        its gaps; ``ddof=0``.
    flaw : str
        Why the column says nothing; empty if it varies.
    """

    name: str
    mean: float
    variance: float
    flaw: str = ""


class Comoments(Protocol):
    """Means and co-moments of columns, such as :class:`tidemill.profiling.Moments`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in order."""

    @property
    def count(self) -> int:
        """Rows."""

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """(n_columns,)."""

    @property
    def comoment(self) -> npt.NDArray[np.float64]:
        """Sum over rows of the outer products of deviations from the mean, (n, n)."""

    @property
    def covariance(self) -> npt.NDArray[np.float64]:
        """``comoment / (count - 1)``."""


class TrainingColumns(Protocol):
    """The training rows as they come to a step: what is known of them, and passes over them.

    Nothing is read before it is asked for. No result depends on the engine or its workers.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in order."""

    @property
    def profile(self) -> Any:
        """The merged :class:`tidemill.profiling.Profile` of the raw columns; no row is read."""

    @property
    def columns(self) -> tuple[EncodedColumn, ...]:
        """Mean and variance of each column.

        Of columns that encoding has made they come from profiles; of a step's own from two passes.
        What imputation has filled counts as what fills it, so the spread is that of the filled
        column; gaps that are kept do not count.
        """

    def moments(self) -> Comoments:
        """Means and co-moments, what is missing taken as the column's mean.

        The spread is that of the filled column: with many gaps far less than that of the known
        values, which :attr:`columns` tells. One pass, which steps share; O(n_columns^2) memory.
        """

    def fold(
        self,
        of: Callable[[FloatMatrix, int], Result],
        merge: Callable[[Result, Result], Result],
        *,
        label: str,
    ) -> Result:
        """One pass over all blocks, in the engine's workers; a block in memory each.

        Parameters
        ----------
        of : callable
            Of a block, (rows, n_columns) float64, which it may overwrite, and a seed that depends
            on the block's place and content; picklable.
        merge : callable
            Of two results, from left to right.
        """

    def without(self, names: Iterable[str]) -> Self:
        """The same rows, without these columns: later passes do not make them."""


class Step(Protocol):
    """One step of the reducer: from named columns of numbers to named columns of numbers.

    It is made with its settings by keyword. Raw cells come to no step: what imputes, encodes and
    scales them stands before the first. ``tidemill.testing.steps`` has a test for each clause, and
    ``tidemill.testing.bad_steps`` a step that breaks it.

    - ``fit`` looks at the columns it is given, and at nothing else: no target, no file, no clock.
      Equal training rows leave an equal state, however they are cut into shards and blocks, and
      whatever the workers.
    - ``transform`` does to a row the same whatever rows are beside it, and keeps no rows: memory is
      the block and its result. What comes out is finite where what came in is.
    - Missing values are NaN. They come only where ``reduction.impute`` is none; such settings are
      refused for a step that does not say ``takes_missing``. One that does neither fails nor
      spreads them to other rows.
    - A step that says ``fills_missing`` leaves none, also in columns that had every value in
      training. Later steps and the learner then need not take them.
    - ``names`` has a name for each column that ``transform`` makes, no two alike.
    - ``restored(state())`` does the same to the last bit. ``state`` holds texts, numbers, booleans,
      None, lists and dictionaries of those, and float64 arrays at its top: nothing that a model
      file would have to trust. A state that does not fit together is refused with ``ValueError``.
    - ``explain`` says in JSON's words what the fit found, for reports/reduction.json.
    - A fitted step is picklable.

    Attributes
    ----------
    settings : mapping of str to Parameter
        Its own settings: ``reduction.steps: [{NAME: {setting: value}}]``.
    section : tuple of str
        Settings of the reduction section that it is made with too.
    takes_missing : bool
    fills_missing : bool
        Whether no value is missing in what it makes; it ``takes_missing`` then.
    only_drops : bool
        Whether it does no more than leave columns out: then nobody makes those.
    requires : tuple of str
        Packages that a model needs for it, beside those of tidemill; models name their versions.
    """

    settings: ClassVar[Mapping[str, Parameter]]
    section: ClassVar[tuple[str, ...]]
    takes_missing: ClassVar[bool]
    fills_missing: ClassVar[bool]
    only_drops: ClassVar[bool]
    requires: ClassVar[tuple[str, ...]]

    def __init__(self, **settings: Any) -> None:
        """Keep the settings; nothing is known yet."""

    def fit(self, training: TrainingColumns) -> Mapping[str, str]:
        """Learn from the training rows; return the columns to leave out, each with the reason.

        Those do not come to ``transform``.
        """

    def names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The columns that ``transform`` makes of the columns ``names``."""

    def transform(self, matrix: FloatMatrix) -> FloatMatrix:
        """(rows, n_in) float64, which it may overwrite, to (rows, n_out) of a float type.

        The last result becomes float32: what that cannot hold, the largest that it can.
        """

    def explain(self) -> Mapping[str, Any]:
        """What it found; ``settings`` need not be repeated."""

    def state(self) -> Mapping[str, Any]:
        """All that ``transform`` and ``names`` need."""

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """The fitted step of this state."""
