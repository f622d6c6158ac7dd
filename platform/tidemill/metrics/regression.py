"""Figures of a regressor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.errors import SchemaMismatch
from tidemill.profiling import merge_moments

__all__ = ["RegressionFigures"]

_RESIDUAL_BINS = 100


@dataclass(frozen=True, slots=True, eq=False)
class RegressionFigures:
    """How well predictions fit the targets of the same rows.

    Parameters
    ----------
    count : int
    absolute_error_sum, squared_error_sum : float
    error_sum : float
        Sum of the signed errors (prediction - target), to 1e-12 of the absolute ones; NaN where
        it is not known: it was not kept once.
    fourth_error_sum : float
        Sum of the errors' fourth powers, which the noise of the squares hangs on; NaN as above.
    target_mean, target_m2 : float
        Mean of the targets (0 without rows), sum of their squared deviations from it.
    edges : (n_edges,) float64
        Inner edges of the target's histogram, ascending.
    residual_counts : (102,) int64
        Rows by residual (prediction - target), in the bins of :attr:`residual_edges`; the
        outer two are open.
    joint_counts : (n_edges + 1, n_edges + 1) int64
        Rows whose target lies in bin ``i`` and whose prediction lies in bin ``j``.

    Notes
    -----
    Counts merge exactly, sums to 1e-12 relative. O(n_edges**2) memory.

    >>> figures = RegressionFigures.of(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]))
    >>> figures.values()["r2"]
    0.5
    """

    count: int
    absolute_error_sum: float
    squared_error_sum: float
    error_sum: float
    fourth_error_sum: float
    target_mean: float
    target_m2: float
    edges: npt.NDArray[np.float64]
    residual_counts: npt.NDArray[np.int64]
    joint_counts: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls,
        predictions: npt.NDArray[Any],
        y: npt.NDArray[Any],
        edges: Sequence[float] | npt.NDArray[np.float64] = (),
    ) -> Self:
        """Figures of ``predictions`` (n,) and targets ``y`` (n,), in the target's unit.

        Raises
        ------
        SchemaMismatch
            If the shapes differ or a prediction is not finite.
        """
        predictions = np.asarray(predictions, dtype=np.float64)
        y, frozen = np.asarray(y, dtype=np.float64), np.asarray(edges, dtype=np.float64)
        _check(predictions, y)
        residuals = predictions - y
        mean = float(y.mean()) if len(y) else 0.0
        joint = np.searchsorted(frozen, y, side="right") * (len(frozen) + 1)
        joint += np.searchsorted(frozen, predictions, side="right")
        return cls(
            count=len(y),
            absolute_error_sum=float(np.abs(residuals).sum()),
            squared_error_sum=float(residuals @ residuals),
            error_sum=float(residuals.sum()),
            fourth_error_sum=_fourth_powers(residuals),
            target_mean=mean,
            target_m2=float((y - mean) @ (y - mean)),
            edges=frozen,
            residual_counts=np.bincount(
                np.searchsorted(_residual_edges(frozen), residuals, side="right"),
                minlength=_RESIDUAL_BINS + 2,
            ),
            joint_counts=np.bincount(joint, minlength=(len(frozen) + 1) ** 2).reshape(
                len(frozen) + 1, -1
            ),
        )

    @property
    def residual_edges(self) -> npt.NDArray[np.float64]:
        """Edges of 100 equal residual bins, (101,): half the target's range either way."""
        return _residual_edges(self.edges)

    def values(self) -> dict[str, float]:
        """The figures by name; NaN without rows.

        ``bias`` is the mean signed error: above 0 predictions are too high on average. As in
        scikit-learn, r2 is NaN below two rows, and on a constant target 1 for a perfect
        prediction and 0 otherwise.
        """
        n = self.count
        return {
            "mae": self.absolute_error_sum / n if n else math.nan,
            "rmse": math.sqrt(self.squared_error_sum / n) if n else math.nan,
            "r2": self._r2(),
            "bias": self.error_sum / n if n else math.nan,
        }

    def _r2(self) -> float:
        if self.count < 2:
            return math.nan
        if self.target_m2 == 0.0:
            return float(self.squared_error_sum == 0.0)
        return 1.0 - self.squared_error_sum / self.target_m2

    def merge(self, other: Self) -> Self:
        """Figures of both sets of rows; the target's moments by Chan, Golub & LeVeque (1979).

        Raises
        ------
        SchemaMismatch
            If the edges differ.
        """
        if not np.array_equal(self.edges, other.edges):
            raise SchemaMismatch(
                "figures on different target edges cannot be merged",
                remedy="compute both with the target's edges of the same schema",
                left=tuple(self.edges.tolist()),
                right=tuple(other.edges.tolist()),
            )
        mean, m2 = merge_moments(
            (self.count, self.target_mean, self.target_m2),
            (other.count, other.target_mean, other.target_m2),
            squared=lambda delta: delta * delta,
        )
        return type(self)(
            count=self.count + other.count,
            absolute_error_sum=self.absolute_error_sum + other.absolute_error_sum,
            squared_error_sum=self.squared_error_sum + other.squared_error_sum,
            error_sum=self.error_sum + other.error_sum,
            fourth_error_sum=self.fourth_error_sum + other.fourth_error_sum,
            target_mean=mean,
            target_m2=m2,
            edges=self.edges,
            residual_counts=self.residual_counts + other.residual_counts,
            joint_counts=self.joint_counts + other.joint_counts,
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        return {
            "kind": "regression",
            "count": self.count,
            "absolute_error_sum": self.absolute_error_sum,
            "squared_error_sum": self.squared_error_sum,
            "error_sum": _known(self.error_sum),
            "fourth_error_sum": _known(self.fourth_error_sum),
            "target_mean": self.target_mean,
            "target_m2": self.target_m2,
            "edges": self.edges.tolist(),
            "residual_counts": self.residual_counts.tolist(),
            "joint_counts": self.joint_counts.tolist(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote, also before all of the sums were kept."""
        return cls(
            count=document["count"],
            absolute_error_sum=_number(document["absolute_error_sum"]),
            squared_error_sum=_number(document["squared_error_sum"]),
            error_sum=_number(document.get("error_sum")),
            fourth_error_sum=_number(document.get("fourth_error_sum")),
            target_mean=_number(document["target_mean"]),
            target_m2=_number(document["target_m2"]),
            edges=np.array(document["edges"], dtype=np.float64),
            residual_counts=np.array(document["residual_counts"], dtype=np.int64),
            joint_counts=np.array(document["joint_counts"], dtype=np.int64),
        )


def _fourth_powers(residuals: npt.NDArray[np.float64]) -> float:
    with np.errstate(over="ignore"):  # then it is infinite, and so is the noise
        squares = np.square(residuals)
        return float(squares @ squares)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    """A sum as a document has it; null is one that was too large for JSON, or is not known."""
    return math.nan if value is None else value


def _residual_edges(edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    reach = float(edges[-1] - edges[0]) / 2 if len(edges) > 1 else 0.0
    # Without a range any unit would be a guess: one, in the target's own.
    return np.linspace(-1.0, 1.0, _RESIDUAL_BINS + 1) * (reach or 1.0)


def _check(predictions: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> None:
    if predictions.ndim != 1 or predictions.shape != y.shape:
        raise SchemaMismatch(
            f"predictions of shape {predictions.shape} do not fit targets of shape {y.shape}",
            remedy="give one prediction for each target",
            predictions=predictions.shape,
            targets=y.shape,
        )
    if not np.isfinite(predictions).all():
        raise SchemaMismatch(
            "a prediction is not a finite number",
            remedy="the model diverged: lower its learning rate, or scale the features",
        )
