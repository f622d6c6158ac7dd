"""Giving up on a trial early, by what finished trials of earlier waves had reached.

The bars travel to the worker as plain data, so that whether a trial is pruned depends on
numbers of earlier waves only: never on which worker was quicker.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar

from tidemill.contracts import Direction, Trial
from tidemill.tuning.limits import Allowance

__all__ = ["MedianPruner", "OutOfTime", "Pruned", "Report", "reached"]

_MIN_FINISHED = 4


class Pruned(Exception):
    """Raised by :class:`Report` inside an objective: let it pass through."""


class OutOfTime(Exception):
    """Raised by :class:`Report` when the study's time, or its CPU seconds, are over."""


class MedianPruner:
    """The bar at each step: the median of what complete trials had reached there.

    A trial's reach at a step is its best value up to and including that step. There is a bar
    only where at least four complete trials reported. This is the median rule of Golovin et
    al., Google Vizier (2017), section 3.1, without averaging over steps.

    >>> four = [Trial(i, {}, 1.0, "complete", ((0, float(i)),)) for i in range(4)]
    >>> MedianPruner().bars(four, "maximize")
    {0: 1.5}
    """

    bar: ClassVar[str] = "the median"

    def bars(self, trials: Sequence[Trial], direction: Direction) -> Mapping[int, float]:
        """The bar at each step that four complete trials reported."""
        found = reached([trial for trial in trials if trial.state == "complete"], direction)
        return {
            step: statistics.median(values)
            for step, values in sorted(found.items())
            if len(values) >= _MIN_FINISHED
        }


def reached(trials: Sequence[Trial], direction: Direction) -> dict[int, list[float]]:
    """By step, the best value up to it of each trial that reported there.

    >>> reached([Trial(0, {}, None, "pruned", ((1, 0.5), (2, 0.25)))], "maximize")
    {1: [0.5], 2: [0.5]}
    """
    found: dict[int, list[float]] = {}
    for trial in trials:
        best = -math.inf if direction == "maximize" else math.inf
        for step, value in trial.steps:
            best = _better(best, value, direction)
            found.setdefault(step, []).append(best)
    return found


def _better(a: float, b: float, direction: Direction) -> float:
    return max(a, b) if direction == "maximize" else min(a, b)


class Report:
    """Given to the objective, which calls it with (step, value) as it goes.

    Parameters
    ----------
    bars : mapping of int to float
        Of a pruner; a trial whose best value so far is worse at that step ends.
    direction : {"maximize", "minimize"}
    left : Allowance
        Of what the study may take, counted from now on.
    bar : str
        What a bar is called.
    share : float
        Of the rows that trials may learn, those that this one is to learn; the objective reads it.

    Raises
    ------
    Pruned
        From the call, if the trial is worse than the bar, or its value is not finite.
    OutOfTime
        From the call, when the trial has taken what was left.
    """

    def __init__(
        self,
        bars: Mapping[int, float] | None = None,
        direction: Direction = "maximize",
        left: Allowance = Allowance(),  # noqa: B008  # frozen
        bar: str = MedianPruner.bar,
        share: float = 1.0,
    ) -> None:
        self._bar, self.share = bar, share
        self.steps: list[tuple[int, float]] = []
        self._bars = dict(bars or {})
        self._direction: Direction = direction
        self._left = left
        self._began = time.monotonic(), time.process_time()
        self._best = -math.inf if direction == "maximize" else math.inf

    def __call__(self, step: int, value: float) -> None:
        """Note ``value`` at ``step``; return if the trial may go on."""
        step, value = int(step), float(value)
        if not math.isfinite(value):
            raise Pruned(f"the value at step {step} is {value}")
        self.steps.append((step, value))
        self._best = _better(self._best, value, self._direction)
        bar = self._bars.get(step)
        if bar is not None and self._best != _better(self._best, bar, self._direction):
            raise Pruned(f"{self._best:.6g} at step {step} is worse than {self._bar} {bar:.6g}")
        seconds, cpu_seconds = self._began
        if self._left.is_over(time.monotonic() - seconds, time.process_time() - cpu_seconds):
            raise OutOfTime
