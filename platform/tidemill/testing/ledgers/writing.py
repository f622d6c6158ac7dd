# ruff: noqa: S101 - these are tests
"""The writer: commits that are shared, bounded, refused and told of."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.errors import Busy, UsageError
from tidemill.ledger import IdempotencyConflict, Ledger, LedgerInUse, QueueFull, Request
from tidemill.testing.ledgers.opening import NOW, Open, Opening
from tidemill.testing.traffic import event_batch, hold_writer

__all__ = ["WritingContract"]


class WritingContract(Opening):
    """The writer: commits that are shared, bounded, refused and told of."""

    def test_waiting_batches_share_a_commit(self, opened: Open) -> None:
        """What queues up while a commit is written is written together."""
        ledger = opened(folding=None)
        commits: list[frozenset[str]] = []
        ledger.on_commit(commits.append)
        release = hold_writer(ledger)
        futures = [ledger.events.submit(event_batch([f"e{i}"])) for i in range(50)]
        release.set()
        assert [future.result(30).first_seq for future in futures] == list(range(50))
        assert len([topics for topics in commits if "events" in topics]) == 1

    @pytest.mark.parametrize("how", ["in python", "in the database"])
    def test_a_failing_batch_fails_alone(self, opened: Open, how: str) -> None:
        """Jobs of one commit that fail, however they do it, take no other with them."""
        ledger = opened(folding=None)
        ledger.events.append(event_batch(["a"], request=Request("s", "k", b"one")))
        release = hold_writer(ledger)
        good = [ledger.events.submit(event_batch([f"g{i}"])) for i in range(3)]
        conflict = ledger.events.submit(event_batch(["x"], request=Request("s", "k", b"two")))
        broken = ledger._writer.submit(_breaks if how == "in python" else _breaks_the_transaction)
        good += [ledger.events.submit(event_batch([f"h{i}"])) for i in range(3)]
        release.set()
        assert [future.result(30).accepted for future in good] == [1] * 6
        with pytest.raises(IdempotencyConflict):
            conflict.result(30)
        assert broken.exception(30) is not None
        assert ledger.notes.get("half") is None, "what a failed job wrote is gone"
        assert ledger.events.totals(NOW).rows == 7
        assert ledger.events.append(event_batch(["x", "g0"])).duplicates == (1,)

    def test_the_queue_is_bounded(self, opened: Open) -> None:
        """Beyond its bytes the ledger asks to come back, and takes the same again later."""
        ledger = opened(folding=None, queue_bytes=40_000)
        release = hold_writer(ledger)
        futures, refused = [], None
        for number in range(1000):
            try:
                futures.append(ledger.events.submit(event_batch([f"e{number}"])))
            except QueueFull as error:
                refused = (number, error)
                break
        assert refused is not None
        assert refused[1].retry_after >= 1
        assert ledger._writer.held_bytes <= 40_000
        release.set()
        assert [future.result(30).accepted for future in futures] == [1] * len(futures)
        assert ledger.events.append(event_batch([f"e{refused[0]}"])).accepted == 1

    def test_nobody_waits_for_ever(self, opened: Open) -> None:
        """After its timeout a caller is told to come back; what it gave up is not written."""
        ledger = opened(folding=None)
        release = hold_writer(ledger)
        with pytest.raises(Busy):
            ledger.events.append(event_batch(["late"]), timeout=0.05)
        release.set()
        assert ledger.events.append(event_batch(["late"])).accepted == 1

    def test_a_second_writer_is_refused(self, opened: Open, url: str) -> None:
        """One writes; others may read, and take over when it has gone."""
        ledger = opened()
        ledger.events.append(event_batch(["a"]))
        with pytest.raises(LedgerInUse):
            opened()
        with Ledger.open(url, writable=False) as reader:
            assert reader.events.totals(NOW).rows == 1
            with pytest.raises(UsageError):
                reader.notes.put("x", 1, NOW)
        ledger.close()
        with pytest.raises(Busy):
            ledger.notes.put("x", 1, NOW)
        assert opened().events.append(event_batch(["a"])).duplicates == (0,)

    def test_those_who_listen_hear_what_changed(self, opened: Open) -> None:
        """Every commit names its topics, until nobody listens any more."""
        ledger = opened()
        heard: list[frozenset[str]] = []
        end = ledger.on_commit(heard.append)
        ledger.events.append(event_batch(["a"]))
        ledger.alerts.raise_("k", rule="r", severity="info", title="t", at=NOW)
        ledger.settle()
        assert {"events", "alerts", "windows"} <= frozenset().union(*heard)
        end()
        heard.clear()
        ledger.notes.put("x", 1, NOW)
        assert heard == []


def _breaks(commit: Any) -> None:
    commit.connection.exec_driver_sql(
        "INSERT INTO notes (key, value, updated_at) VALUES ('half', '1', 0)"
    )
    raise ZeroDivisionError


def _breaks_the_transaction(commit: Any) -> None:
    commit.connection.exec_driver_sql(
        "INSERT INTO notes (key, value, updated_at) VALUES ('half', '1', 0)"
    )
    commit.connection.exec_driver_sql("SELECT * FROM no_such_table")
