"""Every step keeps the contract that ships with the library; a bad one fails its clause."""

from typing import ClassVar

import pytest

from tidemill.steps import STEPS
from tidemill.testing.bad_steps import BROKEN
from tidemill.testing.steps import StepContract


@pytest.fixture(autouse=True)
def no_step_from_elsewhere(monkeypatch):
    """Each test begins with tidemill's own steps."""
    monkeypatch.setattr(STEPS, "_opened", {})


class TestSelect(StepContract):
    """What hardly varies, and of two that correlate the later."""

    step = "select"
    reduction: ClassVar[dict] = {"max_correlation": 0.9}


class TestProject(StepContract):
    """Principal components."""

    step = "project"
    reduction: ClassVar[dict] = {"project": "pca", "components": 3}


class TestCentring(StepContract):
    """The simplest one, by its address."""

    step = "tidemill.testing.bad_steps:CentringStep"
    settings: ClassVar[dict] = {"share": 0.5}


def test_each_clause_has_a_step_that_breaks_it():
    """A test that nothing fails would hold nothing."""
    assert sorted(BROKEN) == sorted(name for name in dir(StepContract) if name[:5] == "test_")


@pytest.mark.parametrize("clause", list(BROKEN))
def test_the_suite_fails_a_step_that_breaks_a_clause(clause, tmp_path):
    """Each bad step is failed by the test of its clause."""
    bad = BROKEN[clause]

    class Contract(StepContract):
        step = f"{bad.__module__}:{bad.__qualname__}"

    given = (tmp_path,) if "sealed" in clause else ()
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        getattr(Contract(), clause)(*given)
    assert not isinstance(caught.value, pytest.skip.Exception)
