"""API keys: 256 random bits, shown once, kept as a keyed hash."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tidemill.errors import ConfigError
from tidemill.ledger import Key, Ledger
from tidemill_monitor.security.scopes import SCOPES, Identity, Scope

__all__ = ["Keys"]

_TEXT = re.compile(r"tm_([0-9a-z]{12})_([0-9a-f]{64})")
_FRESH_SECONDS = 5.0
_TOUCH_SECONDS = 60.0
_REMEMBERED = 1024


class Keys:
    """Makes, finds and revokes keys.

    Parameters
    ----------
    ledger : Ledger
    clock : callable
        Gives the time, aware and UTC.

    Notes
    -----
    A key is looked up in the store at most every five seconds, so a revoked one is refused
    within that time. At most 1,024 are remembered.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], dt.datetime]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Key | None]] = {}
        self._touched: dict[str, float] = {}

    def create(self, name: str, scope: Scope) -> str:
        """Make a key; the returned text cannot be had again."""
        text = f"tm_{secrets.token_hex(6)}_{secrets.token_hex(32)}"
        self.add(text, name, scope)
        return text

    def add(self, text: str, name: str, scope: Scope) -> bool:
        """Take up a key that was made elsewhere; False if it is known already.

        Raises
        ------
        ConfigError
            If it is no key, or the scope is none.
        """
        match = _TEXT.fullmatch(text)
        if match is None or scope not in SCOPES:
            raise ConfigError(
                "a key is tm_<12 characters>_<64 hexadecimal digits>, with a scope",
                remedy="make one with: tidemill monitor keys create --scope " + "|".join(SCOPES),
            )
        if self._ledger.keys.get(match[1]) is not None:
            return False
        self._ledger.keys.add(
            Key(match[1], _digest(match[1], match[2]), (scope,), name, self._clock())
        )
        return True

    def take_up(self, file: Path) -> int:
        """Take up the keys of a file, one ``scope key`` a line; how many were new.

        A line ``revoked key`` refuses one from now on.
        """
        try:
            lines = [line.split() for line in file.read_text().splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError(
                f"the file of keys {file} cannot be read: {type(exc).__name__}",
                remedy="set TIDEMILL_MONITOR_KEYS_FILE to a text file of lines 'scope key'",
                path=str(file),
            ) from exc
        new = 0
        for words in lines:
            scope, text = words if len(words) == 2 else ("", "")
            match = _TEXT.fullmatch(text)
            if scope == "revoked" and match:
                self.revoke(match[1])
                continue
            new += self.add(text, file.name, scope)  # type: ignore[arg-type]
        return new

    def first(self) -> str | None:
        """The first key of a store without any (scope operate); None if there is one."""
        return None if self._ledger.keys.count() else self.create("first key", "operate")

    def identify(self, text: str) -> Identity | None:
        """Who has this key; None for nobody. Reads the store when it has not for a while."""
        match = _TEXT.fullmatch(text)
        if match is None:
            return None
        key = self._key(match[1])
        # Compared in any case: how long it takes must not tell whether the id exists.
        held = key.digest if key is not None else b"\0" * 32
        same = hmac.compare_digest(held, _digest(match[1], match[2]))
        if key is None or not same:
            return None
        self._touch(key.id)
        return self.holder(key.id)

    def holder(self, key_id: str) -> Identity | None:
        """Who has the key of this id, if it is valid now."""
        key = self._key(key_id)
        if key is None or key.revoked_at is not None:
            return None
        if key.expires_at is not None and key.expires_at <= self._clock():
            return None
        scope: Scope = next((s for s in reversed(SCOPES) if s in key.scopes), "ingest")
        return Identity("key", key.id, key.name, scope)

    def is_fresh(self, text: str) -> bool:
        """Whether :meth:`identify` would answer without reading the store."""
        match = _TEXT.fullmatch(text)
        known = self._known.get(match[1]) if match else None
        return match is None or (known is not None and known[0] > time.monotonic())

    def list(self) -> Sequence[Key]:
        """All keys, without their secrets: those are nowhere."""
        return tuple(self._ledger.keys.list())

    def revoke(self, key_id: str) -> bool:
        """Refuse the key from now on; False if there is none of that id."""
        with self._lock:
            self._known.pop(key_id, None)
        return self._ledger.keys.revoke(key_id, self._clock())

    def _key(self, key_id: str) -> Key | None:
        now = time.monotonic()
        known = self._known.get(key_id)
        if known is not None and known[0] > now:
            return known[1]
        found = self._ledger.keys.get(key_id)
        with self._lock:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key_id] = (now + _FRESH_SECONDS, found)
        return found

    def _touch(self, key_id: str) -> None:
        now = time.monotonic()
        if now - self._touched.get(key_id, -_TOUCH_SECONDS) >= _TOUCH_SECONDS:
            self._touched[key_id] = now
            self._ledger.keys.touch(key_id, self._clock())


def _digest(key_id: str, secret: str) -> bytes:
    # A fast hash is enough: nobody guesses 256 random bits. The id keys it.
    return hashlib.blake2b(
        secret.encode(), digest_size=32, key=key_id.encode(), person=b"tidemill key"
    ).digest()
