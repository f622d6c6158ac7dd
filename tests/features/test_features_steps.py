"""Every step keeps the contract that ships with the library; a bad one fails its clause."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from tidemill.config import ReductionConfig
from tidemill.engines import LocalEngine
from tidemill.errors import NoFeatures
from tidemill.features import fit_reducer
from tidemill.features.sequence import FittedStep
from tidemill.steps import STEPS
from tidemill.testing.bad_steps import BAD_STEPS, CentringStep
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
    assert sorted(BAD_STEPS) == sorted(name for name in dir(StepContract) if name[:5] == "test_")


RAISED = {
    "test_a_fitted_step_travels": (AttributeError,),  # pickle's word
    "test_a_sealed_model_does_the_same": (TypeError,),  # json's
    "test_explains_itself_in_json": (TypeError,),
    "test_its_columns_have_names": (ValueError,),  # the reducer's, before the test's own
}
"""What ends a clause's test before it can say itself what is wrong."""


@pytest.mark.parametrize("clause", list(BAD_STEPS))
def test_the_suite_fails_a_step_that_breaks_a_clause(clause, tmp_path):
    """Each bad step is failed by the test of its clause."""
    bad = BAD_STEPS[clause]

    class Contract(StepContract):
        step = f"{bad.__module__}:{bad.__qualname__}"

    given = (tmp_path,) if "sealed" in clause else ()
    with pytest.raises((AssertionError, pytest.fail.Exception, *RAISED.get(clause, ()))):
        getattr(Contract(), clause)(*given)


CENTRING = "tidemill.testing.bad_steps:CentringStep"
OWN = ["means of columns", "variances of columns"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),
        ({"max_correlation": 0.9}, ["co-moments"]),
        ({"max_correlation": 0.9, "project": "pca"}, ["co-moments"]),
        ({"steps": ("project", "select"), "project": "pca"}, ["co-moments", *OWN]),
        ({"steps": (CENTRING, "project"), "project": "pca"}, ["co-moments"] * 2),
        ({"steps": (CENTRING, CENTRING), "impute": "none"}, ["co-moments", *OWN, "co-moments"]),
    ],
)
def test_steps_share_their_passes(make_shards, ride_table, settings, expected):
    """Rows are read as often as somebody must know more."""
    passes = []

    class Counting(LocalEngine):
        def fold(self, *args, label, **more):
            passes.append(label)
            return super().fold(*args, label=label, **more)

    manifest, folder = make_shards([ride_table])
    reducer, _ = fit_reducer(manifest, folder, ReductionConfig(**settings), engine=Counting())
    assert passes == expected
    assert reducer.transform(ride_table).shape[1] == len(reducer.get_feature_names_out())


@pytest.mark.parametrize("answered", [(4, 1), (4, 3), (1, 2), (3, 2), (4,), (2,)])
def test_a_step_that_answers_another_shape_is_refused(answered):
    """By its name, also where NumPy would repeat a row or a column."""

    class Odd(CentringStep):
        def transform(self, matrix):
            return np.zeros(answered)

    with pytest.raises(ValueError, match=r"the step 'odd' made .* of 4 rows for 2 names"):
        FittedStep("odd", Odd(), None, ("x", "y")).transform(np.zeros((4, 2)))


FLATTENING = """
from tidemill.testing.bad_steps import CentringStep

class Flattening(CentringStep):
    def transform(self, matrix):
        return matrix * 0.0 + 0.1
"""


def test_what_a_step_makes_constant_is_dropped_later(make_shards, tmp_path, monkeypatch):
    """All are 0.1 then, and their mean is not, to the last bit."""
    table = pa.table({"x": np.full(1000, 0.1).cumsum(), "y": np.arange(1000.0)})
    (tmp_path / "flattening.py").write_text(FLATTENING)
    monkeypatch.syspath_prepend(str(tmp_path))
    manifest, folder = make_shards([table])
    config = ReductionConfig(steps=("flattening:Flattening", "select"))
    with pytest.raises(NoFeatures, match="variance 0 is not over 0"):
        fit_reducer(manifest, folder, config, engine=LocalEngine())
