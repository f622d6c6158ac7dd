"""Ports for servers of tests and benchmarks, and a server that hangs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["free_ports", "hung_server"]


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nothing listens on; all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@contextmanager
def hung_server() -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that takes connections and says nothing: its address, and what it took so far."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        peers: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    peers.append(server.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", peers
        server.shutdown(socket.SHUT_RDWR)
    for peer in peers:
        peer.close()
