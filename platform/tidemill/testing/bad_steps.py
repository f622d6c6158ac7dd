"""Steps that break one promise each: what the contract suite fails.

All are :class:`CentringStep` but for that, which keeps them all. As packages' steps they are
opened by address: ``tidemill.testing.bad_steps:UnequalStep``.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import add
from typing import Any, ClassVar, Self

import numpy as np

from tidemill.contracts import FloatMatrix, Parameter, TrainingColumns

__all__ = ["BAD_STEPS", "CentringStep"]


class CentringStep:
    """Takes off the mean."""

    settings: ClassVar[Mapping[str, Parameter]] = {"share": Parameter(1.0, low=0, high=1)}
    section: ClassVar[tuple[str, ...]] = ()
    takes_missing: ClassVar[bool] = True
    fills_missing: ClassVar[bool] = False
    only_drops: ClassVar[bool] = False
    requires: ClassVar[tuple[str, ...]] = ()

    def __init__(self, share: float = 1.0) -> None:
        self._share = share
        self._off = np.zeros(0)

    def fit(self, training: TrainingColumns) -> Mapping[str, str]:
        """Means are enough."""
        self._off = (training.moments().mean * self._share).round(9)
        return {}

    def names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The same columns."""
        return names

    def transform(self, matrix: FloatMatrix) -> FloatMatrix:
        """In place."""
        matrix -= self._off
        return matrix

    def explain(self) -> Mapping[str, Any]:
        """The largest mean."""
        return {"furthest": float(np.abs(self._off).max())}

    def state(self) -> Mapping[str, Any]:
        """The means."""
        return {"off": self._off}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Of finite means."""
        if not np.isfinite(state["off"]).all():
            raise ValueError("means are not finite")
        step = cls()
        step._off = state["off"]
        return step


class UnequalStep(CentringStep):
    """Draws from the system's chance."""

    def fit(self, training: TrainingColumns) -> Mapping[str, str]:
        """Another state each time."""
        dropped = super().fit(training)
        self._off = self._off + np.random.default_rng().normal()
        return dropped


class LookingAroundStep(CentringStep):
    """Takes off the mean of the rows that happen to be there."""

    def transform(self, matrix: FloatMatrix) -> FloatMatrix:
        """As a batch norm in training."""
        centred: FloatMatrix = matrix - matrix.mean(axis=0)
        return centred


class LogarithmicStep(CentringStep):
    """Takes logarithms of numbers below nought."""

    def transform(self, matrix: FloatMatrix) -> FloatMatrix:
        """NaN, where nothing was missing."""
        with np.errstate(invalid="ignore", divide="ignore"):
            logarithms: FloatMatrix = np.log(matrix)
        return logarithms


class BoastingStep(CentringStep):
    """Says that it takes missing values."""

    def transform(self, matrix: FloatMatrix) -> FloatMatrix:
        """One of them is in all rows afterwards."""
        matrix += 0.0 * matrix.sum()
        return super().transform(matrix)


class LeakyStep(CentringStep):
    """Says that it leaves no value missing, and fills the columns that it has seen gaps in."""

    fills_missing: ClassVar[bool] = True

    def fit(self, training: TrainingColumns) -> Mapping[str, str]:
        """Count them."""
        self._gappy = training.fold(_gaps, add, label="gaps")
        return super().fit(training)

    def transform(self, matrix: FloatMatrix) -> FloatMatrix:
        """The mean is nought afterwards."""
        matrix = super().transform(matrix)
        matrix[np.isnan(matrix) & (self._gappy > 0)] = 0.0
        return matrix

    def state(self) -> Mapping[str, Any]:
        """Means, and where there were gaps."""
        return {**super().state(), "gappy": self._gappy}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """With both."""
        step = super().restored(state)
        step._gappy = state["gappy"]
        return step


def _gaps(matrix: FloatMatrix, seed: int) -> FloatMatrix:  # noqa: ARG001
    gaps: FloatMatrix = np.isnan(matrix).sum(axis=0, dtype=np.float64)
    return gaps


class MisnamingStep(CentringStep):
    """Calls all columns by the first one's name but for a space."""

    def names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """One too few."""
        return names[1:]


class MeddlingStep(CentringStep):
    """Says that it only drops."""

    only_drops: ClassVar[bool] = True

    def transform(self, matrix: FloatMatrix) -> FloatMatrix:
        """One more."""
        return super().transform(matrix + 1.0)


class ForgetfulStep(CentringStep):
    """Comes back without its means."""

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """All are nought."""
        step = super().restored(state)
        step._off = np.zeros_like(step._off)
        return step


class UncheckedStep(CentringStep):
    """Takes any state."""

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Whatever is in it."""
        step = cls()
        step._off = state["off"]
        return step


class UnspeakableStep(CentringStep):
    """Explains itself with an array."""

    def explain(self) -> Mapping[str, Any]:
        """No JSON."""
        return {"off": self._off}


class ContradictoryStep(CentringStep):
    """Has a default that it would refuse."""

    settings: ClassVar[Mapping[str, Parameter]] = {"share": Parameter(2.0, low=0, high=1)}


class OpaqueStep(CentringStep):
    """Stores an object of its own."""

    def state(self) -> Mapping[str, Any]:
        """A model file would have to trust it."""
        return {**super().state(), "settings": Parameter(1.0)}


class RootedStep(CentringStep):
    """Holds what cannot be pickled."""

    def __init__(self, share: float = 1.0) -> None:
        super().__init__(share)
        self._way = lambda matrix: matrix


class HoardingStep(CentringStep):
    """Keeps the rows."""

    def fit(self, training: TrainingColumns) -> Mapping[str, str]:
        """All of them."""
        dropped = super().fit(training)
        self._rows = training.fold(_rows, add, label="rows")
        return dropped

    def state(self) -> Mapping[str, Any]:
        """Means, and rows."""
        return {**super().state(), "rows": getattr(self, "_rows", [])}


def _rows(matrix: FloatMatrix, seed: int) -> list[Any]:  # noqa: ARG001
    rows: list[Any] = matrix.tolist()
    return rows


BAD_STEPS: dict[str, type[CentringStep]] = {
    "test_a_damaged_state_is_refused_or_answers": UncheckedStep,
    "test_a_fitted_step_travels": RootedStep,
    "test_a_row_is_reduced_alone": LookingAroundStep,
    "test_a_sealed_model_does_the_same": OpaqueStep,
    "test_dropping_is_all_that_it_says": MeddlingStep,
    "test_equal_rows_leave_an_equal_state": UnequalStep,
    "test_explains_itself_in_json": UnspeakableStep,
    "test_fills_what_it_says_that_it_fills": LeakyStep,
    "test_its_columns_have_names": MisnamingStep,
    "test_its_settings_hold_together": ContradictoryStep,
    "test_its_state_does_not_grow_with_rows": HoardingStep,
    "test_later_steps_see_what_a_model_does": ForgetfulStep,
    "test_says_the_truth_of_missing_values": BoastingStep,
    "test_what_comes_out_is_finite": LogarithmicStep,
}
"""By the test of the contract suite that fails it."""
