"""Which parameters to try next, as a function of the seed and the trials before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from tidemill.contracts import Direction, Sampler, Scalar, Space, Trial
from tidemill.tuning.distributions import distributions
from tidemill.tuning.space import grid_points

__all__ = ["DefaultsFirst", "GridSampler", "RandomSampler", "TpeSampler"]

# TPE learns from the second wave on: with a budget of ten trials it must not wait for ten.
_STARTUP_TRIALS = 4


class RandomSampler:
    """Draws by chance: Optuna's.

    It is seeded anew for each trial, so that a proposal depends on its number and on what was
    told before; a resumed search that tells the same trials gets the same proposals.

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
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._trials, self._seed = trials, seed
        self._distributions = distributions(space, enumerated=False)
        self._study = optuna.create_study(direction=direction)
        self._asked: dict[int, Any] = {}

    @property
    def total(self) -> int:
        """The budget."""
        return self._trials

    def ask(self, numbers: range) -> list[dict[str, Scalar]]:
        """Parameters of the next trials; ``numbers`` follow the last ones."""
        return [self._ask(number) for number in numbers]

    def tell(self, trials: Sequence[Trial]) -> None:
        """What became of the trials asked for last, in the order of their numbers."""
        import optuna

        states = {
            "pruned": optuna.trial.TrialState.PRUNED,
            "failed": optuna.trial.TrialState.FAIL,
        }
        for trial in trials:
            asked = self._asked.pop(trial.number)
            if trial.state == "complete":
                self._study.tell(asked, trial.value)
                continue
            for step, value in dict(trial.steps).items():
                asked.report(value, step)
            self._study.tell(asked, state=states[trial.state])

    def _ask(self, number: int) -> dict[str, Scalar]:
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        self._study.sampler = self._seeded(seed)
        asked = self._asked[number] = self._study.ask(self._distributions)
        return dict(asked.params)

    def _seeded(self, seed: int) -> Any:
        import optuna

        return optuna.samplers.RandomSampler(seed=seed)


class TpeSampler(RandomSampler):
    """Looks near what went well: Optuna's tree of Parzen estimators (Bergstra et al., 2011)."""

    def _seeded(self, seed: int) -> Any:
        import optuna

        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP_TRIALS)


class GridSampler:
    """Visits every point of a space; with fewer trials than points, a seeded random selection.

    Raises
    ------
    ConfigError
        If the space is continuous, or has more than 100,000 points.
    """

    enumerates: ClassVar[bool] = True

    def __init__(
        self,
        space: Space,
        *,
        trials: int,
        direction: Direction,  # noqa: ARG002  # a grid seeks nothing
        seed: int,
    ) -> None:
        self._points = grid_points(space)
        if len(self._points) > trials:
            order = np.random.default_rng(seed).permutation(len(self._points))
            self._points = [self._points[i] for i in order[:trials]]

    @property
    def total(self) -> int:
        """Points that are visited."""
        return len(self._points)

    def ask(self, numbers: range) -> list[dict[str, Scalar]]:
        """The next points."""
        return [dict(self._points[number]) for number in numbers]

    def tell(self, trials: Sequence[Trial]) -> None:
        """No point depends on another."""


class DefaultsFirst:
    """Proposes no parameters at all as trial 0, then what another sampler does.

    Parameters
    ----------
    sampler : Sampler
        Counts its own trials from 0, and is not told of that one: it is no point of its space.
    trials : int
        The budget, that one among them.
    """

    def __init__(self, sampler: Sampler, *, trials: int) -> None:
        self._sampler, self._trials = sampler, trials

    @property
    def total(self) -> int:
        """The trials that there will be: from 1 to the budget."""
        return min(1 + self._sampler.total, self._trials)

    def ask(self, numbers: range) -> list[dict[str, Scalar]]:
        """Parameters of the next trials."""
        own = range(max(numbers.start - 1, 0), max(numbers.stop - 1, 0))
        asked = self._sampler.ask(own) if own else []
        return [*({} for _ in range(len(numbers) - len(own))), *asked]

    def tell(self, trials: Sequence[Trial]) -> None:
        """What became of them."""
        own = [replace(trial, number=trial.number - 1) for trial in trials if trial.number]
        self._sampler.tell(own)
