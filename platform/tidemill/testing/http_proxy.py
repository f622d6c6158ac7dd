"""A proxy before a server of HTTP: it notes what passes, and breaks what it is told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

__all__ = ["Fault", "HttpProxy", "Passed", "http_proxy"]

_SECONDS = 60
_PIECES = 8

Fault = Literal["error", "expired", "gone", "hung", "lost", "slow", "torn"]
"""How a request is broken.

``error``, ``expired`` and ``gone`` answer 500, 403 ``ExpiredToken`` and 404 ``NoSuchUpload``, and
the server never hears of it;
``lost`` lets the server answer and hangs up, ``hung`` pauses before it does so; ``torn`` hangs up
after half of the answer's body, and ``slow`` sends it in eight pieces with a pause between each.
"""
_REFUSALS = {
    "error": (500, "InternalError"),
    "expired": (403, "ExpiredToken"),
    "gone": (404, "NoSuchUpload"),
}


@dataclass(frozen=True, slots=True)
class Passed:
    """A request that was answered or broken: ``size`` bytes of body went back to the client."""

    method: str
    path: str
    range: str
    status: int
    size: int
    fault: Fault | None


@dataclass(slots=True)
class _Order:
    fault: Fault
    method: str
    part: str
    left: int
    pause: float
    every: int
    met: int = 0


class HttpProxy:
    """Between clients and a server; :func:`http_proxy` starts one.

    Attributes
    ----------
    address : str
        What clients are told.
    passed : list of Passed
        All requests so far, in order of their ends.
    """

    def __init__(self, server: str) -> None:
        self.passed: list[Passed] = []
        self._server, self._orders = urlsplit(server).netloc, list[_Order]()
        self._lock = threading.Lock()
        self._proxy = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self.address = f"http://127.0.0.1:{self._proxy.server_address[1]}"

    def breaks(
        self,
        fault: Fault,
        method: str,
        part: str = "",
        *,
        times: int = 1,
        pause: float = 0.1,
        every: int = 1,
    ) -> None:
        """Break the next ``times`` requests of a method whose path holds ``part``.

        ``pause`` (seconds) is for ``slow`` and ``hung``. Of ``every`` n such requests the last
        one is broken.
        """
        with self._lock:
            self._orders.append(_Order(fault, method, part, times, pause, every))

    def mends(self) -> None:
        """Forget all faults, and what has passed."""
        with self._lock:
            self._orders.clear()
            self.passed.clear()

    def run(self) -> None:
        """Serve until :meth:`stop`."""
        self._proxy.serve_forever(poll_interval=0.05)

    def stop(self) -> None:
        """Serve no more."""
        self._proxy.shutdown()
        self._proxy.server_close()

    def ordered(self, method: str, path: str) -> _Order | None:
        """What is to be broken of a request; it counts."""
        with self._lock:
            for order in self._orders:
                if order.left and order.method == method and order.part in path:
                    order.met += 1
                    if order.met % order.every == 0:
                        order.left -= 1
                        return order
        return None

    def connection(self) -> HTTPConnection:
        """A connection to the server."""
        return HTTPConnection(self._server, timeout=_SECONDS)


@contextmanager
def http_proxy(server: str) -> Iterator[HttpProxy]:
    """Serve a proxy before ``server``, an address with ``http://``, in threads of this process."""
    proxy = HttpProxy(server)
    thread = threading.Thread(target=proxy.run, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, proxy: HttpProxy, *given: Any) -> None:
        self._proxy = proxy
        super().__init__(*given)

    def _pass(self) -> None:
        order = self._proxy.ordered(self.command, self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with suppress(ConnectionError):  # who asked has left
            if order and order.fault in _REFUSALS:
                self._refuse(order, *_REFUSALS[order.fault])
            else:
                self._forward(body, order)

    def _note(self, status: int, size: int, order: _Order | None) -> None:
        asked = self.headers.get("Range", "")
        fault = order.fault if order else None
        self._proxy.passed.append(Passed(self.command, self.path, asked, status, size, fault))

    def _refuse(self, order: _Order, status: int, code: str) -> None:
        body = b"" if self.command == "HEAD" else f"<Error><Code>{code}</Code></Error>".encode()
        self._note(status, len(body), order)
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _forward(self, body: bytes, order: _Order | None) -> None:
        upstream = self._proxy.connection()
        try:
            # Host and encoding are the client's own.
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        if order and order.fault in ("lost", "hung", "torn"):
            self.close_connection = True
            content = content[: len(content) // 2] if order.fault == "torn" else b""
        self._note(answer.status, len(content), order)
        if order and order.fault in ("lost", "hung"):
            time.sleep(order.pause if order.fault == "hung" else 0)
        else:
            self._answer(answer, content, order)

    def _answer(self, answer: HTTPResponse, content: bytes, order: _Order | None) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        torn = order is not None and order.fault == "torn"
        told = answer.getheader("Content-Length") if torn or self.command == "HEAD" else None
        self.send_header("Content-Length", told or str(len(content)))
        self.end_headers()
        slow = order is not None and order.fault == "slow"
        step = -(-len(content) // (_PIECES if slow else 1)) or 1
        for first in range(0, len(content), step):
            self.wfile.write(content[first : first + step])
            time.sleep(order.pause if order and slow else 0)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""
