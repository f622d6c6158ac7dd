"""The search in this process: samplers, pruning, failures, time."""

from __future__ import annotations

import math
import re
import time
import warnings

import pytest

from tidemill.config import TuningConfig
from tidemill.contracts import Trial
from tidemill.errors import (
    BudgetExceeded,
    ConfigError,
    IntegrityError,
    StorageFailed,
)
from tidemill.searchers import PRUNERS, SAMPLERS
from tidemill.testing.bad_engines import PlainEngine
from tidemill.tuning import Pruned, Report, search
from tidemill.tuning.pruning import MedianPruner
from tidemill.tuning.samplers import RandomSampler

SPACE = {"x": {"low": -2.0, "high": 2.0}, "n": {"low": 1, "high": 4}}


def bowl(params, report):
    """Best at x = 0, n = 3."""
    return params["x"] ** 2 + abs(params["n"] - 3)


def find(
    objective,
    folder,
    *,
    space=SPACE,
    seed=1,
    direction="minimize",
    engine=None,
    trial_bytes=None,
    **config,
):
    config = TuningConfig(**{"trials": 12, **config})
    watched = []
    study = search(
        objective,
        space,
        config=config,
        metric="loss",
        direction=direction,
        seed=seed,
        storage=folder / "study.journal",
        engine=engine,
        trial_bytes=trial_bytes,
        on_trial=watched.append,
    )
    return study, watched


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_same_seed_same_study(tmp_path, sampler):
    """A study is a function of its seed; another seed gives another one."""
    first, _ = find(bowl, tmp_path / "a", sampler=sampler)
    again, _ = find(bowl, tmp_path / "b", sampler=sampler)
    other, _ = find(bowl, tmp_path / "c", sampler=sampler, seed=2)
    assert first == again
    assert first.trials != other.trials
    assert first.complete
    assert [trial.number for trial in first.trials] == list(range(12))


def test_best_is_the_best(tmp_path):
    """The study's best trial has the lowest value (or the highest, maximising)."""
    low, _ = find(bowl, tmp_path / "a")
    assert low.best_value == min(trial.value for trial in low.trials)
    assert low.trials[low.best_number].params == low.best_params
    high, _ = find(bowl, tmp_path / "b", direction="maximize")
    assert high.best_value == max(trial.value for trial in high.trials)


def test_first_of_equals_wins(tmp_path):
    """Equal values: the lowest number."""
    study, _ = find(lambda params, report: 1.0, tmp_path)
    assert study.best_number == 0


def test_tpe_learns_from_the_trials_before(tmp_path):
    """After the first wave TPE proposes better points than chance does, on average."""
    gain = []
    for seed in range(5):
        tpe, _ = find(bowl, tmp_path / f"t{seed}", seed=seed, trials=24)
        chance, _ = find(bowl, tmp_path / f"r{seed}", seed=seed, trials=24, sampler="random")
        gain.append(
            sum(trial.value for trial in chance.trials[8:])
            - sum(trial.value for trial in tpe.trials[8:])
        )
    assert sum(gain) > 0


def test_grid_visits_every_point_once(tmp_path):
    """The grid ends when it is exhausted, whatever the budget."""
    space = {"a": {"choices": ["x", "y", None]}, "n": {"low": 1, "high": 3}}
    study, _ = find(
        lambda params, report: params["n"], tmp_path, space=space, sampler="grid", trials=50
    )
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 9
    assert len(study.trials) == 9
    assert study.complete


def test_small_budget_spreads_over_the_grid(tmp_path):
    """A budget below the grid's size visits distinct points in a seeded order."""
    space = {"a": {"low": 1, "high": 30}}
    study, _ = find(
        lambda params, report: params["a"], tmp_path, space=space, sampler="grid", trials=6
    )
    seen = [trial.params["a"] for trial in study.trials]
    assert len(set(seen)) == 6
    assert seen != sorted(seen)


def test_larger_budget_continues_the_study(tmp_path):
    """Raising tuning.trials runs only the new trials, and equals a study begun that large."""
    called = []

    def counted(params, report):
        called.append(1)
        return bowl(params, report)

    find(counted, tmp_path / "a", trials=8)
    grown, watched = find(counted, tmp_path / "a", trials=14)
    fresh, _ = find(bowl, tmp_path / "b", trials=14)
    assert grown == fresh
    assert len(called) == 14
    assert [trial.number for trial in watched] == list(range(14))


def test_other_plans_share_the_file_untouched(tmp_path):
    """Another seed or space in the same file is another study."""
    first, _ = find(bowl, tmp_path)
    find(bowl, tmp_path, seed=9)
    find(bowl, tmp_path, space={"x": {"low": -1.0, "high": 1.0}, "n": {"choices": [1, 2]}})
    again, _ = find(lambda params, report: pytest.fail("a finished trial ran"), tmp_path)
    assert again == first


def test_failed_trial_is_recorded_and_the_search_goes_on(tmp_path):
    """A TidemillError fails its trial with message and remedy; the others count."""

    def picky(params, report):
        if params["n"] == 3:
            raise BudgetExceeded("3 needs 9 GB", remedy="use less")
        return bowl(params, report)

    study, _ = find(picky, tmp_path)
    failed = [trial for trial in study.trials if trial.state == "failed"]
    assert failed
    assert all(trial.params["n"] == 3 for trial in failed)
    assert all(trial.message == "3 needs 9 GB (use less)" for trial in failed)
    assert all(trial.value is None for trial in failed)
    assert study.best_params["n"] != 3
    assert study.complete


def test_all_failed_raises_with_the_reason(tmp_path):
    """If no trial succeeds, the error carries the first one's message."""

    def broken(params, report):
        raise BudgetExceeded("needs 9 GB", remedy="use less")

    with pytest.raises(ConfigError, match=r"none of 12 trials succeeded.*needs 9 GB"):
        find(broken, tmp_path)


def test_value_that_is_no_number_fails_its_trial(tmp_path):
    """NaN is never a best value."""
    study, _ = find(
        lambda params, report: float("nan") if params["n"] < 3 else params["n"],
        tmp_path,
        direction="maximize",
    )
    assert {trial.state for trial in study.trials} == {"complete", "failed"}
    assert study.best_value == 4


def test_full_disk_ends_the_search_and_keeps_its_trials(tmp_path):
    """A storage failure is no property of the parameters: it is raised, then resumed."""
    called = []

    def failing(params, report):
        called.append(1)
        if len(called) == 6:
            raise StorageFailed("disk full", remedy="free some")
        return bowl(params, report)

    with pytest.raises(StorageFailed):
        find(failing, tmp_path / "a")
    study, _ = find(failing, tmp_path / "a")
    undisturbed, _ = find(bowl, tmp_path / "b")
    assert study == undisturbed
    assert len(called) == 13


def test_a_defect_is_not_hidden(tmp_path):
    """An error that is not tidemill's ends the search as it is."""
    with pytest.raises(ZeroDivisionError):
        find(lambda params, report: 1 / 0, tmp_path)


def test_hopeless_trials_are_pruned_by_earlier_waves(tmp_path):
    """A trial worse than the median of earlier waves at a step ends there."""
    steps_run = []

    def climbing(params, report):
        for step in range(10):
            steps_run.append(step)
            report(step, step - 10 * params["x"] ** 2)
        return 9 - 10 * params["x"] ** 2

    study, _ = find(climbing, tmp_path, direction="maximize", trials=24, sampler="random")
    pruned = [trial for trial in study.trials if trial.state == "pruned"]
    assert pruned
    assert all(trial.number >= 4 for trial in pruned)
    assert all(len(trial.steps) < 10 and trial.value is None for trial in pruned)
    assert len(steps_run) == sum(len(trial.steps) for trial in study.trials)
    assert study.best_value == max(9 - 10 * trial.params["x"] ** 2 for trial in study.trials)


def test_bars_need_four_finished_trials():
    """Three complete trials and any number of pruned ones set no bar."""
    done = [Trial(i, {}, 1.0, "complete", ((1, float(i)),)) for i in range(3)]
    assert MedianPruner().bars([*done, Trial(3, {}, None, "pruned", ((1, 5.0),))], "maximize") == {}
    four = [*done, Trial(4, {}, 1.0, "complete", ((1, 7.0), (2, 1.0)))]
    assert MedianPruner().bars(four, "maximize") == {1: 1.5}


def test_report_compares_in_the_right_direction():
    """Equal to the bar goes on; worse than the bar stops; better earlier counts."""
    up = Report({1: 0.5, 2: 0.9}, "maximize")
    up(0, 0.1)
    up(1, 0.5)
    with pytest.raises(Pruned, match=r"0\.5 at step 2"):
        up(2, 0.4)
    down = Report({1: 0.5}, "minimize")
    down(0, 0.2)
    down(1, 3.0)
    with pytest.raises(Pruned):
        Report({0: 0.5}, "minimize")(0, 0.6)
    with pytest.raises(Pruned, match="nan"):
        Report()(0, float("nan"))


def test_time_over_ends_the_study_early_and_says_so(tmp_path):
    """A study cut by its timeout is not complete; begun again without one, it ends the same."""

    def slow(params, report):
        time.sleep(0.4)
        return bowl(params, report)

    cut, _ = find(slow, tmp_path / "a", timeout_seconds=2)
    assert not cut.complete
    assert 0 < len(cut.trials) < 12
    whole, _ = find(bowl, tmp_path / "a")
    fresh, _ = find(bowl, tmp_path / "b")
    assert whole == fresh
    assert whole.trials[: len(cut.trials)] == cut.trials


def test_time_over_stops_a_long_trial_at_its_next_report(tmp_path):
    """The objective need not end: its report is told that time is over."""

    def endless(params, report):
        for step in range(10_000):
            time.sleep(0.01)
            report(step, 1.0)
        pytest.fail("nobody stopped it")

    with pytest.raises(ConfigError, match="time ran out") as caught:
        find(endless, tmp_path, timeout_seconds=0.2)
    assert "timeout_seconds" in caught.value.remedy


def test_no_trials_is_refused():
    """A budget of none is the caller's to notice."""
    with pytest.raises(ConfigError, match="trials is 0"):
        search(
            bowl, SPACE, config=TuningConfig(trials=0), metric="loss", direction="minimize",
            seed=1, storage=None,
        )  # fmt: skip


def test_torn_journal_and_dead_lock_are_mended(tmp_path):
    """A line cut in the middle and a killed writer's lock cost one trial and no waiting."""
    first, _ = find(bowl, tmp_path)
    path = tmp_path / "study.journal"
    path.write_bytes(path.read_bytes()[:-40])
    (tmp_path / "study.journal.lock").symlink_to(path)
    called = []

    def counted(params, report):
        called.append(1)
        return bowl(params, report)

    began = time.monotonic()
    again, _ = find(counted, tmp_path)
    assert again == first
    assert len(called) == 1
    assert time.monotonic() - began < 15, "it waited for the dead lock"


def test_damaged_journal_is_refused(tmp_path):
    """Damage before the last line is an IntegrityError that says which file to delete."""
    find(bowl, tmp_path)
    path = tmp_path / "study.journal"
    content = bytearray(path.read_bytes())
    content[30:60] = b"\x00" * 30
    path.write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        find(bowl, tmp_path)
    assert "study.journal" in caught.value.remedy


def test_a_changed_figure_in_the_journal_makes_no_other_trial_the_best(tmp_path):
    """A trial that is not what was written is tried again, and kept."""
    first, _ = find(bowl, tmp_path)
    path = tmp_path / "study.journal"
    worst = max(first.trials, key=lambda trial: trial.value)
    content = path.read_text()
    assert content.count(repr(worst.value)) == 1
    path.write_text(content.replace(repr(worst.value), "0.0"))
    called = []

    def counted(params, report):
        called.append(params)
        return bowl(params, report)

    again, _ = find(counted, tmp_path)
    assert again == first
    assert (first.altered, again.altered) == (0, 1)
    assert called == [worst.params]
    last, _ = find(counted, tmp_path)
    assert (last, last.altered) == (first, 0)
    assert len(called) == 1


def test_trials_of_an_earlier_release_are_remembered(tmp_path):
    """A journal without hashes is read as it is."""
    first, _ = find(bowl, tmp_path)
    path = tmp_path / "study.journal"
    earlier = re.sub(r',\s*"tidemill:sha256":\s*"[0-9a-f]+"', "", path.read_text())
    assert "sha256" not in earlier
    path.write_text(earlier)
    assert find(lambda params, report: pytest.fail("tried again"), tmp_path)[0] == first


def test_the_search_warns_of_nothing(tmp_path):
    """No warning of Optuna's reaches the user."""
    space = {"f": {"low": 0.0, "high": 1.0, "step": 0.3}, "n": {"low": 1, "high": 8, "step": 3}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for sampler in ("tpe", "random", "grid"):
            study, _ = find(
                lambda params, report: params["f"], tmp_path / sampler, space=space,
                sampler=sampler,
            )  # fmt: skip
            steps = [trial.params["f"] / 0.3 for trial in study.trials]
            assert steps == pytest.approx([round(step) for step in steps])
            assert max(steps) <= 3.001


class Hidden(PlainEngine):
    """Its trials' clock has nothing to do with the caller's, as on another machine."""

    def __init__(self, monkeypatch):
        self.patch = monkeypatch
        self.asked = []

    def call(self, function, item):
        with self.patch.context() as patch:
            patch.setattr("tidemill.tuning.pruning.time.monotonic", lambda: -1e9)
            return super().call(function, item)

    def stream(self, function, items, *, label, at_once=None, item_bytes=None):
        self.asked.append((at_once, item_bytes))
        yield from super().stream(function, items, label=label)


def test_trials_run_on_the_engine_that_is_given(tmp_path, monkeypatch):
    """The search makes no engine; a study is the same on any, and says what its trials need."""
    engine = Hidden(monkeypatch)
    engine.workers = 3
    here, _ = find(bowl, tmp_path / "a")
    there, _ = find(bowl, tmp_path / "b", engine=engine, workers=2, trial_bytes=1000)
    assert here == there
    assert set(engine.asked) == {(2, 1000)}


def test_processes_share_no_clock(tmp_path, monkeypatch):
    """What is left of the time is told in seconds: a worker's own clock may stand anywhere."""
    study, _ = find(bowl, tmp_path, engine=Hidden(monkeypatch), timeout_seconds=600)
    assert study.complete
    assert len(study.trials) == 12


def test_the_wave_is_part_of_the_plan(tmp_path):
    """Another number of trials in a wave is another study; the one of before keeps its trials."""
    first, _ = find(bowl, tmp_path)
    named, _ = find(lambda params, report: pytest.fail("it ran again"), tmp_path, wave=4)
    assert named == first
    wide, _ = find(bowl, tmp_path, wave=6)
    assert [t.params for t in wide.trials[:4]] == [t.params for t in first.trials[:4]]
    assert wide.trials[4:] != first.trials[4:]


def test_a_sampler_that_proposes_too_few_is_refused(tmp_path, monkeypatch):
    """A wave has as many proposals as it has trials."""

    class Sparing(RandomSampler):
        def ask(self, numbers):
            return super().ask(numbers)[:-1]

    monkeypatch.setitem(SAMPLERS._opened, "random", Sparing)
    with pytest.raises(ConfigError, match=r"proposed \d trials where \d were asked for"):
        find(bowl, tmp_path, sampler="random")


class _Raises:
    """Raises whatever is asked of it."""

    def ask(self, numbers):
        raise ZeroDivisionError("no trials")

    def bars(self, trials, direction):
        raise ZeroDivisionError("no bars")


@pytest.mark.parametrize("port", ["sampler", "pruner"])
def test_what_code_of_others_raises_is_told_as_theirs(tmp_path, monkeypatch, port):
    """A sampler or a pruner that raises is named, with what can be set instead."""
    table, own = {"sampler": (SAMPLERS, RandomSampler), "pruner": (PRUNERS, MedianPruner)}[port]
    name = {"sampler": "random", "pruner": "median"}[port]
    monkeypatch.setitem(table._opened, name, type("Odd", (_Raises, own), {}))
    with pytest.raises(ConfigError, match=f"tuning.{port}: it raised ZeroDivisionError") as caught:
        find(bowl, tmp_path, sampler="random")
    assert f"set tuning.{port} to another one" in caught.value.remedy


@pytest.mark.parametrize("answer", [None, 7, [None] * 4, ["xn"] * 4])
def test_proposals_that_are_none_are_told(tmp_path, monkeypatch, answer):
    """A sampler answers with parameters by name, for each trial."""
    odd = type("Odd", (RandomSampler,), {"ask": lambda *_: answer})
    monkeypatch.setitem(SAMPLERS._opened, "random", odd)
    with pytest.raises(ConfigError, match=r"tuning\.sampler: it raised"):
        find(bowl, tmp_path, sampler="random")


@pytest.mark.parametrize("error", [OSError(28, "no space"), MemoryError()])
def test_what_the_machine_lacks_is_not_blamed_on_a_sampler(tmp_path, monkeypatch, error):
    """A full disk is a full disk, whoever meets it."""

    def ask(*_):
        raise error

    monkeypatch.setitem(SAMPLERS._opened, "random", type("Odd", (RandomSampler,), {"ask": ask}))
    with pytest.raises(type(error)):
        find(bowl, tmp_path, sampler="random")


@pytest.mark.parametrize(
    "bars", [{1: math.nan}, {1: -math.inf}, {1: "high"}, {"one": 0.5}, {1: None}]
)
def test_bars_are_finite_numbers_by_whole_steps(tmp_path, monkeypatch, bars):
    """What is no bar is refused before a worker compares with it."""
    odd = type("Odd", (MedianPruner,), {"bars": lambda *_: bars})
    monkeypatch.setitem(PRUNERS._opened, "median", odd)
    with pytest.raises(ConfigError, match=r"tuning\.pruner: its bar at step"):
        find(bowl, tmp_path)
