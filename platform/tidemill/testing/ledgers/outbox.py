# ruff: noqa: S101 - these are tests
"""The outbox: messages are leased, tried again, and die."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tidemill.ledger import NewMessage, back_off_seconds
from tidemill.testing.ledgers.opening import HOUR, MINUTE, NOW, Open, Opening

__all__ = ["OutboxContract"]


class OutboxContract(Opening):
    """The outbox: messages are leased, tried again, and die."""

    def test_messages_are_leased(self, opened: Open) -> None:
        """One worker has a message until its lease ends; then another may, and the first not."""
        ledger = opened(folding=None)
        ledger.outbox.add(NewMessage("prefect", "p", {}, key="1-1"), at=NOW)
        assert ledger.outbox.add(NewMessage("prefect", "p", {}, key="1-1"), at=NOW) is None
        ledger.outbox.add(NewMessage("webhook", "w", {}, due_at=NOW + HOUR), at=NOW)
        with ThreadPoolExecutor(6) as pool:
            claims = list(pool.map(lambda _: ledger.outbox.claim(at=NOW), range(12)))
        (message,) = [message for claim in claims for message in claim]
        assert (message.attempts, message.state) == (1, "leased")
        assert ledger.outbox.claim(at=NOW + MINUTE / 2) == []
        (later,) = ledger.outbox.claim(at=NOW + 2 * MINUTE, kinds=["prefect"])
        assert (later.id, later.attempts) == (message.id, 2)
        assert not ledger.outbox.finish(message, at=NOW), "its lease is lost"
        assert ledger.outbox.finish(later, at=NOW)
        assert ledger.outbox.get(message.id).state == "done"
        found = {"pending": 1, "leased": 0, "done": 1, "dead": 0, "outdated": 0}
        assert ledger.outbox.counts() == found

    def test_a_lease_of_a_clock_that_was_ahead_ends(self, opened: Open) -> None:
        """Nobody holds a message for years."""
        outbox = opened(folding=None).outbox
        outbox.add(NewMessage("webhook", "ops", {}), at=NOW)
        assert outbox.claim(at=NOW + 90_000 * HOUR)
        (again,) = outbox.claim(at=NOW)
        assert again.attempts == 2
        assert not outbox.claim(at=NOW), "this lease is one"

    def test_messages_back_off_and_die(self, opened: Open) -> None:
        """Each failure waits longer, with jitter; the last is dead until it is replayed."""
        ledger = opened(folding=None)
        ledger.outbox.add(NewMessage("webhook", "w", {"n": 1}, max_attempts=3), at=NOW)
        at = NOW
        for attempt in (1, 2, 3):
            (message,) = ledger.outbox.claim(at=at)
            failed = ledger.outbox.fail(message, error="HTTP 500", at=at)
            waits = (failed.due_at - at).total_seconds()
            assert waits == pytest.approx(back_off_seconds(message.id, attempt), abs=1e-5)
            assert 2**attempt / 2 <= waits <= 2**attempt
            at += dt.timedelta(hours=2)
        assert (failed.state, failed.last_error) == ("dead", "HTTP 500")
        assert ledger.outbox.claim(at=at) == []
        assert ledger.outbox.replay(at=at) == 1
        (message,) = ledger.outbox.claim(at=at)
        assert ledger.outbox.fail(message, error="gone", at=at, permanent=True).state == "dead"
        assert ledger.outbox.replay([12345], at=at) == 0

    def test_messages_of_a_series_keep_their_order(self, opened: Open) -> None:
        """Each waits for the one before, whatever is due first; others are not held up."""
        ledger = opened(folding=None)

        def add(target: str, series: str | None, **more: Any) -> int:
            message = NewMessage("webhook", target, {}, series=series, **more)
            added = ledger.outbox.add(message, at=NOW)
            assert added is not None
            return added.id

        first = add("desk", "harm//7", due_at=NOW + MINUTE)
        second = add("desk", "harm//7")
        elsewhere, other, single = add("ops", "harm//7"), add("desk", "harm//9"), add("desk", None)
        claimed = ledger.outbox.claim(at=NOW)
        assert [m.id for m in claimed] == [elsewhere, other, single]
        assert all(ledger.outbox.finish(message, at=NOW) for message in claimed)
        assert ledger.outbox.claim(at=NOW + MINUTE / 2, targets=["desk"]) == []
        (opening,) = ledger.outbox.claim(at=NOW + 2 * MINUTE, besides=["ops"], limit=1)
        assert opening.id == first
        assert ledger.outbox.claim(at=NOW + 2 * MINUTE, targets=["nobody"]) == []
        ledger.outbox.fail(opening, error="gone", at=NOW + 2 * MINUTE, permanent=True)
        (following,) = ledger.outbox.claim(at=NOW + 2 * MINUTE)
        assert following.id == second, "what is dead holds nobody up"
        ledger.outbox.finish(following, at=NOW + 2 * MINUTE)

        assert ledger.outbox.replay([first], at=NOW + HOUR) == 1
        assert ledger.outbox.claim(at=NOW + HOUR) == []
        overtaken = ledger.outbox.get(first)
        assert (overtaken.state, overtaken.finished_at) == ("outdated", NOW + HOUR)
        assert ledger.outbox.counts()["outdated"] == 1
