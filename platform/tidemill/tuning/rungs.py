"""Many trials on few rows, the best of them on more: successive halving, Hyperband.

A trial that goes on is another trial, with the same parameters and a larger share of the rows.
All of a rung learn the same share, so that their figures can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from tidemill.config import TuningConfig
from tidemill.contracts import Direction, Sampler, Scalar, Space, Trial
from tidemill.errors import ConfigError
from tidemill.searchers import SAMPLERS
from tidemill.tuning.samplers import DefaultsFirst

__all__ = ["Bracket", "Rungs", "Wave", "best_first", "planned_brackets", "rung_shares"]

_ETA = 4
"""One of so many goes on, to a rung with so many times the rows."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """A sampler's trials, and the share of the rows that each rung learns; the last learns all."""

    sampler: Sampler | DefaultsFirst
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Wave:
    """Trials that are proposed together: their numbers, and the share of the rows they learn.

    ``proposed`` says that their parameters are the sampler's; else they are of the rung before.
    """

    numbers: range
    share: float
    proposed: bool


class Rungs:
    """Proposes the trials of brackets, one after the other, each rung by rung.

    Of a rung the best quarter goes on, at least one, and with them the learner's own defaults
    (a trial without parameters), which stand first: nothing that is worse on all rows is found.
    Whether a trial goes on depends on its whole rung, never on which one ended first. One bracket
    of one rung is an ordinary search.

    Successive halving: Jamieson and Talwalkar, Non-stochastic best arm identification (2016).
    Hyperband: Li et al., Hyperband: a novel bandit-based approach (2018).
    """

    def __init__(self, brackets: Sequence[Bracket], direction: Direction) -> None:
        self._brackets, self._direction = brackets, direction
        self._sampler, self._first = brackets[0].sampler, 0
        self._going: list[dict[str, Scalar]] = []
        self._ended: list[Trial] = []

    @property
    def total(self) -> int:
        """The parameters that will be tried: trials of the first rungs."""
        return sum(bracket.sampler.total for bracket in self._brackets)

    def waves(self, size: int) -> Iterator[Wave]:
        """The waves, each once the one before has been told."""
        first = 0
        for bracket in self._brackets:
            self._sampler = bracket.sampler
            for rung, share in enumerate(bracket.shares):
                self._first, self._ended = first, []
                count = len(self._going) if rung else bracket.sampler.total
                for start in range(first, first + count, size):
                    numbers = range(start, min(start + size, first + count))
                    yield Wave(numbers, share, proposed=not rung)
                self._going = _going_on(self._ended, self._direction)
                first += count

    def ask(self, wave: Wave) -> list[dict[str, Scalar]]:
        """The parameters of its trials."""
        own = self._own(wave)
        return self._sampler.ask(own) if wave.proposed else self._going[own.start : own.stop]

    def tell(self, wave: Wave, trials: Sequence[Trial]) -> None:
        """What became of them, in the order of their numbers."""
        self._ended += trials
        if wave.proposed:
            own = zip(self._own(wave), trials, strict=True)
            self._sampler.tell([replace(trial, number=number) for number, trial in own])

    def _own(self, wave: Wave) -> range:
        return range(wave.numbers.start - self._first, wave.numbers.stop - self._first)


def _going_on(trials: Sequence[Trial], direction: Direction) -> list[dict[str, Scalar]]:
    """The parameters of the defaults, unless they failed, and of the best quarter of others."""
    ranked = best_first(trials, direction)
    defaults = [trial for trial in ranked if not trial.params]
    others = [trial for trial in ranked if trial.params]
    best = others[: max(len(trials) // _ETA, 1)]
    return [dict(trial.params) for trial in (*defaults, *best)]


def best_first(trials: Sequence[Trial], direction: Direction) -> list[Trial]:
    """Those with a value: who learnt more rows before others, then by value; the first of equals.

    >>> few, many = Trial(0, {}, 0.9, "complete", share=0.25), Trial(1, {}, 0.8, "complete")
    >>> [trial.number for trial in best_first([few, many], "maximize")]
    [1, 0]
    """
    sign = -1.0 if direction == "maximize" else 1.0
    ranked = [
        (-trial.share, sign * trial.value, trial.number, trial)
        for trial in trials
        if trial.value is not None
    ]
    return [trial for *_, trial in sorted(ranked, key=lambda one: one[:3])]


def rung_shares(trials: int, least_share: float) -> tuple[float, ...]:
    """The share of the rows that each rung learns: a quarter of the next, the last learns all.

    As many rungs as it takes to come from ``trials`` to one, and none with less than
    ``least_share``.

    >>> rung_shares(8, 0.05), rung_shares(8, 0.1), rung_shares(1, 0.001)
    ((0.0625, 0.25, 1.0), (0.25, 1.0), (1.0,))
    """
    shares = [1.0]
    while shares[0] / _ETA >= least_share and _ETA ** (len(shares) - 1) < trials:
        shares.insert(0, shares[0] / _ETA)
    return tuple(shares)


def planned_brackets(
    space: Space,
    config: TuningConfig,
    direction: Direction,
    seed: int,
    *,
    defaults: bool,
    least_share: float,
) -> list[Bracket]:
    """The brackets of a search, each with a sampler of its own, of another seed.

    ``config.scheduler``: none is one rung; halving one bracket; hyperband as many brackets as
    rungs, each beginning a rung later than the one before, with as many trials as cost about the
    same. Where ``defaults`` is set, the first trial of all has no parameters.

    Raises
    ------
    ConfigError
        If the sampler enumerates points and would begin anew in each bracket, or refuses the
        space.
    """
    of_grid = SAMPLERS[config.sampler].enumerates
    if of_grid and config.scheduler == "hyperband":
        raise ConfigError(
            f"tuning.scheduler: hyperband begins {config.sampler} anew in each bracket, which "
            "would visit the same points",
            remedy="set tuning.scheduler to halving, or tuning.sampler to random or tpe",
        )
    budget = max(config.trials - 1, 1) if defaults and not of_grid else config.trials
    shares = (1.0,) if config.scheduler == "none" else rung_shares(budget, least_share)
    counts = _bracket_sizes(budget, len(shares)) if config.scheduler == "hyperband" else [budget]
    brackets: list[Bracket] = []
    for late, count in enumerate(counts):
        if count:
            own = SAMPLERS.made(
                config.sampler,
                space,
                trials=count,
                direction=direction,
                seed=_seed_of(seed, late),
            )
            # A budget of one leaves the sampler none.
            total = 1 + own.total if of_grid or config.trials > 1 else 1
            first = defaults and not brackets
            sampler = DefaultsFirst(own, trials=total) if first else own
            brackets.append(Bracket(sampler, shares[late:]))
    return brackets


def _bracket_sizes(trials: int, rungs: int) -> list[int]:
    """The trials of each bracket: of Hyperband's own sizes that share of the trials.

    >>> _bracket_sizes(25, 3), _bracket_sizes(7, 3)
    ([16, 6, 3], [4, 2, 1])
    """
    sizes = [-(-rungs * _ETA ** (rungs - 1 - late) // (rungs - late)) for late in range(rungs)]
    borders = np.rint(np.cumsum([0, *sizes]) * (trials / sum(sizes))).astype(int).tolist()
    return [stop - start for start, stop in pairwise(borders)]


def _seed_of(seed: int, bracket: int) -> int:
    """The seed itself for the first bracket, so that its trials are those of halving."""
    if bracket == 0:
        return seed
    return int(np.random.SeedSequence([seed, bracket]).generate_state(1)[0])
