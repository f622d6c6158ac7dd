"""Samplers and pruners that break one promise each: what the contract suites fail.

All are ``random`` and ``median`` but for that. They are opened by address:
``tidemill.testing.bad_searchers:ChangingSampler``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tidemill.contracts import Direction, Scalar, Space, Trial
from tidemill.errors import ConfigError
from tidemill.tuning.pruning import MedianPruner
from tidemill.tuning.samplers import RandomSampler

__all__ = ["BAD_PRUNERS", "BAD_SAMPLERS"]


class OvershootingSampler(RandomSampler):
    """Proposes what the space does not hold."""

    def ask(self, numbers: range) -> list[dict[str, Scalar]]:
        """One leaf too many."""
        return [{**params, "leaves": 10} for params in super().ask(numbers)]


class ChangingSampler(RandomSampler):
    """Draws from the system's chance."""

    def __init__(self, space: Space, *, trials: int, direction: Direction, seed: int) -> None:
        changed = seed + int(np.random.default_rng().integers(1, 2**20))
        super().__init__(space, trials=trials, direction=direction, seed=changed)


class BudgetingSampler(RandomSampler):
    """Takes the budget for a seed."""

    def __init__(self, space: Space, *, trials: int, direction: Direction, seed: int) -> None:
        super().__init__(space, trials=trials, direction=direction, seed=seed + trials)


class EndlessSampler(RandomSampler):
    """Wants more trials than there are."""

    @property
    def total(self) -> int:
        """One over the budget."""
        return super().total + 1


class SidedSampler(RandomSampler):
    """Is of two minds."""

    def __init__(self, space: Space, *, trials: int, direction: Direction, seed: int) -> None:
        sided = seed + (direction == "maximize")
        super().__init__(space, trials=trials, direction=direction, seed=sided)


class HesitantSampler(RandomSampler):
    """Finds out late that it cannot search a number."""

    def ask(self, numbers: range) -> list[dict[str, Scalar]]:  # noqa: ARG002
        """When the study has begun."""
        raise ConfigError("a range that does not end", remedy="give choices")


class FragileSampler(RandomSampler):
    """Needs a value of every trial."""

    def tell(self, trials: Sequence[Trial]) -> None:
        """A failed one has none."""
        if any(math.isnan(trial.value) for trial in trials):  # type: ignore[arg-type]
            raise ValueError("no number")
        super().tell(trials)


class NanPruner(MedianPruner):
    """Has bars that nothing compares with."""

    def bars(self, trials: Sequence[Trial], direction: Direction) -> Mapping[int, float]:
        """No number."""
        return dict.fromkeys(super().bars(trials, direction), math.nan)


class EagerPruner(MedianPruner):
    """Prunes before anything was tried."""

    def bars(self, trials: Sequence[Trial], direction: Direction) -> Mapping[int, float]:
        """Nought is the least."""
        return super().bars(trials, direction) if trials else {1: 0.0}


class RememberingPruner(MedianPruner):
    """Does not forget what it was asked before."""

    def __init__(self) -> None:
        self._asked = 0

    def bars(self, trials: Sequence[Trial], direction: Direction) -> Mapping[int, float]:
        """A little higher each time."""
        self._asked += 1
        return {step: v + self._asked for step, v in super().bars(trials, direction).items()}


class HarshPruner(MedianPruner):
    """Prunes the best."""

    def bars(self, trials: Sequence[Trial], direction: Direction) -> Mapping[int, float]:
        """Nothing reaches it."""
        beyond = 1e6 if direction == "maximize" else -1e6
        return {step: v + beyond for step, v in super().bars(trials, direction).items()}


class SidedPruner(MedianPruner):
    """Knows one direction."""

    def bars(self, trials: Sequence[Trial], direction: Direction) -> Mapping[int, float]:  # noqa: ARG002
        """Upwards."""
        return super().bars(trials, "maximize")


class FragilePruner(MedianPruner):
    """Needs a step of every trial."""

    def bars(self, trials: Sequence[Trial], direction: Direction) -> Mapping[int, float]:
        """A failed one may have none."""
        if any(trial.steps[0][0] < 0 for trial in trials):
            raise ValueError("steps begin at 0")
        return super().bars(trials, direction)


BAD_SAMPLERS: dict[str, type[RandomSampler]] = {
    "test_a_larger_budget_goes_on": BudgetingSampler,
    "test_a_search_goes_on_where_it_was": FragileSampler,
    "test_it_takes_no_side": SidedSampler,
    "test_its_total_is_within_the_budget": EndlessSampler,
    "test_proposals_lie_in_the_space": OvershootingSampler,
    "test_the_same_again": ChangingSampler,
    "test_what_it_cannot_search_is_refused_at_once": HesitantSampler,
}
"""By the test of the contract suite that fails it."""

BAD_PRUNERS: dict[str, type[MedianPruner]] = {
    "test_any_state_will_do": FragilePruner,
    "test_it_takes_no_side": SidedPruner,
    "test_its_bars_are_plain": NanPruner,
    "test_the_best_goes_on": HarshPruner,
    "test_the_same_trials_give_the_same_bars": RememberingPruner,
    "test_without_trials_there_is_no_bar": EagerPruner,
}
"""Likewise."""
