# ruff: noqa: S101 - these are tests
"""Events: each id is stored once, in its order."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest

from tidemill.errors import DataRefused
from tidemill.ledger import EventBatch, IdempotencyConflict, Request
from tidemill.testing.ledgers.opening import HOUR, MINUTE, NOW, Clock, Open, Opening
from tidemill.testing.traffic import event_batch, window_counts

__all__ = ["EventsContract"]


class EventsContract(Opening):
    """Events: each id is stored once, in its order."""

    def test_an_id_is_stored_once(self, opened: Open) -> None:
        """Repeated within a batch, across batches and after reopening: the first counts."""
        ledger = opened()
        first = ledger.events.append(event_batch(["a", "b", "a", "c", "b"]))
        assert (first.accepted, first.duplicates, first.first_seq) == (3, (2, 4), 0)
        again = ledger.events.append(event_batch(["c", "d", "a"]))
        assert (again.accepted, again.duplicates, again.first_seq) == (1, (0, 2), 3)
        ledger.close()
        ledger = opened()
        third = ledger.events.append(event_batch(["d", "e"]))
        assert (third.accepted, third.duplicates) == (1, (0,))
        ledger.settle()
        rows = ledger.events.recent()
        assert rows is not None
        assert rows["event_id"].to_pylist() == ["a", "b", "c", "d", "e"]
        assert rows["position"].to_pylist() == [0, 1, 2, 3, 4]

    def test_ids_are_known_in_segments(self, opened: Open) -> None:
        """Ids that left memory, in small and merged segments, are duplicates; new ones are not."""
        ledger = opened(flush_ids=100, folding=None)
        for batch in range(40):
            ledger.events.append(event_batch([f"{batch}-{i}" for i in range(60)]))
        ledger._keeper.tidy()
        health = ledger.health()
        assert health.ids == 2400
        assert 1 <= health.segments < 10, "eight small segments become one"
        assert health.memory_ids < 200
        for batch in range(40):
            ids = [f"{batch}-{i}" for i in range(60)] + [f"new-{batch}"]
            receipt = ledger.events.append(event_batch(ids))
            assert receipt.duplicates == tuple(range(60))
        ledger.close()
        ledger = opened(flush_ids=100, folding=None)
        receipt = ledger.events.append(event_batch(["7-59", "39-0", "nobody"]))
        assert receipt.duplicates == (0, 1)

    def test_one_of_many_rivals_wins(self, opened: Open) -> None:
        """The same ids from eight threads at once are stored once."""
        ledger = opened()
        ids = [f"e{i}" for i in range(200)]
        with ThreadPoolExecutor(8) as pool:
            batches = [event_batch(ids) for _ in range(24)]
            receipts = list(pool.map(ledger.events.append, batches))
        assert sum(receipt.accepted for receipt in receipts) == 200
        assert sum(len(receipt.duplicates) for receipt in receipts) == 23 * 200
        ledger.settle()
        assert sum(counts["rows"] for counts in window_counts(ledger).values()) == 200

    @pytest.mark.parametrize("column", ["event_id", "at", "prediction"])
    def test_unfit_tables_are_refused(self, opened: Open, column: str) -> None:
        """A batch without its columns is refused before it reaches the store."""
        good = event_batch(["a"])
        bad = EventBatch(good.table.drop_columns([column]), 1)
        with pytest.raises(DataRefused, match=column):
            opened().events.append(bad)

    @pytest.mark.parametrize("micros", [-(2**63) + 1, 2**63 - 1])
    def test_impossible_times_are_refused(self, opened: Open, micros: int) -> None:
        """Times that no calendar has are refused by name, and no other batch suffers."""
        import pyarrow as pa

        ledger, good = opened(), event_batch(["a"])
        at = pa.array([micros], pa.timestamp("us"))
        with pytest.raises(DataRefused, match="'at'"):
            ledger.events.append(EventBatch(good.table.set_column(1, "at", at), 1))
        assert ledger.events.append(good).accepted == 1

    def test_requests_are_answered_again(self, opened: Open) -> None:
        """The same key and body gets the first answer, another body an error; also together."""
        ledger = opened()
        request = Request("events:7", "key-1", b"digest", b'{"errors": []}')
        first = ledger.events.append(event_batch(["a", "b", "a"], request=request))
        again = ledger.events.append(event_batch(["a", "b", "a"], request=request))
        assert (first.replayed, again.replayed) == (False, True)
        assert (again.accepted, again.duplicates, again.answer) == (2, (2,), b'{"errors": []}')
        other = Request("events:8", "key-1", b"digest")
        assert not ledger.events.append(event_batch(["c"], request=other)).replayed
        with pytest.raises(IdempotencyConflict):
            ledger.requests.find("events:7", "key-1", b"changed")
        stored = ledger.requests.find("events:7", "key-1", b"digest")
        assert stored is not None
        assert (stored.kind, stored.receipt()) == ("events", again)
        with ThreadPoolExecutor(8) as pool:
            mine = Request("events:7", "key-2", b"d")
            batches = [event_batch([f"r{i}"], request=mine) for i in range(8)]
            receipts = list(pool.map(ledger.events.append, batches))
        assert sum(not receipt.replayed for receipt in receipts) == 1
        assert ledger.events.totals(NOW).rows == 4

    def test_totals_and_recent_rows(self, opened: Open, clock: Clock) -> None:
        """Counts by time and version; the newest rows of a version, newest last."""
        ledger = opened()
        assert ledger.events.recent() is None
        ledger.events.append(event_batch(["a", "b"]))
        clock.now += dt.timedelta(minutes=30)
        ledger.events.append(event_batch(["c"], model_version=2))
        totals = ledger.events.totals(clock.now + MINUTE / 2)
        assert (totals.rows, totals.rows_last_hour, totals.rows_last_minute) == (3, 3, 1)
        assert totals.by_version == {1: 2, 2: 1}
        assert totals.last_received_at == clock.now
        assert ledger.events.totals(clock.now + 2 * HOUR).rows_last_hour == 0
        ledger.events.append(event_batch(["d", "e"], model_version=1))
        rows = ledger.events.recent(3, model_version=1)
        assert rows is not None
        assert rows["event_id"].to_pylist() == ["b", "d", "e"]
