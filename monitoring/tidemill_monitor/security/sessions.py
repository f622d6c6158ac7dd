"""Browser sessions: a random cookie, kept as its hash, and the token that its forms send back."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable

from fastapi import Request

from tidemill.ledger import Ledger, Session
from tidemill_monitor.dates import is_ahead
from tidemill_monitor.security.api_keys import Keys
from tidemill_monitor.security.scopes import Identity

__all__ = ["COOKIE", "LOGIN_COOKIE", "Sessions", "csrf_token", "same_text"]

COOKIE = "tm_session"
LOGIN_COOKIE = "tm_login"
_FRESH_SECONDS = 5.0
_REMEMBERED = 1024


class Sessions:
    """Opens, finds and ends sessions.

    Parameters
    ----------
    ledger : Ledger
    keys : Keys
        A session lasts no longer than the key it was opened with.
    clock : callable
    hours : float
        How long a session lasts.
    """

    def __init__(
        self, ledger: Ledger, keys: Keys, clock: Callable[[], dt.datetime], hours: float
    ) -> None:
        self._ledger, self._keys, self._clock = ledger, keys, clock
        self.lifetime = dt.timedelta(hours=hours)
        self._lock = threading.Lock()
        self._known: dict[bytes, tuple[float, Session | None]] = {}

    def open(self, identity: Identity) -> str:
        """Open a session for the holder of a key; the cookie's value."""
        token, now = secrets.token_urlsafe(32), self._clock()
        self._ledger.sessions.add(
            Session(
                _digest(token), identity.id, secrets.token_urlsafe(32), now, now + self.lifetime
            )
        )
        return token

    def identify(self, token: str) -> Identity | None:
        """Whose session it is; None if it never was, has ended, or its key has."""
        session = self._session(_digest(token))
        now = self._clock()
        # One of a clock that was ahead would last until then.
        if session is None or session.expires_at <= now or is_ahead(session.created_at, now):
            return None
        holder = self._keys.holder(session.key_id)
        if holder is None:
            return None
        return Identity("session", holder.id, holder.name, holder.scope, session.csrf)

    def end(self, token: str) -> None:
        """End the session of this cookie, here and in the ledger."""
        digest = _digest(token)
        self._ledger.sessions.end(digest)
        with self._lock:
            self._known.pop(digest, None)

    def _session(self, digest: bytes) -> Session | None:
        now = time.monotonic()
        known = self._known.get(digest)
        if known is not None and known[0] > now:
            return known[1]
        found = self._ledger.sessions.get(digest, self._clock())
        with self._lock:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[digest] = (now + _FRESH_SECONDS, found)
        return found


def csrf_token(request: Request) -> str:
    """What the forms and scripts of a page send back; empty where no session asks."""
    identity: Identity | None = getattr(request.state, "identity", None)
    return identity.csrf if identity is not None else ""


def same_text(left: str, right: str) -> bool:
    """Compare without telling by time where they differ; any characters."""
    return hmac.compare_digest(
        left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass")
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
