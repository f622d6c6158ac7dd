# ruff: noqa: S101 - these are tests
"""Retention: what is old goes, and nothing else."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tidemill.ledger import retention
from tidemill.ledger.writer import Writer
from tidemill.testing.ledgers.opening import DAY, HOUR, Clock, Open, Opening, rows_of
from tidemill.testing.traffic import FIRST_MOMENT, event_batch, label_batch, window_counts

__all__ = ["PruningContract"]


class PruningContract(Opening):
    """Retention: what is old goes, and nothing else."""

    def test_pruning_forgets_old_rows_only(self, opened: Open, clock: Clock) -> None:
        """Old events, their labels and ids go; windows, totals and newer rows stay."""
        ledger = opened(flush_ids=20)
        ledger.events.append(event_batch([f"old{i}" for i in range(30)]))
        ledger.labels.append(label_batch([("old1", "yes"), ("never", "no")]))
        clock.now += 10 * HOUR
        ledger.events.append(event_batch([f"new{i}" for i in range(30)], at=FIRST_MOMENT + HOUR))
        ledger.labels.append(label_batch([("new2", "no")]))
        ledger.settle()
        ledger.events.append(event_batch(["one more"], at=FIRST_MOMENT + HOUR))
        ledger.settle()
        pruned = ledger.prune(clock.now - HOUR)
        assert (pruned.rows, pruned.labels, pruned.pending) == (30, 1, 1), pruned
        assert ledger.prune(clock.now - HOUR).rows == 0
        assert [row["event_id"] for row in rows_of(ledger)] == ["new2"]
        assert ledger.events.totals(clock.now).rows == 61
        assert [counts["rows"] for counts in window_counts(ledger).values()] == [31, 30]
        receipt = ledger.labels.append(label_batch([("new3", "yes"), ("old5", "yes")]))
        assert receipt.matched == 1
        assert receipt.pending + len(receipt.expired) == 1
        assert ledger.events.append(event_batch(["new4", "one more"])).duplicates == (0, 1)

    def test_batches_of_a_clock_that_was_ahead_go_with_those_behind_them(
        self, opened: Open, clock: Clock
    ) -> None:
        """Neither do they stay for years and hold back the rest, nor do they go too early."""
        ledger, began = opened(folding=None), clock.now
        for name, at in (("a", began), ("ahead", began + 900 * DAY), ("b", began + DAY)):
            clock.now = at
            ledger.events.append(event_batch([name]))
        clock.now = began + 2 * DAY
        assert ledger.prune(began + HOUR).rows == 1, "it may be as young as b"
        assert ledger.prune(began + DAY + HOUR).rows == 2
        clock.now = began + 900 * DAY
        ledger.events.append(event_batch(["ahead again"]))
        clock.now = began + 9 * DAY
        assert ledger.prune(clock.now).rows == 0, "nothing behind it tells how old it is"
        assert ledger.events.totals(clock.now).last_received_at == began + 900 * DAY
        ledger.events.append(event_batch(["c"]))
        assert ledger.events.totals(clock.now).last_received_at == clock.now
        clock.now += DAY
        assert ledger.prune(clock.now).rows == 2

    def test_large_deletions_are_many_commits(
        self, opened: Open, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those who write wait for a bounded number of rows, however many go."""
        monkeypatch.setattr(retention, "_EVENTS_AT_ONCE", 40)
        ledger = opened(folding=None)
        ids = [[f"{batch}-{i}" for i in range(rows)] for batch, rows in enumerate((9, 31, 1, 50))]
        for several in ids:
            ledger.events.append(event_batch(several))
        ledger.labels.append(label_batch([(name, "no") for several in ids for name in several]))
        clock.now += DAY
        commits: list[frozenset[str]] = []
        ledger.on_commit(commits.append)
        pruned = ledger.prune(clock.now)
        assert (pruned.rows, pruned.batches, pruned.labels) == (91, 4, 91)
        assert len([topics for topics in commits if "events" in topics]) == 3

    def test_a_slow_disk_does_not_make_deletions_fail(
        self, opened: Open, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They outlast the patience of a request: nobody waits, and nothing is begun again."""
        ledger = opened(folding=None)
        ledger.events.append(event_batch([f"e{i}" for i in range(50)]))
        ledger.labels.append(label_batch([("e1", "yes"), ("never", "no")]))
        clock.now += DAY
        monkeypatch.setattr(Writer.call, "__kwdefaults__", {"timeout": 0.05})
        for name in ("_some_batches", "_old_segments", "_give_back"):
            _slow(monkeypatch, name)
        pruned = ledger.prune(clock.now)
        assert (pruned.rows, pruned.labels, pruned.pending) == (50, 1, 1)
        assert ledger.labels.pending() == 0


def _slow(patch: pytest.MonkeyPatch, name: str) -> None:
    real = getattr(retention, name)

    def slow(*arguments: Any) -> Any:
        time.sleep(0.2)
        return real(*arguments)

    patch.setattr(retention, name, slow)
