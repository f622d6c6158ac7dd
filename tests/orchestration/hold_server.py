"""Starts a temporary server, says its process id and address, and waits to be killed.

With the argument "answers" it says so once the server answers.
"""

from __future__ import annotations

import signal
import sys

from tidemill.orchestration import TemporaryServer

if __name__ == "__main__":
    with TemporaryServer() as server:
        if "answers" in sys.argv:
            server.wait()
        print(server.pid, server.api_url, flush=True)
        signal.pause()
