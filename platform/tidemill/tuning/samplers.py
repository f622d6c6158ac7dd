"""Which parameters to try next, as a function of the seed and the trials before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from tidemill.contracts import Direction, Scalar, Space, Trial
from tidemill.tuning.distributions import distributions
from tidemill.tuning.space import grid_points

__all__ = ["GridSampler", "RandomSampler", "TpeSampler"]

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
