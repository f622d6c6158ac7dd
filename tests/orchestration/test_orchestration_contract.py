from __future__ import annotations

import pytest

from tidemill.contracts import AHEAD
from tidemill.engines import LocalEngine
from tidemill.engines.elsewhere import ElsewhereEngine
from tidemill.orchestration import PrefectEngine
from tidemill.testing.bad_engines import PlainEngine
from tidemill.testing.engine_items import square
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


def test_what_workers_tell_comes_through(inner, client):
    """What the workers of the inner engine cost can be asked of the outer one, where they tell."""
    engine = PrefectEngine(ElsewhereEngine(inner, None), max_children=8)
    assert engine.map(square, [1, 2, 3], label="squares") == [1, 4, 9]
    mapped = engine.take_costs()
    assert engine.fold(square, [1, 2, 3], int.__add__, label="squares") == 14
    folded = engine.take_costs()
    assert min(mapped.peak_memory_bytes, folded.peak_memory_bytes) > 1 << 20
    assert PrefectEngine(inner).take_costs() is None


class Asked(PlainEngine):
    """Eight workers, and how many items were asked for at once."""

    workers = 8

    def __init__(self):
        self.at_once = []

    def stream(self, function, items, *, at_once=None, **told):
        self.at_once.append(at_once)
        return super().stream(function, items, at_once=at_once, **told)


def test_groups_share_what_is_begun_ahead(client):
    """All groups that run at once begin no more than one map of the inner engine would."""
    inner = Asked()
    items = list(range(100))
    assert PrefectEngine(inner).map(square, items, label="squares") == [n * n for n in items]
    groups_at_once = inner.workers + 1
    assert len(inner.at_once) > groups_at_once
    assert max(inner.at_once) * groups_at_once < AHEAD * inner.workers + groups_at_once
