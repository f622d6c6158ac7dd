"""Requests that address this installation and come from its own pages; no others get further."""

from __future__ import annotations

from collections.abc import Collection

from tidemill.web.asgi import App, Headers, Receive, Scope, Send, answer, with_headers
from tidemill.web.origins import host_of, is_foreign

__all__ = ["HereOnly"]

_SAFE: Headers = (
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class HereOnly:
    """ASGI middleware: the right host and no foreign origin; whoever asks, whatever is asked.

    Parameters
    ----------
    app : ASGI application
        What asks for a secret: :class:`OwnerOnly`, or a service with users of its own.
    hosts : collection of str
        Names that a request may address, so that no foreign name leads here (DNS rebinding).
    """

    def __init__(self, app: App, *, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or open one websocket."""
        if scope["type"] == "http":
            await self._http(scope, receive, with_headers(send, _SAFE))
        elif scope["type"] == "websocket" and self._refuses(scope):
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if host_of(scope) not in self._hosts:
            await answer(send, 421, "this host name is not served here\n")
        elif is_foreign(scope):
            await answer(send, 403, "the request comes from another origin\n")
        else:
            await self._app(scope, receive, send)

    def _refuses(self, scope: Scope) -> bool:
        return host_of(scope) not in self._hosts or is_foreign(scope)
