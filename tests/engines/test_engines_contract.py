"""The contract suite itself: the simplest engine passes it, and each bad one fails its clause."""

from __future__ import annotations

import pytest

from tidemill.testing.bad_engines import BAD_ENGINES, PlainEngine
from tidemill.testing.engines import EngineContract

#: Hundreds of items one after the other, as they are not stopped; one of the kind is tried fast.
LONG = {
    "test_a_fold_begins_few_items",
    "test_an_error_of_the_caller_stops_the_work",
    "test_leaving_a_stream_stops_the_work",
}


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
@pytest.mark.parametrize(
    "clause",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in BAD_ENGINES],
)
def test_a_bad_engine_fails(clause):
    """Whoever breaks a clause fails the test of that clause."""
    with pytest.raises((AssertionError, pytest.fail.Exception, AttributeError, RuntimeError)):
        getattr(EngineContract(), clause)(BAD_ENGINES[clause]())
