"""Successive halving: at each rung, four times as far as the one before, a quarter goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from tidemill.contracts import Direction, Trial
from tidemill.tuning.pruning import reached

__all__ = ["HalvingPruner"]

_SHARE = 4  # one of so many goes on, to a rung so many times as far


class HalvingPruner:
    """The bar at each rung: what the best quarter of all trials that came there had reached.

    Rungs are the first step that trials report and those 4, 16, 64 ... times as far. There a trial
    is compared with all of earlier waves that came as far, those that were given up there too; it
    goes on if it is of the best quarter with itself, or as good as the best of fewer than eight.

    This is asynchronous successive halving (Li et al., A System for Massively Parallel
    Hyperparameter Tuning, 2020) by the rule of Optuna's ``SuccessiveHalvingPruner``, with a trial's
    best value so far in the place of its last.

    >>> three = [Trial(i, {}, None, "pruned", ((1, float(i)),)) for i in range(3)]
    >>> HalvingPruner().bars(three, "maximize")
    {1: 2.0}
    """

    bar: ClassVar[str] = "the best quarter"

    def bars(self, trials: Sequence[Trial], direction: Direction) -> Mapping[int, float]:
        """The bar at each rung that a trial has come to."""
        found = reached(trials, direction)
        bars = {}
        for step in _rungs(sorted(found)):
            values = sorted(found[step], reverse=direction == "maximize")
            # The trial that is judged is one more.
            bars[step] = values[max((len(values) + 1) // _SHARE - 1, 0)]
        return bars


def _rungs(steps: Sequence[int]) -> Iterator[int]:
    """Of all that were reported, the first and those 4, 16, ... times as far; counted from 1."""
    offset = min(steps[0] - 1, 0) if steps else 0
    wanted = 0
    for step in steps:
        if step - offset >= wanted:
            yield step
            wanted = (wanted or step - offset) * _SHARE
            while wanted <= step - offset:
                wanted *= _SHARE
