"""Starts a temporary server, says its process id and address, and waits to be killed."""

from __future__ import annotations

import signal

from tidemill.orchestration import TemporaryServer

if __name__ == "__main__":
    with TemporaryServer() as server:
        server.wait()
        print(server.pid, server.api_url, flush=True)
        signal.pause()
