"""The contracts of a sampler and of a pruner, as tests that a new one inherits.

::

    class TestMine(SamplerContract):
        sampler = "mine"

``tidemill.testing.bad_searchers`` has, for each of them, one that it fails.
"""

# ruff: noqa: S101
from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tidemill.config import TuningConfig
from tidemill.contracts import Direction, Pruner, Sampler, Scalar, Trial
from tidemill.errors import ConfigError
from tidemill.searchers import PRUNERS, SAMPLERS
from tidemill.tuning import Report, Study, read_space, search

__all__ = ["PrunerContract", "SamplerContract"]

_WAVE = 4
_FINITE: dict[str, dict[str, Any]] = {
    "kind": {"choices": ["a", "b", True]},
    "leaves": {"low": 3, "high": 9, "step": 2},
    "share": {"low": 0.1, "high": 0.3, "step": 0.1},
}
_SPACE: dict[str, dict[str, Any]] = {
    **_FINITE,
    "alpha": {"low": 1e-6, "high": 1e-1, "log": True},
    "rate": {"low": -1.0, "high": 2.0},
}


class SamplerContract:
    """What every sampler promises; ``sampler`` is its name, or its address ``module:Name``."""

    sampler: ClassVar[str]

    @classmethod
    def kind(cls) -> type[Sampler]:
        """The sampler's class."""
        return SAMPLERS[cls.sampler]

    @classmethod
    def space(cls) -> dict[str, dict[str, Any]]:
        """One with every form of parameter that it can search."""
        return _FINITE if cls.kind().enumerates else _SPACE

    def made(
        self, *, trials: int = 12, direction: Direction = "minimize", seed: int = 1
    ) -> Sampler:
        """A sampler that has not been asked yet."""
        space = read_space(self.space())
        return self.kind()(space, trials=trials, direction=direction, seed=seed)

    def proposals(
        self, *, trials: int = 12, direction: Direction = "minimize", seed: int = 1
    ) -> list[dict[str, Scalar]]:
        """Those of a whole study, told of complete, pruned and failed trials."""
        sampler = self.made(trials=trials, direction=direction, seed=seed)
        asked: list[dict[str, Scalar]] = []
        for first in range(0, sampler.total, _WAVE):
            numbers = range(first, min(first + _WAVE, sampler.total))
            wave = sampler.ask(numbers)
            asked += copy.deepcopy(wave)
            pairs = zip(numbers, wave, strict=True)
            sampler.tell([_trial(number, params, direction) for number, params in pairs])
        return asked

    def test_proposals_lie_in_the_space(self) -> None:
        """Every parameter has a value that the space holds."""
        space = read_space(self.space())
        for params in self.proposals(trials=40):
            assert params.keys() == space.keys()
            assert all(space[name].holds(value) for name, value in params.items()), params

    def test_the_same_again(self) -> None:
        """Told the same, it proposes the same; whatever else goes on in the process."""
        first = self.proposals()
        np.random.default_rng().normal()
        assert self.proposals() == first

    def test_a_larger_budget_goes_on(self) -> None:
        """It begins with the same proposals, unless the budget decides which points are visited."""
        few, many = self.proposals(trials=8), self.proposals(trials=16)
        if self.kind().enumerates:
            assert all(len({repr(p) for p in found}) == len(found) for found in (few, many))
        else:
            assert many[:8] == few

    def test_its_total_is_within_the_budget(self) -> None:
        """At least one trial, no more than asked for; of points no more than there are."""
        for trials in (1, 7, 1000):
            total = self.made(trials=trials).total
            assert 1 <= total <= trials
            if self.kind().enumerates:
                assert total == min(trials, 3 * 4 * 3)

    def test_what_it_cannot_search_is_refused_at_once(self) -> None:
        """A space of any form is searched, or refused when the sampler is made."""
        try:
            sampler = self.kind()(read_space(_SPACE), trials=3, direction="minimize", seed=1)
        except ConfigError:
            return
        try:
            assert len(sampler.ask(range(1))) == 1
        except ConfigError as error:
            raise AssertionError("it was made, and refuses its space afterwards") from error

    def test_it_takes_no_side(self) -> None:
        """Negated figures, minimised, lead to the same proposals."""
        assert self.proposals(direction="maximize") == self.proposals(direction="minimize")

    def test_a_search_goes_on_where_it_was(self, tmp_path: Path) -> None:
        """A study of a search is found again in its file, and no trial is run twice."""
        ran: list[dict[str, Scalar]] = []

        def objective(params: dict[str, Scalar], report: Report) -> float:
            report(1, _figure(params))
            ran.append(params)
            if len(ran) == 3:
                raise ConfigError("not these", remedy="others")
            return _figure(params)

        def study() -> Study:
            return search(
                objective,
                self.space(),
                config=TuningConfig(sampler=self.sampler, trials=10, wave=_WAVE),
                metric="loss",
                direction="minimize",
                seed=3,
                storage=tmp_path / "study.log",
            )

        first = study()
        assert first.complete
        assert [trial.state for trial in first.trials][2] == "failed"
        times = len(ran)
        assert study() == first
        assert len(ran) == times


class PrunerContract:
    """What every pruner promises; ``pruner`` is its name, or its address ``module:Name``."""

    pruner: ClassVar[str]

    def made(self) -> Pruner:
        """A pruner."""
        return PRUNERS[self.pruner]()

    def test_its_bars_are_plain(self) -> None:
        """Finite numbers by whole steps, as they travel to the workers; and a word for them."""
        pruner = self.made()
        bars = pruner.bars(_history(), "maximize")
        assert pickle.loads(pickle.dumps(dict(bars))) == bars  # noqa: S301  # made here
        for step, value in bars.items():
            assert type(step) is int
            assert isinstance(value, float)
            assert math.isfinite(value)
        assert type(pruner.bar) is str
        assert pruner.bar

    def test_without_trials_there_is_no_bar(self) -> None:
        """The first wave runs."""
        assert dict(self.made().bars([], "maximize")) == {}

    def test_the_same_trials_give_the_same_bars(self) -> None:
        """Another one gives the same, and so does the same one again."""
        pruner, trials = self.made(), _history()
        first = dict(pruner.bars(trials, "maximize"))
        pruner.bars(trials[:5], "maximize")
        assert pruner.bars(trials, "maximize") == first == self.made().bars(trials, "maximize")
        assert trials == _history()

    def test_the_best_goes_on(self) -> None:
        """A trial that is nowhere worse than the best before is not given up."""
        for direction, best in (("maximize", max), ("minimize", min)):
            trials = _history()
            report = Report(self.made().bars(trials, direction), direction)  # type: ignore[arg-type]
            for step in range(1, 6):
                report(step, best(v for t in trials for s, v in t.steps if s == step))

    def test_it_takes_no_side(self) -> None:
        """Negated values, minimised, have negated bars."""
        up = self.made().bars(_history(), "maximize")
        down = self.made().bars(_history(sign=-1.0), "minimize")
        assert {step: -value for step, value in down.items()} == up

    def test_any_state_will_do(self) -> None:
        """Pruned and failed trials have no value, and maybe no step."""
        trials = [
            *_history(),
            Trial(12, {}, None, "failed", (), "it failed"),
            Trial(13, {}, None, "pruned", ((1, 0.1),), "too bad"),
        ]
        self.made().bars(trials, "maximize")
        self.made().bars(trials[-2:], "minimize")


def _figure(params: dict[str, Scalar]) -> float:
    """Best at leaves 5, and at a small share."""
    return abs(float(params["leaves"] or 0) - 5.0) + float(params["share"] or 0)


def _trial(number: int, params: dict[str, Scalar], direction: Direction) -> Trial:
    """Every fifth is pruned, every seventh fails."""
    value = _figure(params) * (1.0 if direction == "minimize" else -1.0)
    if number % 5 == 4:
        return Trial(number, params, None, "pruned", ((1, value),), "too bad")
    if number % 7 == 6:
        return Trial(number, params, None, "failed", (), "it failed")
    return Trial(number, params, value, "complete", ((1, value),))


def _history(sign: float = 1.0) -> list[Trial]:
    """Twelve complete trials of five steps."""
    values = np.random.default_rng(5).normal(size=(12, 5)).round(6) * sign
    return [
        Trial(n, {"x": n}, row[-1], "complete", tuple(enumerate(row, start=1)))
        for n, row in enumerate(values.tolist())
    ]
