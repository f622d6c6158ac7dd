"""Successive halving and Hyperband over shares of the rows."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import pytest

from tidemill.config import TuningConfig
from tidemill.errors import ConfigError, StorageFailed
from tidemill.tuning import search
from tidemill.tuning.rungs import rung_shares

SPACE = {"x": {"low": -2.0, "high": 2.0}, "n": {"low": 1, "high": 40}}


def bowl(params, report):
    """Best at x = 0; of few rows all looks better than it is, and the defaults worst."""
    found = abs(params["x"]) if params else 3.0
    return found * report.share + (0.0 if params or report.share == 1 else 9.0)


def find(folder, objective=bowl, *, defaults=True, space=SPACE, least_share=0.01, **config):
    return search(
        objective,
        space,
        config=TuningConfig(
            **{"trials": 32, "wave": 3, "sampler": "random", "scheduler": "halving", **config}
        ),
        metric="loss",
        direction="minimize",
        seed=1,
        storage=folder / "study.journal",
        defaults=defaults,
        least_share=least_share,
    )


def rungs_of(study):
    """The trials of each rung, as they come."""
    rungs = []
    for trial in study.trials:
        if not rungs or trial.share != rungs[-1][0].share:
            rungs.append([])
        rungs[-1].append(trial)
    return rungs


def key(trial):
    return json.dumps(trial.params, sort_keys=True)


def test_the_best_quarter_goes_on_and_the_defaults_with_them(tmp_path):
    """32 on a 64th, then 8 and the defaults, then 2 and the defaults, then one and the defaults."""
    study = find(tmp_path)
    rungs = rungs_of(study)
    assert [rung[0].share for rung in rungs] == [1 / 64, 1 / 16, 1 / 4, 1]
    assert [len(rung) for rung in rungs] == [32, 9, 3, 2]
    for before, after in pairwise(rungs):
        assert after[0].params == {}
        tried = [trial for trial in before if trial.params]
        best = sorted(tried, key=lambda trial: trial.value)[: max(len(before) // 4, 1)]
        assert [key(trial) for trial in after[1:]] == [key(trial) for trial in best]
    assert study.complete
    assert [trial.number for trial in study.trials] == list(range(46))


def test_the_best_is_one_that_learnt_all_rows(tmp_path):
    """A smaller loss on few rows says nothing: the figures of a rung are compared alone."""
    study = find(tmp_path)
    last = rungs_of(study)[-1]
    assert study.best_value == min(trial.value for trial in last)
    assert study.best_value > min(trial.value for trial in study.trials)


def test_nothing_worse_than_the_defaults_on_all_rows_is_found(tmp_path):
    """They are last on few rows and best on all: they come to the last rung, and win."""

    def late(params, report):
        return bowl(params, report) if params or report.share < 1 else -1.0

    study = find(tmp_path, late)
    assert study.best_params == {}
    assert study.best_value == -1.0


def test_a_rung_of_which_all_fail_ends_the_rungs(tmp_path):
    """What learnt most rows is then the best there is."""

    def small(params, report):
        if report.share > 0.1:
            raise ConfigError("too many rows", remedy="fewer")
        return bowl(params, report)

    study = find(tmp_path, small)
    assert study.trials[study.best_number].share == 1 / 16
    assert study.complete
    assert max(trial.share for trial in study.trials) == 1 / 4


@pytest.mark.parametrize(
    ("trials", "least", "rungs"),
    [(1, 0, 1), (2, 0, 2), (4, 0, 2), (5, 0, 3), (16, 0, 3), (64, 0.3, 1), (64, 0.25, 2)],
)
def test_rungs_lead_from_all_trials_to_one(trials, least, rungs):
    """No more than that takes, none with fewer rows than a trial needs."""
    shares = rung_shares(trials, least)
    assert shares == tuple(4.0**-rung for rung in reversed(range(rungs)))


def test_rows_too_few_for_a_rung_are_an_ordinary_search(tmp_path):
    """The same trials as without a scheduler."""
    few = find(tmp_path / "few", trials=6, least_share=0.3)
    assert few.trials == find(tmp_path / "none", trials=6, scheduler="none").trials


@pytest.mark.parametrize("scheduler", ["halving", "hyperband"])
def test_a_wave_changes_only_what_a_sampler_knows(tmp_path, scheduler):
    """Chance knows nothing, so that waves of any size come to the same study."""
    one, nine = (
        find(tmp_path / str(wave), scheduler=scheduler, wave=wave, pruner="median")
        for wave in (1, 9)
    )
    assert one.trials == nine.trials


@pytest.mark.parametrize("scheduler", ["halving", "hyperband"])
@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("at", [5, 36])
def test_a_killed_search_goes_on_in_its_rung(tmp_path, scheduler, sampler, at):
    """No trial that ended runs again, and the study is the undisturbed one."""
    ran = []

    def failing(params, report):
        ran.append(params)
        if len(ran) == at:
            raise StorageFailed("disk full", remedy="free some")
        return bowl(params, report)

    given = {"scheduler": scheduler, "sampler": sampler}
    with pytest.raises(StorageFailed):
        find(tmp_path / "a", failing, **given)
    assert find(tmp_path / "a", failing, **given) == find(tmp_path / "b", **given)
    assert len(ran) == 1 + len(find(tmp_path / "b", **given).trials)


def test_a_share_that_was_changed_in_the_file_is_tried_again(tmp_path):
    """The hash of a trial holds it: a figure of few rows is not taken for one of all."""
    first = find(tmp_path, trials=6)
    path = tmp_path / "study.journal"
    text = path.read_text()
    assert '"tidemill:share":0.0625' in text
    path.write_text(text.replace('"tidemill:share":0.0625', '"tidemill:share":0.25', 1))
    again = find(tmp_path, trials=6)
    assert again == first
    assert (first.altered, again.altered) == (0, 1)


def test_figures_of_other_shares_prune_nobody(tmp_path):
    """The first wave of each rung runs to its end, however good those of fewer rows looked."""

    def worse_with_rows(params, report):
        for step in range(1, 4):
            report(step, report.share)
        return report.share

    study = find(tmp_path, worse_with_rows, pruner="median")
    assert Counter(trial.state for trial in study.trials) == {"complete": 46}


def test_early_trials_are_pruned_from_the_first_rung(tmp_path):
    """Within a rung the pruner gives up as ever; who is given up does not go on."""

    def climbing(params, report):
        for step in range(1, 4):
            report(step, bowl(params, report))
        return bowl(params, report)

    study = find(tmp_path, climbing, pruner="median")
    first, *later = rungs_of(study)
    pruned = {key(trial) for trial in first if trial.state == "pruned"}
    assert pruned
    assert not pruned & {key(trial) for rung in later for trial in rung}


def test_hyperband_begins_with_few_rows_with_more_and_with_all(tmp_path):
    """A bracket for each rung, of Hyperband's sizes; no two brackets try the same."""
    study = find(tmp_path, scheduler="hyperband", trials=26, least_share=0.05)
    rungs = rungs_of(study)
    assert [(rung[0].share, len(rung)) for rung in rungs] == [
        (1 / 16, 17),  # the defaults among them
        (1 / 4, 5),
        (1, 2),
        (1 / 4, 6),
        # One of the second bracket, and three that begin with all rows.
        (1, 4),
    ]
    begun = [*rungs[0], *rungs[3], *rungs[4][1:]]
    assert len({key(trial) for trial in begun}) == 26


def test_a_grid_is_halved_whole_and_no_bracket_repeats_it(tmp_path):
    """Hyperband would visit the same points in each; the remedy works."""
    grid = {"n": {"choices": list(range(20))}}
    with pytest.raises(ConfigError, match="hyperband begins grid anew") as caught:
        find(tmp_path, space=grid, scheduler="hyperband", sampler="grid")
    assert "tuning.scheduler to halving" in caught.value.remedy
    study = find(tmp_path, lambda p, r: p.get("n", 99), space=grid, sampler="grid", trials=20)
    assert [len(rung) for rung in rungs_of(study)] == [21, 6, 2, 2]
    assert study.best_params == {"n": 0}


def test_another_number_of_trials_is_another_study(tmp_path):
    """Rungs depend on all of their trials: none of a shorter search's is taken for one of these."""
    find(tmp_path, trials=8)
    assert find(tmp_path) == find(tmp_path / "fresh")


def test_without_defaults_no_place_is_kept_for_them(tmp_path):
    """A search of others."""
    assert [len(rung) for rung in rungs_of(find(tmp_path, defaults=False))] == [32, 8, 2, 1]
