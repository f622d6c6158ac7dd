"""HTTP to addresses that somebody typed in: only to public peers, without redirects or proxies."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpcore

from tidemill.errors import ServiceUnavailable
from tidemill_monitor.public_addresses import AddressRefused, refuse_unless_public

__all__ = ["Answered", "check_address", "post"]

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0

_Options = Iterable[Any] | None


@dataclass(frozen=True, slots=True)
class Answered:
    """What a receiver said.

    Parameters
    ----------
    status : int
    retry_after : str
        The header of that name as it came; empty where there is none.
    """

    status: int
    retry_after: str = ""


def check_address(url: str) -> None:
    """Refuse what is no http or https address; nothing is resolved or reached.

    Raises
    ------
    AddressRefused
        If it is none.
    """
    _host(url)


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allow_private: bool = False,
    seconds: float = ANSWER_SECONDS,
) -> Answered:
    """Send ``body`` by POST and return what was answered; the answer's body is not read.

    The name is resolved once, every address it stands for is judged, the connection goes to one
    of these and the peer is judged again: a name that answers differently the second time gains
    nothing. Redirects are not followed (a 3xx is the answer) and the environment's proxies are
    not used. The whole exchange ends after ``seconds``, however slowly the peer speaks.

    Raises
    ------
    AddressRefused
        If the address is not http or https, or not public and ``allow_private`` is false.
    ServiceUnavailable
        If nobody answers in time.
    """
    host = _host(url)
    backend = _GuardedBackend(allow_private, time.monotonic() + seconds)
    timeouts = {"connect": CONNECT_SECONDS, "read": seconds, "write": seconds, "pool": seconds}
    try:
        with (
            httpcore.ConnectionPool(network_backend=backend) as pool,
            pool.stream(
                "POST",
                url,
                headers=[("Host", host), *headers.items()],
                content=body,
                extensions={"timeout": timeouts},
            ) as answer,
        ):
            return Answered(answer.status, _retry_after(answer))
    except (
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.TimeoutException,
        OSError,
    ) as exc:
        # The path and query of the address may be a secret; the host is enough to find it.
        raise ServiceUnavailable(
            f"{host} did not take the message ({type(exc).__name__})",
            remedy="look whether the receiver runs; what the outbox holds is sent again by itself",
            service="webhook",
            host=host,
        ) from exc


def _retry_after(answer: httpcore.Response) -> str:
    found = (value for name, value in answer.headers if name.lower() == b"retry-after")
    return next(found, b"")[:64].decode("latin-1")


def _host(url: str) -> str:
    """Host and port of an http or https address, as the Host header wants them."""
    try:
        parsed = httpcore.URL(url)
        host = parsed.host.decode("ascii")
    except (UnicodeError, ValueError, TypeError, httpcore.UnsupportedProtocol):
        parsed, host = None, ""
    if parsed is None or parsed.scheme not in (b"http", b"https") or not host:
        raise AddressRefused(
            "the webhook's address is not an http or https address",
            remedy="give the channel an address such as https://example.org/hooks/tidemill",
        )
    name = f"[{host}]" if ":" in host else host
    return name if parsed.port is None else f"{name}:{parsed.port}"


class _GuardedBackend(httpcore.NetworkBackend):
    """Connects to addresses that were judged, and to nothing after the deadline."""

    def __init__(self, allow_private: bool, deadline: float) -> None:
        self._allow_private = allow_private
        self._deadline = deadline
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _Options = None,
    ) -> httpcore.NetworkStream:
        refused: Exception | None = None
        for address in self._addresses(host, port):
            try:
                stream = self._plain.connect_tcp(
                    address, port, _left(self._deadline, timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                refused = exc
                continue
            self._check_peer(stream, host)
            return _DeadlineStream(stream, self._deadline)
        raise refused or httpcore.ConnectError(f"{host} has no address")

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise httpcore.ConnectError(f"{host} cannot be resolved") from exc
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not self._allow_private:
            for address in addresses:
                refuse_unless_public(address, host)
        return addresses

    def _check_peer(self, stream: httpcore.NetworkStream, host: str) -> None:
        if self._allow_private:
            return
        try:
            refuse_unless_public(stream.get_extra_info("server_addr")[0], host)
        except AddressRefused:
            stream.close()
            raise


@dataclass
class _DeadlineStream(httpcore.NetworkStream):
    """A stream on which nothing lasts beyond the deadline of the whole exchange."""

    inner: httpcore.NetworkStream
    deadline: float

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.inner.read(max_bytes, _left(self.deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.inner.write(buffer, _left(self.deadline, timeout))

    def close(self) -> None:
        self.inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(self.deadline, timeout)
        return _DeadlineStream(
            self.inner.start_tls(ssl_context, server_hostname, left), self.deadline
        )

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)


def _left(deadline: float, timeout: float | None) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the exchange took too long")
    return left if timeout is None else min(left, timeout)
