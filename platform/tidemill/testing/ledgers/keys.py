# ruff: noqa: S101 - these are tests
"""Keys, sessions and notes."""

from __future__ import annotations

from tidemill.ledger import Key, Session
from tidemill.testing.ledgers.opening import HOUR, MINUTE, NOW, Open, Opening

__all__ = ["KeysContract"]


class KeysContract(Opening):
    """Keys, sessions and notes."""

    def test_keys_sessions_and_notes(self, opened: Open) -> None:
        """What lets people in survives reopening, and ends when it should."""
        ledger = opened()
        key = ledger.keys.add(Key("k1", b"\x00digest", ("ingest", "read"), "app", NOW))
        ledger.sessions.add(Session(b"cookie", "k1", "csrf", NOW, NOW + HOUR))
        ledger.notes.put_many({"a/b": {"x": [1, None]}, "a/c": 2, "d": "half \ud83d"}, NOW)
        ledger.notes.put("a/c", 3, NOW)
        ledger.keys.touch("k1", NOW + MINUTE)
        ledger.close()
        ledger = opened()
        stored = ledger.keys.get("k1")
        assert stored is not None
        assert (stored.digest, stored.scopes) == (key.digest, key.scopes)
        assert stored.last_used_at == NOW + MINUTE
        assert ledger.keys.get("k2") is None
        assert ledger.sessions.get(b"cookie", NOW) is not None
        assert ledger.sessions.get(b"cookie", NOW + HOUR) is None
        assert ledger.notes.get("a/b") == {"x": [1, None]}
        assert ledger.notes.get("d") == "half ?"
        assert ledger.notes.keys("a/") == ["a/b", "a/c"]
        ledger.notes.delete("a/b")
        assert ledger.notes.get("a/b") is None
        assert ledger.keys.revoke("k1", NOW)
        assert not ledger.keys.revoke("k1", NOW)
        assert ledger.keys.count() == 0
        assert ledger.sessions.get(b"cookie", NOW) is None, "a revoked key's sessions end"
