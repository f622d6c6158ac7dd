"""Every sampler and pruner keeps the contract that ships with the library; bad ones fail theirs."""

import pytest

from tidemill.searchers import PRUNERS, SAMPLERS
from tidemill.testing.bad_searchers import BAD_PRUNERS, BAD_SAMPLERS
from tidemill.testing.searchers import PrunerContract, SamplerContract


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


@pytest.mark.parametrize(
    ("port", "clause"), [(port, clause) for port in CONTRACTS for clause in CONTRACTS[port][1]]
)
def test_the_suite_fails_one_that_breaks_a_clause(port, clause, tmp_path):
    """Each bad one is failed by the test of its clause."""
    contract, broken = CONTRACTS[port]
    bad = broken[clause]
    suite = type("Contract", (contract,), {port: f"{bad.__module__}:{bad.__qualname__}"})()
    given = (tmp_path,) if "search" in clause else ()
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        getattr(suite, clause)(*given)
    assert not isinstance(caught.value, pytest.skip.Exception)
