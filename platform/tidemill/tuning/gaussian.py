"""Looks where a Gaussian process expects most: for few trials that cost much."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from tidemill.contracts import Choices, Direction, Range, Scalar, Space, Trial

__all__ = ["GpSampler"]

_STARTUP_TRIALS = 4
_CANDIDATES = 512
_NEAR = 0.1  # standard deviation of candidates about the best, of each parameter's range


class GpSampler:
    """Proposes what has the largest expected improvement, of points drawn by chance.

    The first four are drawn by chance alone. Half of the points lie about the best so far. Within
    a wave, what was proposed is taken to come out as the process expects. A trial that was pruned
    or failed counts as the worst that came to its end.

    Expected improvement: Jones, Schonlau and Welch, Efficient global optimization (1998).
    scikit-learn's ``GaussianProcessRegressor`` with a Matern kernel; it is fitted with one thread,
    as sums of several may differ. Time grows with the cube of the trials: for some hundreds.

    Parameters
    ----------
    space : Space
    trials : int
        The budget.
    direction : {"maximize", "minimize"}
    seed : int
    """

    enumerates: ClassVar[bool] = False

    def __init__(self, space: Space, *, trials: int, direction: Direction, seed: int) -> None:
        self._space, self._trials, self._seed = space, trials, seed
        self._sign = -1.0 if direction == "maximize" else 1.0
        self._told: list[Trial] = []

    @property
    def total(self) -> int:
        """The budget."""
        return self._trials

    def ask(self, numbers: range) -> list[dict[str, Scalar]]:
        """One after the other, each as if those before it had come out as expected."""
        values = self._losses()
        places = [self._encoded(trial.params) for trial in self._told[: len(values)]]
        asked: list[dict[str, Scalar]] = []
        for number in numbers:
            rng = np.random.default_rng([self._seed, number])
            if number < _STARTUP_TRIALS or not values:
                asked.append(self._drawn(rng.random(len(self._space))))
                continue
            points = [self._drawn(shares) for shares in self._shares(rng, values)]
            matrix = np.array([self._encoded(point) for point in points])
            best, expected = _most_promising(np.array(places), np.array(values), matrix)
            asked.append(points[best])
            places.append(matrix[best])
            values.append(expected)
        return asked

    def tell(self, trials: Sequence[Trial]) -> None:
        """What became of the trials asked for last, in the order of their numbers."""
        self._told += trials

    def _losses(self) -> list[float]:
        """To be made small, one for each trial that was told; none before one was complete."""
        known = [self._sign * trial.value for trial in self._told if trial.value is not None]
        return [
            max(known) if trial.value is None else self._sign * trial.value
            for trial in self._told
            if known
        ]

    def _shares(self, rng: np.random.Generator, values: list[float]) -> npt.NDArray[np.float64]:
        """Points as shares of each parameter's range; (candidates, parameters)."""
        anywhere = rng.random((_CANDIDATES // 2, len(self._space)))
        best = self._told[int(np.argmin(values[: len(self._told)]))].params
        centre = [_share_of(parameter, best[name]) for name, parameter in self._space.items()]
        near = rng.normal(centre, _NEAR, (_CANDIDATES // 2, len(self._space)))
        return np.concatenate([anywhere, np.clip(near, 0.0, np.nextafter(1.0, 0.0))])

    def _drawn(self, shares: npt.NDArray[np.float64]) -> dict[str, Scalar]:
        pairs = zip(self._space.items(), shares.tolist(), strict=True)
        return {name: _value_at(parameter, share) for (name, parameter), share in pairs}

    def _encoded(self, params: dict[str, Scalar]) -> list[float]:
        """Numbers as their share of the range, a choice as 1 among 0."""
        found: list[float] = []
        for name, parameter in self._space.items():
            if isinstance(parameter, Choices):
                at = _place(parameter, params[name])
                found += [float(i == at) for i in range(len(parameter.values))]
            else:
                found.append(_share_of(parameter, params[name]))
        return found


def _place(parameter: Choices, value: Scalar) -> int:
    same = (value == one and type(value) is type(one) for one in parameter.values)
    return list(same).index(True)


def _share_of(parameter: Choices | Range, value: Any) -> float:
    """Where the value lies in its range, from 0 to 1."""
    if isinstance(parameter, Choices):
        return (_place(parameter, value) + 0.5) / len(parameter.values)
    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        return float(np.log(value / low) / np.log(high / low))
    return float((value - low) / (high - low))


def _value_at(parameter: Choices | Range, share: float) -> Scalar:
    """The value at a share of its range; at 0 the lowest, below 1."""
    if isinstance(parameter, Choices):
        return parameter.values[int(share * len(parameter.values))]
    if parameter.size is not None:
        return parameter.value(int(share * parameter.size))
    low, high = float(parameter.low), float(parameter.high)
    value = low * (high / low) ** share if parameter.log else low + (high - low) * share
    value = min(max(value, low), high)
    return round(value) if parameter.whole else value


def _most_promising(
    places: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    points: npt.NDArray[np.float64],
) -> tuple[int, float]:
    """The point of the largest expected improvement, and what is expected there."""
    from scipy.special import ndtr
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    lengths = np.ones(places.shape[1])
    kernel = ConstantKernel(1.0, (0.1, 10.0)) * Matern(lengths, (0.05, 20.0), nu=2.5)
    process = GaussianProcessRegressor(
        kernel + WhiteKernel(1e-3, (1e-6, 1.0)), normalize_y=True, random_state=0
    )
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound will do
        process.fit(places, values)
        mean, spread = process.predict(points, return_std=True)
    gain = values.min() - mean
    spread = np.maximum(spread, 1e-12)
    scaled = gain / spread
    improvement = gain * ndtr(scaled) + spread * np.exp(-(scaled**2) / 2) / np.sqrt(2 * np.pi)
    best = int(np.argmax(improvement))
    return best, float(mean[best])
