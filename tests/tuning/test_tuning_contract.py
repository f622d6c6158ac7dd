"""Every sampler and pruner keeps the contract that ships with the library; bad ones fail theirs."""

import inspect

import pytest

from tidemill.errors import ConfigError
from tidemill.searchers import PRUNERS, SAMPLERS
from tidemill.testing.bad_searchers import BAD_PRUNERS, BAD_SAMPLERS
from tidemill.testing.searchers import PrunerContract, SamplerContract
from tidemill.tuning.pruning import Pruned


@pytest.fixture(autouse=True)
def none_from_elsewhere(monkeypatch):
    """Each test begins with tidemill's own."""
    for table in (SAMPLERS, PRUNERS):
        monkeypatch.setattr(table, "_opened", {})


class TestTpe(SamplerContract):
    """Optuna's tree of Parzen estimators."""

    sampler = "tpe"


class TestRandom(SamplerContract):
    """Chance."""

    sampler = "random"


class TestGrid(SamplerContract):
    """All points."""

    sampler = "grid"


class TestGp(SamplerContract):
    """A Gaussian process."""

    sampler = "gp"


class TestMedian(PrunerContract):
    """The median rule."""

    pruner = "median"


class TestHalving(PrunerContract):
    """Successive halving."""

    pruner = "halving"


CONTRACTS = {
    "sampler": (SamplerContract, BAD_SAMPLERS),
    "pruner": (PrunerContract, BAD_PRUNERS),
}


@pytest.mark.parametrize("port", CONTRACTS)
def test_each_clause_has_one_that_breaks_it(port):
    """A test that nothing fails would hold nothing."""
    contract, broken = CONTRACTS[port]
    assert sorted(broken) == sorted(name for name in dir(contract) if name[:5] == "test_")


RAISED = {
    # The objective's, of a value it cannot use; a sampler's is told as the sampler's.
    "test_a_search_goes_on_where_it_was": (TypeError, ConfigError),
    "test_any_state_will_do": (IndexError,),
    "test_the_best_goes_on": (Pruned,),
}
"""What ends a clause's test before it can say itself what is wrong."""


@pytest.mark.parametrize(
    ("port", "clause"), [(port, clause) for port in CONTRACTS for clause in CONTRACTS[port][1]]
)
def test_the_suite_fails_one_that_breaks_a_clause(port, clause, tmp_path):
    """Each bad one is failed by the test of its clause."""
    contract, broken = CONTRACTS[port]
    bad = broken[clause]
    suite = type("Contract", (contract,), {port: f"{bad.__module__}:{bad.__qualname__}"})()
    held = getattr(suite, clause)
    given = {"tmp_path": tmp_path} if "tmp_path" in inspect.signature(held).parameters else {}
    with pytest.raises((AssertionError, pytest.fail.Exception, *RAISED.get(clause, ()))):
        held(**given)
