# ruff: noqa: S101 - these are tests
"""Alerts: one incident for a key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tidemill.ledger import NewMessage, WrongState
from tidemill.testing.ledgers.opening import HOUR, MINUTE, NOW, Open, Opening

__all__ = ["AlertsContract"]


class AlertsContract(Opening):
    """Alerts: one incident for a key."""

    def test_one_incident_for_a_key(self, opened: Open) -> None:
        """Raised again it is counted, told once; resolved, the next is a new one."""
        ledger = opened(folding=None)
        told: dict[str, Any] = {
            "rule": "r",
            "severity": "warning",
            "title": "feed\x00broken",
            "at": NOW,
        }
        message = NewMessage("webhook", "ops", {"text": "broken"})
        with ThreadPoolExecutor(8) as pool:
            raised = list(
                pool.map(lambda _: ledger.alerts.raise_("k", **told, messages=[message]), range(16))
            )
        assert sum(new for _, new in raised) == 1
        alert = ledger.alerts.find_open("k")
        assert alert is not None
        assert (alert.count, alert.state, alert.title) == (16, "open", "feed\ufffdbroken")
        assert ledger.outbox.counts()["pending"] == 1
        seen = ledger.alerts.acknowledge(alert.id, note="looking", at=NOW + MINUTE)
        assert (seen.state, seen.acknowledged_at) == ("acknowledged", NOW + MINUTE)
        assert ledger.alerts.open_count() == 1
        over = ledger.alerts.resolve_key("k", at=NOW + HOUR, messages=[message])
        assert over is not None
        assert (over.state, over.note) == ("resolved", "looking")
        assert ledger.alerts.resolve_key("k", at=NOW) is None
        with pytest.raises(WrongState):
            ledger.alerts.resolve(alert.id, at=NOW)
        with pytest.raises(WrongState):
            ledger.alerts.acknowledge(alert.id, at=NOW)
        again, new = ledger.alerts.raise_("k", **told, detail={"n": 2})
        assert new
        assert again.id != alert.id
        assert [a.id for a in ledger.alerts.list(state="open")] == [again.id]
        assert [a.id for a in ledger.alerts.list(before=again.id)] == [alert.id]

    def test_the_last_incident_of_a_rule_is_found(self, opened: Open) -> None:
        """Whatever came since of other rules and segments; open or over."""
        alerts = opened(folding=None).alerts

        def raised(key: str, rule: str, segment: str) -> int:
            told: dict[str, Any] = {"severity": "info", "title": "t", "at": NOW}
            return alerts.raise_(key, rule=rule, segment=segment, **told)[0].id

        raised("1", "harm", "zone=a")
        newest = raised("2", "harm", "zone=a")
        alerts.resolve_key("2", at=NOW)
        for number in range(3, 9):
            raised(str(number), "harm" if number % 2 else "broken", f"zone={number}")
        found = alerts.last("harm", "zone=a")
        assert found is not None
        assert (found.id, found.key, found.segment) == (newest, "2", "zone=a")
        assert alerts.last("harm", "") is None
        assert alerts.last("harm", "zone=a", 1) is None
        told: dict[str, Any] = {"severity": "info", "title": "t", "at": NOW}
        for version in (1, 2):
            alerts.raise_(
                f"v{version}", rule="harm", segment="zone=a", model_version=version, **told
            )
        found = alerts.last("harm", "zone=a", 1)
        assert found is not None
        assert found.key == "v1"
