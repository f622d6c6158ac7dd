"""Scopes, and which one each address asks for: one table, closed unless it says otherwise."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["OPEN_PATHS", "OPEN_PREFIX", "SCOPES", "Identity", "Need", "Scope", "required_scope"]

Scope = Literal["ingest", "read", "retrain", "operate"]
Need = Literal["open", "signed", "ingest", "read", "retrain", "operate"]

SCOPES: tuple[Scope, ...] = ("ingest", "read", "retrain", "operate")

OPEN_PATHS = ("/healthz", "/readyz", "/login")
"""What answers without a key: health, and the page where one is given."""

OPEN_PREFIX = "/static/login/"
"""The look of that page."""

_INGEST = ("/v1/predict", "/v1/events", "/v1/labels")
_SIGNED = ("/v1/retrain",)
_LABELLED = "/v1/labelled"
_REPORT = re.compile(r"/v1/decisions/[^/]+/report")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks.

    Parameters
    ----------
    kind : str
        ``key`` or ``session``.
    id : str
        Of the key, also for a session that was opened with it.
    name : str
        That the key was given.
    scope : str
    csrf : str
        Of a session: what its forms must send back.
    """

    kind: Literal["key", "session"]
    id: str
    name: str
    scope: Scope
    csrf: str = ""

    def may(self, need: Need) -> bool:
        """Whether the scope suffices; ``operate`` includes the others, ``retrain`` reads too."""
        if need == "read" and self.scope == "retrain":
            return True
        return need == "open" or self.scope in (need, "operate")


def required_scope(method: str, path: str) -> Need:
    """What a request needs: ``open`` nothing, ``signed`` a signature that its route checks.

    >>> required_scope("GET", "/v1/windows"), required_scope("POST", "/v1/events")
    ('read', 'ingest')
    >>> required_scope("POST", "/v1/alerts/7/resolve"), required_scope("GET", "/healthz")
    ('operate', 'open')
    """
    safe = method in ("GET", "HEAD")
    if path in OPEN_PATHS and (safe or path == "/login"):
        return "open"
    if safe and path.startswith(OPEN_PREFIX) and ".." not in path:
        return "open"
    if method == "POST" and path in _SIGNED:
        return "signed"
    if path in _INGEST:
        return "ingest"
    if path == "/logout":
        return "read"
    if (safe and path == _LABELLED) or (method == "POST" and _REPORT.fullmatch(path)):
        return "retrain"
    return "read" if safe else "operate"
