"""Sums over rows that merge: where they lie; a linear model's loss, gradient and curvature."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.contracts import Blocks, FloatMatrix
from tidemill.errors import ConfigError
from tidemill.learning.gaps import missing_refused
from tidemill.profiling import merge_moments

__all__ = ["Curvature", "Deviations", "Standardised", "curvature_of", "deviations_of"]

Floats = npt.NDArray[np.float64]

_CHUNK_ROWS = 8192


@dataclass(frozen=True)
class Deviations:
    """Where the columns and the target of rows lie, and how far apart.

    Parameters
    ----------
    rows : int
    mean : (n_features + 1,) float64
        The target's last; 0 for classes.
    squares : (n_features + 1,) float64
        Sums of squared deviations from the mean.
    counts : (n_classes,) int64
        Rows of each class; empty for regression.
    """

    rows: int
    mean: Floats
    squares: Floats
    counts: npt.NDArray[np.int64]

    def merge(self, other: Deviations) -> Deviations:
        """That of both sets of rows."""
        mean, squares = merge_moments(
            (self.rows, self.mean, self.squares),
            (other.rows, other.mean, other.squares),
            squared=np.square,
        )
        counts = self.counts + other.counts
        return Deviations(self.rows + other.rows, mean, squares, counts)

    @property
    def standard(self) -> Floats:
        """Standard deviations, 1 where there is none; (n_features + 1,)."""
        found = np.sqrt(self.squares / self.rows)
        return np.where(found > 0, found, 1.0)


def deviations_of(blocks: Blocks, *, n_classes: int) -> Deviations:
    """Go once through the blocks, which have rows; ``n_classes`` is 0 for regression.

    Raises
    ------
    ConfigError
        If values are missing or infinite.

    Notes
    -----
    Memory: one block, and 8,192 rows in float64.
    """
    total = None
    for X, y in _chunks(blocks):
        _check(X)
        rows = np.column_stack([X.astype(np.float64), np.zeros(len(y)) if n_classes else y])
        mean = rows.mean(axis=0)
        counts = np.bincount(y, minlength=n_classes) if n_classes else np.zeros(0, np.int64)
        rows -= mean
        found = Deviations(len(y), mean, np.einsum("ij,ij->j", rows, rows), counts)
        total = found if total is None else total.merge(found)
    assert total is not None  # noqa: S101 - shards have rows
    return total


@dataclass(frozen=True)
class Standardised:
    """Where columns and target are put for the arithmetic's sake: ``(x - shift) / scale``.

    A column of ones is put behind the columns.

    Parameters
    ----------
    shift, scale : (n_features,) float64
    y_shift, y_scale : float
        0 and 1 for classes.
    """

    shift: Floats
    scale: Floats
    y_shift: float = 0.0
    y_scale: float = 1.0

    @classmethod
    def by(cls, found: Deviations, *, least: float = 0.0) -> Standardised:
        """By the mean and standard deviation of all rows; columns by ``least`` at least."""
        standard = found.standard
        target = (0.0, 1.0) if len(found.counts) else (found.mean[-1], standard[-1])
        scale = np.maximum(standard[:-1], least)
        return cls(found.mean[:-1], scale, *map(float, target))

    def design(self, X: FloatMatrix) -> Floats:
        """The rows so, with a column of ones; (rows, n_features + 1)."""
        put = np.empty((len(X), len(self.shift) + 1))
        np.subtract(X, self.shift, out=put[:, :-1])
        put[:, :-1] /= self.scale
        put[:, -1] = 1.0
        return put

    def undone(self, weights: Floats) -> tuple[Floats, Floats]:
        """Coefficients (n_outputs, n_features) and intercepts (n_outputs,) of all as it is."""
        coefficients = weights[:, :-1] * self.y_scale / self.scale
        intercepts = weights[:, -1] * self.y_scale + self.y_shift
        return coefficients, intercepts - coefficients @ self.shift


@dataclass(frozen=True)
class Curvature:
    """Sums over rows, at some weights.

    Parameters
    ----------
    rows : float
        Rows, by their weights.
    loss : float
        Log loss in nats, or half the squared error of the standardised target.
    gradient : (n_outputs * (n_features + 1),) float64
    hessian : (as long, as long) float64 or None
        None where it is not asked for.
    """

    rows: float
    loss: float
    gradient: Floats
    hessian: Floats | None

    def merge(self, other: Curvature) -> Curvature:
        """That of both sets of rows; equal to a sum's rounding, whatever the order."""
        second = None
        if self.hessian is not None and other.hessian is not None:
            second = self.hessian + other.hessian
        return Curvature(
            self.rows + other.rows,
            self.loss + other.loss,
            self.gradient + other.gradient,
            second,
        )


def curvature_of(
    blocks: Blocks,
    at: Standardised,
    weights: Floats,
    *,
    n_classes: int,
    class_weights: Floats | None = None,
    second: bool = True,
) -> Curvature:
    """Go once through the blocks.

    Parameters
    ----------
    blocks : Blocks
    at : Standardised
    weights : (n_outputs, n_features + 1) float64
        One output for two classes and for regression, else one a class.
    n_classes : int
        0: regression, by squared error.
    class_weights : (n_classes,) float64 or None
    second : bool
        Whether the Hessian is asked for.

    Notes
    -----
    Memory: one block, 8,192 rows in float64 three times, and the Hessian twice.
    """
    total = Curvature(
        0.0,
        0.0,
        np.zeros(weights.size),
        np.zeros((weights.size, weights.size)) if second else None,
    )
    for X, y in _chunks(blocks):
        rows = at.design(X)
        each = np.ones(len(y)) if class_weights is None else class_weights[y]
        if n_classes > 2:
            found = _of_classes(rows, y, each, weights, second=second)
        else:
            told = y if n_classes else (y - at.y_shift) / at.y_scale
            found = _of_one(rows, told, each, weights[0], squared=not n_classes, second=second)
        total = total.merge(Curvature(float(each.sum()), *found))
    return total


def _chunks(blocks: Blocks) -> Iterable[tuple[FloatMatrix, npt.NDArray[Any]]]:
    for X, y in blocks:
        for begin in range(0, len(y), _CHUNK_ROWS):
            yield X[begin : begin + _CHUNK_ROWS], y[begin : begin + _CHUNK_ROWS]


def _check(X: FloatMatrix) -> None:
    if np.isfinite(X).all():
        return
    if np.isnan(X).any():
        raise missing_refused("linear")
    raise ConfigError(
        "linear cannot compute with numbers as large as these",
        remedy="set reduction.scale to standard, or drop the column",
    )


def _of_one(
    rows: Floats, y: Floats, each: Floats, weights: Floats, *, squared: bool, second: bool
) -> tuple[float, Floats, Floats | None]:
    """Of one output: a number, or the logit of the second class."""
    said = rows @ weights
    if squared:
        error, bend = said - y, each
        loss = float(each @ (error * error)) / 2
    else:
        # Not 1 / (1 + exp(-x)): that overflows.
        chance = np.exp(-np.logaddexp(0.0, -said))
        error, bend = chance - y, each * chance * (1.0 - chance)
        loss = float(each @ (np.logaddexp(0.0, said) - y * said))
    hessian = rows.T @ (rows * bend[:, None]) if second else None
    return loss, rows.T @ (each * error), hessian


def _of_classes(
    rows: Floats, y: npt.NDArray[np.intp], each: Floats, weights: Floats, *, second: bool
) -> tuple[float, Floats, Floats | None]:
    """Of an output a class: the softmax of them."""
    said = rows @ weights.T
    said -= said.max(axis=1, keepdims=True)
    total = np.log(np.exp(said).sum(axis=1))
    mine = np.arange(len(y))
    loss = float(each @ (total - said[mine, y]))
    chances = np.exp(said - total[:, None])
    errors = chances.copy()
    errors[mine, y] -= 1.0
    gradient = ((errors * each[:, None]).T @ rows).ravel()
    if not second:
        return loss, gradient, None
    outputs, width = weights.shape
    hessian = np.empty((outputs, width, outputs, width))
    for one in range(outputs):
        for other in range(one + 1):
            bend = each * chances[:, one] * ((one == other) - chances[:, other])
            both = rows.T @ (rows * bend[:, None])
            hessian[one, :, other, :] = hessian[other, :, one, :] = both
    return loss, gradient, hessian.reshape(weights.size, weights.size)
