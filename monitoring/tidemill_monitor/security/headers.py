"""The outermost layer: headers of every answer, host and origin of every request, the meters."""

from __future__ import annotations

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemill.web import host_of, is_foreign, with_headers
from tidemill_monitor.meters import Meters
from tidemill_monitor.problems import HEADERS, Problem, problem_response

__all__ = ["Wrapped"]

_RAW = tuple((name.encode(), value.encode()) for name, value in HEADERS.items())


class Wrapped:
    """ASGI middleware.

    Parameters
    ----------
    app : ASGI application
    hosts : frozenset of str
        Names that a request may address, so that a foreign page cannot reach a local service
        through a name of its own (DNS rebinding).
    meters : Meters
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str], meters: Meters) -> None:
        self._app, self._hosts, self._meters = app, hosts, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":  # there are none here
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        plain = with_headers(send, _RAW)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await plain(message)

        try:
            if host_of(scope) not in self._hosts:
                await problem_response(_misdirected())(scope, receive, answer)
            elif is_foreign(scope):
                await problem_response(_foreign())(scope, receive, answer)
            else:
                await self._app(scope, receive, answer)
        except asyncio.CancelledError:
            status = _GONE
            raise
        finally:
            self._count(scope, status, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        # The route's pattern, never the path: what clients make up must not become a series.
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._meters.requests.labels(route, method, str(status)).inc()
        self._meters.seconds.labels(route).observe(seconds)


_GONE = 499
"""Counted where the client went before its body was whole."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _misdirected() -> Problem:
    return Problem(
        421,
        "HostUnknown",
        "Misdirected request",
        "this host name is not served here; name it in TIDEMILL_MONITOR_ALLOWED_HOSTS",
    )


def _foreign() -> Problem:
    return Problem(403, "CsrfRefused", "Forbidden", "the request comes from another origin")
