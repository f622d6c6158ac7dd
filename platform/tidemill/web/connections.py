"""One HTTP connection within bounds: uvicorn's own, which has none for headers and slow clients."""

from __future__ import annotations

import asyncio
import http
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidemill.web.bounds import Bounds
from tidemill.web.sockets import socket_within

__all__ = ["Connection", "connection_within"]

_LINE_BYTES, _LINES = 8000, 120
"""What the websocket library reads of a handshake, less a little."""


class _Refused(Exception):
    """Ends the parser's work from within one of its calls."""


class Connection(HttpToolsProtocol):
    """A connection that ends what takes too much or too long.

    Notes
    -----
    Memory for each connection: ``head_bytes``, one read of the socket (at most 256 KiB), and what
    uvicorn lets a body wait with (64 KiB).
    """

    bounds: ClassVar[Bounds] = Bounds()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first request's headers."""
        self._head_bytes = 0  # of the headers that are whole
        self._unseen = 0  # bytes since the parser last had something for us
        self._moved = self._begun = self._answered = False
        self._status = http.HTTPStatus.BAD_REQUEST
        self._waits_for = ""
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        super().connection_made(transport)
        if len(self.connections) > self.bounds.connections:
            transport.abort()
        else:
            self._wait("head", self.bounds.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock of whatever was waited for."""
        self._wait("", 0.0)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the socket read, and count what leads to nothing."""
        if self.transport.is_closing():
            return
        if self._waits_for in ("", "idle"):
            self._wait("head", self.bounds.head_seconds)
        self._moved = False
        self._begun = True
        super().data_received(data)
        self._unseen = 0 if self._moved else self._unseen + len(data)
        if self._unseen > self.bounds.head_bytes and not self.transport.is_closing():
            self._refuse(http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins; with its first header comes its clock."""
        self._moved = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count a piece of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header; trailers come here too."""
        self._moved = True
        self._count(len(name) + len(value) + 4)
        if len(self.headers) >= self.bounds.headers:
            self._stop(http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """From now on the body is awaited."""
        self._moved = True
        if len(self.pipeline) >= self.bounds.pipelined:
            self._stop(http.HTTPStatus.TOO_MANY_REQUESTS)
        self._wait("body", self.bounds.stall_seconds)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """The body goes on."""
        self._moved = True
        if self._waits_for == "body":
            self._deadline = self.loop.time() + self.bounds.stall_seconds
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Nothing more is awaited."""
        self._moved = True
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete and not self.pipeline:
            self._wait("idle", self.timeout_keep_alive)
        else:
            self._wait("", 0.0)

    def on_response_complete(self) -> None:
        """Do not wait for ever for the rest of a body that nobody reads."""
        super().on_response_complete()
        if self._waits_for == "body" and not self.pipeline:
            self._wait("rest", self.bounds.linger_seconds)

    def handle_websocket_upgrade(self) -> None:
        """Another protocol takes over, with the headers that we have read.

        It waits for ever on a handshake that it cannot parse, so it gets none of those.
        """
        long = max(len(self.url), *(len(name) + len(value) for name, value in self.headers))
        whole = self.scope["method"] == "GET" and self.scope["http_version"] == "1.1"
        if not whole or long > _LINE_BYTES or len(self.headers) > _LINES:
            self._refuse(http.HTTPStatus.BAD_REQUEST, "no handshake of a websocket")
            return
        self._wait("", 0.0)
        self.ws_protocol_class = socket_within(self.bounds)
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, or is too much."""
        self._refuse(self._status, msg)

    def _count(self, n_bytes: int) -> None:
        self._head_bytes += n_bytes
        if self._head_bytes > self.bounds.head_bytes:
            self._stop(http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _stop(self, status: http.HTTPStatus) -> None:
        self._status = status
        raise _Refused

    def _refuse(self, status: http.HTTPStatus, text: str = "") -> None:
        """Answer, if nothing else is being answered, and close."""
        self._wait("", 0.0)
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy and (self.cycle.response_started or self._in_head()):
            self.transport.close()  # nothing of ours may stand within or before another answer
            return
        said = f"{text if status == http.HTTPStatus.BAD_REQUEST else status.phrase}\n".encode()
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%s"
            % (status, status.phrase.encode(), len(said), said)
        )
        self.transport.close()

    def _in_head(self) -> bool:
        return self.scope is not self.cycle.scope

    def _wait(self, what: str, seconds: float) -> None:
        """Begin to wait for something, or (empty) for nothing."""
        self._waits_for = what
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if what:
            self._deadline = self.loop.time() + seconds
            self._timer = self.loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self.loop.time()
        if self.flow.read_paused and self._waits_for != "rest":
            self._deadline = now + self.bounds.stall_seconds  # we keep the client waiting
        if now < self._deadline:
            self._timer = self.loop.call_at(self._deadline, self._look)
        elif self._waits_for == "body" or (self._waits_for == "head" and self._begun):
            self._refuse(http.HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()


def connection_within(bounds: Bounds) -> type[Connection]:
    """The class whose connections keep ``bounds``, for ``uvicorn.Config(http=...)``."""
    return type("BoundedConnection", (Connection,), {"bounds": bounds})
