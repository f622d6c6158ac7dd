"""Trial 0 without parameters: a search finds nothing worse than what the learner does by itself."""

from __future__ import annotations

import pytest

from tidemill.config import TuningConfig
from tidemill.tuning import search

SPACE = {"x": {"low": -2.0, "high": 2.0}, "n": {"low": 1, "high": 4}}


def away(params, report):
    """Best without parameters."""
    return abs(params["x"]) + params["n"] if params else 0.0


def find(folder, objective=away, *, defaults=True, space=SPACE, **config):
    return search(
        objective,
        space,
        config=TuningConfig(**{"trials": 6, "wave": 3, **config}),
        metric="loss",
        direction="minimize",
        seed=1,
        storage=folder / "study.journal",
        defaults=defaults,
    )


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_nothing_worse_than_the_defaults_is_found(tmp_path, sampler):
    """They are trial 0, one of the budget; the sampler's own trials follow as without them."""
    study = find(tmp_path / "a", sampler=sampler)
    assert study.best_params == {}
    assert study.best_number == 0
    assert len(study.trials) == 6
    assert study.complete
    alone = find(tmp_path / "b", sampler=sampler, defaults=False, trials=3)
    asked = [trial.params for trial in study.trials]
    assert asked[1:3] == [trial.params for trial in alone.trials][:2]
    assert all(params.keys() == SPACE.keys() for params in asked[1:])


def test_a_better_trial_wins(tmp_path):
    """Defaults are no more than one of the trials."""
    study = find(tmp_path, lambda params, report: -params.get("n", 0))
    assert study.best_params
    assert study.best_number > 0


def test_a_grid_is_visited_whole(tmp_path):
    """The defaults cost no point of it."""
    grid = {"n": {"choices": [1, 2, 3]}}
    study = find(tmp_path, sampler="grid", trials=3, space=grid, objective=lambda p, _: 1.0)
    assert [trial.params for trial in study.trials] == [{}, {"n": 1}, {"n": 2}, {"n": 3}]


def test_one_trial_is_the_defaults(tmp_path):
    """A budget of one asks no sampler."""
    study = find(tmp_path, trials=1)
    assert [trial.params for trial in study.trials] == [{}]
    assert study.complete


def test_a_killed_search_remembers_them(tmp_path):
    """Trial 0 is read back from the journal and not tried again."""
    tried = []

    def note(params, report):
        tried.append(params)
        return away(params, report)

    first = find(tmp_path, note, trials=3)
    assert len(tried) == 3
    longer = find(tmp_path, note, trials=6)
    assert len(tried) == 6
    assert longer.trials[:3] == first.trials
