"""What one connection may cost before anybody knows who is at its other end."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Bounds"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a connection.

    Parameters
    ----------
    head_bytes : int
        Of a request's line and headers, trailers included; and of what a websocket may send
        before its owner is known.
    headers : int
        How many.
    head_seconds : float
        From a connection's start, or a request's first byte, to the end of its headers.
    stall_seconds : float
        Without a byte of a body that is awaited.
    linger_seconds : float
        For the rest of a body whose request was answered already.
    pipelined : int
        Requests that wait for the answer to the one before them.
    connections : int
        At once.
    """

    head_bytes: int = 64 << 10
    headers: int = 256
    head_seconds: float = 10.0
    stall_seconds: float = 30.0
    linger_seconds: float = 10.0
    pipelined: int = 16
    connections: int = 1000
