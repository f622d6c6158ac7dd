"""Successive halving: Optuna's rule, by waves, so that no worker's haste decides."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from tidemill.config import TuningConfig
from tidemill.contracts import Trial
from tidemill.tuning import search
from tidemill.tuning.halving import HalvingPruner
from tidemill.tuning.pruning import Pruned, Report

STEPS = range(1, 21)


def curves(trials, seed):
    """Figures that rise, as a best figure so far does."""
    rng = np.random.default_rng(seed)
    return np.maximum.accumulate(rng.normal(size=(trials, len(STEPS))).round(3), axis=1)


def ours(figures, direction):
    """How far each trial comes, one after the other."""
    trials = []
    for number, curve in enumerate(figures):
        report = Report(HalvingPruner().bars(trials, direction), direction)
        try:
            for step, value in zip(STEPS, curve.tolist(), strict=True):
                report(step, value)
            state, value = "complete", curve[-1]
        except Pruned:
            state, value = "pruned", None
        trials.append(Trial(number, {}, value, state, tuple(report.steps)))
    return [len(trial.steps) for trial in trials]


def theirs(figures, direction):
    """The same with Optuna's own pruner."""
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1)
    study = optuna.create_study(direction=direction, pruner=pruner)
    lengths = []
    for curve in figures:
        trial = study.ask()
        for step, value in zip(STEPS, curve.tolist(), strict=True):
            trial.report(value, step)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, curve[-1])
        lengths.append(step)
    return lengths


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("seed", range(6))
def test_trials_go_as_far_as_with_optuna(direction, seed):
    """Of forty trials one after the other each ends where Optuna's pruner ends it."""
    figures = curves(40, seed) * (1.0 if direction == "maximize" else -1.0)
    lengths = ours(figures, direction)
    assert lengths == theirs(figures, direction)
    assert {1, 4, 20} <= set(lengths) <= {1, 4, 16, 20}


@pytest.mark.parametrize(
    ("steps", "rungs"),
    [
        (range(1, 70), {1, 4, 16, 64}),
        (range(20), {0, 3, 15}),  # counted from 0
        (range(10, 200, 10), {10, 40, 160}),
        ((5, 8, 30, 31), {5, 30}),  # the first report that is as far
        ((5, 30, 100), {5, 30, 100}),  # 100 is beyond 5 * 4 * 4, if not 30 * 4
    ],
)
def test_rungs_are_four_times_as_far(steps, rungs):
    """Whatever steps a learner reports."""
    trial = Trial(0, {}, None, "pruned", tuple((step, 1.0) for step in steps))
    assert HalvingPruner().bars([trial], "maximize").keys() == rungs


def objective(params, report):
    """Some are better from the first step on."""
    for step in STEPS:
        report(step, params["x"] + step / 100)
    return params["x"]


def test_a_wave_is_halved_by_earlier_waves_alone(tmp_path):
    """It is a word of params.yaml; nobody of the first wave is given up, most are afterwards."""
    study = search(
        objective,
        {"x": {"low": 0.0, "high": 1.0}},
        config=TuningConfig(sampler="random", pruner="halving", trials=24, wave=4),
        metric="figure",
        direction="maximize",
        seed=3,
        storage=tmp_path / "study.log",
    )
    states = [trial.state for trial in study.trials]
    assert states[:4] == ["complete"] * 4
    assert 2 * states.count("pruned") > len(states)
    pruned = [trial for trial in study.trials if trial.state == "pruned"]
    assert all("worse than the best quarter" in trial.message for trial in pruned)
