from __future__ import annotations

import pytest

from tidemill.engines import LocalEngine
from tidemill.orchestration import PrefectEngine
from tidemill.testing.engines import EngineContract


@pytest.fixture(scope="module", params=[pytest.param(1, marks=pytest.mark.slow), 2])
def inner(request):
    """One for all clauses; this process itself is asked in test_engines_local.py."""
    with LocalEngine(request.param) as found:
        yield found


class TestPrefectEngine(EngineContract):
    """The Prefect engine keeps the contract of every engine, in this process or a pool."""

    @pytest.fixture
    def engine(self, inner, client):
        return PrefectEngine(inner, max_children=8, retry_delay_seconds=0.1)

    # Its retries take seconds; test_orchestration_engine kills a worker among the fast tests.
    test_a_lost_worker_is_told = pytest.mark.slow(EngineContract.test_a_lost_worker_is_told)
