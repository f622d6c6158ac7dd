"""The Gaussian process learns from trials, and from those that found nothing."""

from __future__ import annotations

import statistics

import pytest

from tidemill.config import TuningConfig
from tidemill.contracts import Trial
from tidemill.tuning import read_space, search
from tidemill.tuning.gaussian import GpSampler, _share_of, _value_at

SPACE = {
    "x": {"low": -2.0, "high": 2.0},
    "rate": {"low": 1e-4, "high": 1.0, "log": True},
    "leaves": {"low": 7, "high": 127, "log": True},
    "kind": {"choices": ["a", 2, True]},
    "depth": {"low": 1, "high": 9, "step": 3},
}


LINE = {"x": {"low": 0.0, "high": 1.0}}


def bowl(params, report):
    """Best at x 0.5, rate 0.1, 31 leaves, kind a, depth 4."""
    return (
        (params["x"] - 0.5) ** 2
        + (_share_of(read_space(SPACE)["rate"], params["rate"]) - 0.75) ** 2
        + (_share_of(read_space(SPACE)["leaves"], params["leaves"]) - 0.5) ** 2
        + (params["kind"] != "a")
        + abs(params["depth"] - 4) / 8
    )


def find(folder, objective=bowl, *, seed=1, **given):
    return search(
        objective,
        SPACE,
        config=TuningConfig(**{"sampler": "gp", "trials": 24, **given}),
        metric="loss",
        direction="minimize",
        seed=seed,
        storage=folder / "study.journal",
    )


def test_it_finds_better_than_chance(tmp_path):
    """Of three seeds: its later trials are nearer to the best, and so is what it finds."""
    found = {
        name: [find(tmp_path / f"{name}{seed}", sampler=name, seed=seed) for seed in range(3)]
        for name in ("gp", "random")
    }
    later, best = (
        {
            name: statistics.fmean(figure(study) for study in studies)
            for name, studies in found.items()
        }
        for figure in (
            lambda study: statistics.fmean(trial.value for trial in study.trials[8:]),
            lambda study: study.best_value,
        )
    )
    assert later["gp"] < later["random"] / 2
    assert best["gp"] < best["random"]


def asked(value_of):
    """A line from 0 to 1, in five waves of four."""
    sampler = GpSampler(read_space(LINE), trials=20, direction="minimize", seed=1)
    waves = []
    for first in range(0, 20, 4):
        numbers = range(first, first + 4)
        waves.append(sampler.ask(numbers))
        sampler.tell(
            [
                Trial(number, params, value, "complete" if value is not None else "failed")
                for number, params in zip(numbers, waves[-1], strict=True)
                for value in [value_of(params["x"])]
            ]
        )
    return [[params["x"] for params in wave] for wave in waves]


def test_trials_of_a_wave_lie_apart():
    """Each is proposed as if the others had come out as expected: they do not look at one end."""
    wave = asked(lambda x: (x - 0.4) ** 2)[1]
    assert max(wave) - min(wave) > 0.3


def test_what_fails_is_left_alone():
    """A failed trial counts as the worst: where all fail it looks less, though the best is near."""
    found = [x for wave in asked(lambda x: None if x > 0.5 else 1 - x) for x in wave]
    assert sum(x > 0.5 for x in found) < 9


@pytest.mark.parametrize("name", SPACE)
def test_values_and_shares_belong_together(name):
    """Both ends are values of the space, and a value's share is near the one that it was of."""
    parameter = read_space(SPACE)[name]
    for share in (0.0, 0.3, 0.999):
        value = _value_at(parameter, share)
        assert parameter.holds(value)
        assert type(value) is type(_value_at(parameter, 0.0)) or name == "kind"
        assert _share_of(parameter, value) == pytest.approx(share, abs=0.34)
