"""A budget of CPU seconds: of all trials together, wherever they run."""

from __future__ import annotations

import time

import pytest

from tidemill.config import TuningConfig
from tidemill.errors import ConfigError
from tidemill.testing.bad_engines import PlainEngine
from tidemill.tuning import search
from tidemill.tuning.limits import Purse

SPACE = {"x": {"low": -2.0, "high": 2.0}}


def burn(seconds):
    """Use the CPU for so long."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def bowl(params, report):
    """Costs next to nothing."""
    return params["x"] ** 2


def busy(params, report):
    """Costs a tenth of a second."""
    burn(0.1)
    return bowl(params, report)


def find(folder, objective, **given):
    engine = given.pop("engine", None)
    return search(
        objective,
        SPACE,
        config=TuningConfig(**{"trials": 12, **given}),
        metric="loss",
        direction="minimize",
        seed=1,
        storage=folder / "study.journal",
        engine=engine,
    )


@pytest.mark.parametrize("engine", [None, PlainEngine()], ids=["here", "engine"])
def test_trials_end_when_their_cpu_seconds_are_over(tmp_path, engine):
    """The study is cut and says so; begun again without a limit, it ends the same."""
    cut = find(tmp_path / "a", busy, cpu_seconds=0.55, engine=engine)
    assert not cut.complete
    assert 1 <= len(cut.trials) <= 6
    whole = find(tmp_path / "a", bowl)
    assert whole == find(tmp_path / "b", bowl)
    assert whole.trials[: len(cut.trials)] == cut.trials


def test_who_waits_takes_nothing(tmp_path):
    """Half a second of sleep is no CPU."""

    def sleepy(params, report):
        time.sleep(0.04)
        return bowl(params, report)

    assert find(tmp_path, sleepy, cpu_seconds=0.4).complete


def test_a_long_trial_stops_at_its_next_report(tmp_path):
    """It is told what it may take, and counts it itself; the remedy names the setting."""

    def endless(params, report):
        for step in range(1_000):
            burn(0.02)
            report(step, 1.0)
        pytest.fail("nobody stopped it")

    with pytest.raises(ConfigError, match="time ran out") as caught:
        find(tmp_path, endless, cpu_seconds=0.1)
    assert "tuning.cpu_seconds" in caught.value.remedy
    assert find(tmp_path, bowl, cpu_seconds=60).complete


def test_what_a_cut_trial_took_is_paid():
    """No trial after it has more than what is left."""
    purse = Purse(None, 2.0)
    assert not purse.left().is_over(seconds=1e9, cpu_seconds=1.5)
    purse.pay(1.5)
    assert purse.left().is_over(cpu_seconds=0.6)
    purse.pay(1.0)
    assert purse.left().is_over()
    assert not Purse(None, None).left().is_over(1e9, 1e9)
