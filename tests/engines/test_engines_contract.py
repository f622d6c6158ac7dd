"""The contract suite itself: the simplest engine passes it, and each bad one fails its clause."""

from __future__ import annotations

import pytest

from tidemill.testing.bad_engines import BAD_ENGINES, PlainEngine
from tidemill.testing.engines import EngineContract


class TestPlainEngine(EngineContract):
    """The simplest engine keeps the contract."""

    @pytest.fixture
    def engine(self):
        return PlainEngine()


def test_every_clause_has_a_bad_engine():
    """No test of the suite stands without an engine that must fail it."""
    clauses = {name for name in vars(EngineContract) if name.startswith("test_")}
    assert clauses == set(BAD_ENGINES)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("clause", BAD_ENGINES)
def test_a_bad_engine_fails(clause):
    """Whoever breaks a clause fails the test of that clause."""
    with pytest.raises((AssertionError, pytest.fail.Exception, AttributeError, RuntimeError)):
        getattr(EngineContract(), clause)(BAD_ENGINES[clause]())
