"""Which parameters to try next, as a function of the seed and the trials before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tidemill.contracts import Scalar
from tidemill.tuning.space import Choices, Range, Space, all_values, grid_points
from tidemill.tuning.study import Direction, Trial

__all__ = ["Proposals"]

# TPE learns from the second wave on: with a budget of ten trials it must not wait for ten.
_STARTUP_TRIALS = 4


class Proposals:
    """Proposes trials in the order of their numbers.

    The sampler is seeded anew for each trial, so that a proposal depends on its number and on
    what was told before; a resumed search that tells the same trials gets the same proposals.

    Parameters
    ----------
    space : Space
    sampler : {"tpe", "random", "grid"}
    trials : int
        The budget; a grid with more points is visited in a seeded random order.
    direction : {"maximize", "minimize"}
    seed : int

    Raises
    ------
    ConfigError
        If the sampler is grid and the space is continuous.
    """

    def __init__(
        self, space: Space, *, sampler: str, trials: int, direction: Direction, seed: int
    ) -> None:
        import optuna

        self._sampler = sampler
        self._seed = seed
        self._grid: list[dict[str, Scalar]] | None = None
        self.total = trials
        if sampler == "grid":
            self._grid = grid_points(space)
            if len(self._grid) > trials:
                order = np.random.default_rng(seed).permutation(len(self._grid))
                self._grid = [self._grid[i] for i in order]
            self.total = min(trials, len(self._grid))
        self.distributions = {
            name: _distribution(parameter, discrete=self._grid is not None)
            for name, parameter in space.items()
        }
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(direction=direction)
        self._asked: dict[int, Any] = {}

    def ask(self, numbers: range) -> list[dict[str, Scalar]]:
        """Parameters of the next trials, in order of name; ``numbers`` follow the last ones."""
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
        if self._grid is not None:
            self._study.enqueue_trial(self._grid[number])
        self._study.sampler = self._seeded(number)
        asked = self._asked[number] = self._study.ask(self.distributions)
        params = asked.params
        return {name: params[name] for name in sorted(params)}

    def _seeded(self, number: int) -> Any:
        import optuna

        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        if self._sampler == "tpe":
            return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP_TRIALS)
        return optuna.samplers.RandomSampler(seed=seed)


def _distribution(parameter: Choices | Range, *, discrete: bool) -> Any:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(parameter, Choices):
        return CategoricalDistribution(parameter.values)
    if discrete:
        return CategoricalDistribution(all_values(parameter))
    # Optuna warns about a high that the steps miss, so that it gets the last one they reach.
    high = parameter.high if parameter.size is None else parameter.value(parameter.size - 1)
    if parameter.whole:
        step = int(parameter.step or 1)
        return IntDistribution(int(parameter.low), int(high), log=parameter.log, step=step)
    return FloatDistribution(
        float(parameter.low), float(high), log=parameter.log, step=parameter.step
    )
