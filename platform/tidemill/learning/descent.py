"""Minimise a penalised loss that is known by passes over rows: Newton's method, or L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tidemill.learning.curvature import Curvature, Floats

__all__ = ["Descent", "Penalty", "lbfgs", "newton"]

_SWEEPS = 1000
_SHARE = 1e-3
"""Of what a step counts as little: what a sweep over the coordinates does."""
_HALVINGS = 40
_NEAR = 100
_LOOK_BACK = 10


class Measure(Protocol):
    """One pass over the rows."""

    def __call__(self, weights: Floats, *, second: bool) -> Curvature:
        """The loss and its derivatives at (n_weights,) weights."""


@dataclass(frozen=True)
class Penalty:
    """What weights cost: ``l2 @ w**2 / 2 + l1 @ abs(w)``, beside the mean loss of a row.

    Parameters
    ----------
    l1, l2 : (n_weights,) float64
        None below 0.
    """

    l1: Floats
    l2: Floats

    def of(self, weights: Floats) -> float:
        """What they cost."""
        return float(self.l2 @ (weights * weights)) / 2 + float(self.l1 @ np.abs(weights))


@dataclass(frozen=True)
class Descent:
    """Where it came to.

    Parameters
    ----------
    weights : (n_weights,) float64
    steps : int
    converged : bool
        Whether it ended by itself, or as near as its caller need know: a last step that gained
        less than a hundred times the tolerance.
    """

    weights: Floats
    steps: int
    converged: bool


def _unheard(_: int, __: Floats) -> None:
    """Nobody follows the steps."""


def newton(
    measure: Measure,
    start: Floats,
    penalty: Penalty,
    *,
    tolerance: float,
    most: int,
    exact: bool = False,
    stepped: Callable[[int, Floats], None] = _unheard,
) -> Descent:
    """Go to the least of the quadratic model at each point, as long as the loss falls by it.

    A pass a step; the last step, by which the model says that less than ``tolerance`` of the loss
    can be gained, takes none.

    Parameters
    ----------
    measure : callable
    start : (n_weights,) float64
    penalty : Penalty
    tolerance : float
        Share of the mean loss.
    most : int
        Steps, at most; at least 1.
    exact : bool
        The loss is its quadratic model: one step is all.
    stepped : callable
        Called with (step, weights) after each; what it raises ends the descent.

    Notes
    -----
    Memory: the Hessian some times. With a penalty ``l1`` the model's least is found by coordinate
    descent, so that weights are zero or not (Friedman, Hastie & Tibshirani 2010; Lee, Sun &
    Saunders 2014).
    """
    now, weights = measure(start, second=True), start
    for step in range(1, most + 1):
        before = now.loss / now.rows + penalty.of(weights)
        little = tolerance * max(before, tolerance)
        target, gain = _least(now, weights, penalty, little * (_SHARE**2 if exact else _SHARE))
        if exact or gain <= little or step == most:
            stepped(step, target)
            return Descent(target, step, converged=exact or gain <= _NEAR * little)
        found = _accepted(measure, weights, target, penalty, before, gain)
        if found is None:  # what the model promises is less than sums are exact
            stepped(step, weights)
            return Descent(weights, step, converged=True)
        now, weights = found
        stepped(step, weights)
    raise AssertionError("the last step returns")


def _accepted(
    measure: Measure, weights: Floats, target: Floats, penalty: Penalty, before: float, gain: float
) -> tuple[Curvature, Floats] | None:
    """The way to the target, halved until the loss falls by a part of what the model promised.

    None: no part of it does.
    """
    share = 1.0
    for _ in range(_HALVINGS):
        there = weights + share * (target - weights)
        found = measure(there, second=True)
        after = found.loss / found.rows + penalty.of(there)
        if after <= before - 1e-4 * share * gain:
            return found, there
        share /= 2
    return None


def _least(
    now: Curvature, weights: Floats, penalty: Penalty, enough: float
) -> tuple[Floats, float]:
    """Where the quadratic model at ``weights`` is least, and how much less it is there."""
    from scipy.linalg import lstsq

    assert now.hessian is not None  # noqa: S101 - each measure was asked for it
    bend = now.hessian / now.rows
    slope = now.gradient / now.rows
    matrix, wanted = bend + np.diag(penalty.l2), bend @ weights - slope
    if penalty.l1.any():
        least = _by_coordinates(matrix, wanted, penalty.l1, weights, enough)
    else:  # of weights that serve as well, the shortest
        least = np.asarray(lstsq(matrix, wanted, lapack_driver="gelsy")[0])
    way = least - weights
    gain = -(slope @ way) - way @ bend @ way / 2 + penalty.of(weights) - penalty.of(least)
    return least, max(float(gain), 0.0)


def _by_coordinates(
    matrix: Floats, wanted: Floats, l1: Floats, start: Floats, enough: float
) -> Floats:
    """The least of ``w @ matrix @ w / 2 - wanted @ w + l1 @ abs(w)``.

    It ends where a sweep over all weights gains less than ``enough``. Between sweeps those that are
    not zero go to their least with the signs that they have (Lee et al. 2007), as coordinates that
    lean on each other would take thousands of sweeps.
    """
    found, bends = start.copy(), np.diagonal(matrix)
    places = np.flatnonzero(bends > 0).tolist()
    for _ in range(_SWEEPS):
        rest, gained = wanted - matrix @ found, 0.0
        for at in places:
            pull = rest[at] + bends[at] * found[at]
            new = np.sign(pull) * max(abs(pull) - l1[at], 0.0) / bends[at]
            change = new - found[at]
            if change:
                rest -= change * matrix[at]
                found[at] = new
                gained += change * change * bends[at]
        if gained <= enough:
            break
        found = _with_their_signs(matrix, wanted, l1, found)
    return found


def _with_their_signs(matrix: Floats, wanted: Floats, l1: Floats, found: Floats) -> Floats:
    """The least of the weights that are not zero, with the signs that they have.

    One that would change its sign on the way is zero from there on, and the others go on.
    """
    from scipy.linalg import lstsq

    while (active := np.flatnonzero(found)).size:
        signs, now = np.sign(found[active]), found[active]
        slope = wanted[active] - l1[active] * signs
        least = lstsq(matrix[np.ix_(active, active)], slope, lapack_driver="gelsy")[0]
        crossing = np.flatnonzero((least * signs <= 0) & (l1[active] > 0))
        shares = now[crossing] / (now[crossing] - least[crossing])
        share = min(1.0, shares.min(initial=1.0))
        found = found.copy()
        found[active] = now + share * (least - now)
        if not crossing.size:
            break
        found[active[crossing[shares <= share]]] = 0.0
    return found


def lbfgs(
    measure: Measure,
    start: Floats,
    penalty: Penalty,
    *,
    tolerance: float,
    most: int,
    stepped: Callable[[int, Floats], None] = _unheard,
) -> Descent:
    """As :func:`newton`, by SciPy's L-BFGS-B: for so many weights that a Hessian costs too much.

    A pass a step, and more steps; it ends where ten of them gained less than ``tolerance`` of the
    loss. With a penalty ``l1`` each weight is a difference of two that are not negative. Memory:
    twenty gradients.
    """
    from scipy.optimize import minimize

    half, split = len(start), bool(penalty.l1.any())
    losses: list[float] = []

    def settled(steps: int) -> bool:
        """Whether so many steps gained little."""
        little = tolerance * max(losses[-1], tolerance)
        return len(losses) > steps and losses[-1 - steps] - losses[-1] <= little

    def joined(given: Floats) -> Floats:
        return given[:half] - given[half:] if split else given

    def objective(given: Floats) -> tuple[float, Floats]:
        weights = joined(given)
        found = measure(weights, second=False)
        loss, slope = found.loss / found.rows, found.gradient / found.rows + penalty.l2 * weights
        if not split:
            return loss + penalty.of(weights), slope
        cost = np.concatenate([penalty.l1, penalty.l1])  # of both, even where both are above 0
        squares = float(penalty.l2 @ (weights * weights)) / 2
        return loss + squares + float(cost @ given), np.concatenate([slope, -slope]) + cost

    def told(intermediate_result: Any) -> None:
        losses.append(intermediate_result.fun)
        stepped(len(losses), joined(np.asarray(intermediate_result.x)))
        if settled(_LOOK_BACK):
            raise StopIteration

    begin = np.concatenate([np.maximum(start, 0), np.maximum(-start, 0)]) if split else start
    result = minimize(
        objective,
        begin,
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * len(begin) if split else None,
        callback=told,
        options={"maxiter": most, "maxfun": 20 * most, "ftol": 0.0, "gtol": 0.0},
    )
    weights = joined(np.asarray(result.x))
    if not losses:  # it began where nothing can be gained
        stepped(1, weights)
    return Descent(weights, max(len(losses), 1), converged=not losses or settled(1))
