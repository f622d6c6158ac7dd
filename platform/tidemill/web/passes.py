"""What opens a service: its credential for programs; links and sessions for the owner's browser."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Callable

__all__ = ["LINK_SECONDS", "SESSION_SECONDS", "Passes"]

LINK_SECONDS = 3600
SESSION_SECONDS = 12 * 3600
_MAX_TEXT = 512


class Passes:
    """Makes and checks what opens one service.

    Parameters
    ----------
    credential : str
        ``user:password``. Links and sessions are signed with it: who has it may make them.
    clock : callable
        Seconds since the epoch.
    running : callable
        Seconds of a clock that nobody sets.

    Notes
    -----
    A link works once: it is remembered until it ends, and one that was made before this process
    began is refused: one that is older than the process has run, so that a clock which was set
    back refuses no new links. Sessions outlive a restart, and end with the credential.

    >>> passes = Passes("owner:secret")
    >>> link = passes.link()
    >>> passes.take(link), passes.take(link)
    (True, False)
    """

    def __init__(
        self,
        credential: str,
        *,
        clock: Callable[[], float] = time.time,
        running: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credential = credential.encode()
        self._clock, self._running = clock, running
        self._began = running()
        self._taken: dict[str, float] = {}
        self.cookie = f"tidemill_{self._mac('cookie', '')[:12]}"

    def link(self) -> str:
        """A token that opens one session, within an hour."""
        return self._signed("link")

    def take(self, token: str) -> bool:
        """Use a link's token; False if it is not ours, too old, or was used."""
        made = self._read("link", token, LINK_SECONDS)
        ran = self._running()
        self._taken = {used: end for used, end in self._taken.items() if end > ran}
        age = math.inf if made is None else self._clock() - made
        if age > ran - self._began or token in self._taken:
            return False
        self._taken[token] = ran + LINK_SECONDS
        return True

    def session(self) -> str:
        """The value of a session's cookie, good for half a day."""
        return self._signed("session")

    def holds(self, token: str) -> bool:
        """Whether this is a session's cookie that is still good."""
        return self._read("session", token, SESSION_SECONDS) is not None

    def opens(self, text: str) -> bool:
        """Whether this is the credential, or its password alone."""
        given = text.encode(errors="replace")  # JSON may hold halves of surrogate pairs
        password = self._credential.partition(b":")[2]
        return hmac.compare_digest(given, self._credential) | hmac.compare_digest(given, password)

    def admits(self, authorization: bytes) -> bool:
        """Whether an ``Authorization`` header (Basic) carries the credential."""
        kind, _, text = authorization.partition(b" ")
        if kind.lower() != b"basic":
            return False
        try:
            given = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(given, self._credential)

    def _signed(self, kind: str) -> str:
        # The whole clock: rounded, a token could be from before this process, or from the future.
        body = f"{self._clock()!r}-{secrets.token_hex(16)}"
        return f"{body}-{self._mac(kind, body)}"

    def _read(self, kind: str, token: str, seconds: float) -> float | None:
        """When a token was made; None if it is not ours, from the future, or too old."""
        body, _, mac = token[:_MAX_TEXT].rpartition("-")
        if not hmac.compare_digest(mac.encode(), self._mac(kind, body).encode()):
            return None
        made = float(body.partition("-")[0])
        return made if made <= self._clock() < made + seconds else None

    def _mac(self, kind: str, body: str) -> str:
        text = f"tidemill {kind} {body}".encode()
        return hmac.new(self._credential, text, hashlib.sha256).hexdigest()
