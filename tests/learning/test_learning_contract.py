"""Every learner keeps the contract that ships with the library."""

import inspect
from typing import ClassVar

import pytest

from tidemill.schema import Task
from tidemill.testing.bad_learners import BAD_LEARNERS
from tidemill.testing.learners import LearnerContract


class TestLinear(LearnerContract):
    """Linear models to their optimum."""

    learner = "linear"


class TestSgd(LearnerContract):
    """Linear models over a plan of blocks."""

    learner = "sgd"


class TestHistGradientBoosting(LearnerContract):
    """scikit-learn's boosting in memory."""

    learner = "hist_gradient_boosting"
    params: ClassVar[dict] = {"max_iter": 20, "max_leaf_nodes": 7}


class TestLightGbm(LearnerContract):
    """LightGBM streamed from blocks."""

    learner = "lightgbm"
    params: ClassVar[dict] = {"num_iterations": 60, "num_leaves": 7}


class TestForest(LearnerContract):
    """LightGBM's forest streamed from blocks."""

    learner = "forest"
    params: ClassVar[dict] = {"num_iterations": 40, "num_leaves": 63}


def test_each_clause_has_a_learner_that_breaks_it():
    """A test that nothing fails would hold nothing."""
    clauses = [name for name in dir(LearnerContract) if name[:5] == "test_"]
    assert sorted(BAD_LEARNERS) == sorted(clauses)


@pytest.mark.parametrize("clause", list(BAD_LEARNERS))
def test_the_suite_fails_a_learner_that_breaks_a_clause(clause, tmp_path):
    """Each bad learner is failed by the test of its clause."""
    bad = BAD_LEARNERS[clause]

    class Contract(LearnerContract):
        learner = f"{bad.__module__}:{bad.__qualname__}"

    given = {"task": Task.BINARY, "tmp_path": tmp_path, "balanced": False}
    held = getattr(Contract(), clause)
    taken = {name: given[name] for name in inspect.signature(held).parameters}
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        held(**taken)
    assert caught.typename in ("AssertionError", "ConfigError", "Failed", "ModelUntrusted")
