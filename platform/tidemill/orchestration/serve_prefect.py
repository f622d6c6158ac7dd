"""A Prefect server that ends with the process that started it.

A script, run by its path with ``python -P``, so that nothing of tidemill is imported before the
server: ``serve_prefect.py SOCKET_FD PARENT_PID LOCK_FILE``. The socket listens already; the first
request waits in its queue until the server is up.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import IO

POLL_SECONDS = 0.5


def end_with(parent: int) -> None:
    """End this process when ``parent`` does, however it ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(0)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def locked(path: Path) -> IO[bytes]:
    """Wait for the others: two servers must not create one database at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def main() -> None:
    """Serve on the socket that was handed over."""
    descriptor, parent, lock = sys.argv[1:]
    end_with(int(parent))
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            with locked(Path(lock)):
                await super().startup(sockets)

    config = uvicorn.Config(
        "prefect.server.api.server:create_app",
        factory=True,
        log_level="error",
        lifespan="on",
        timeout_graceful_shutdown=5,
    )
    Server(config).run(sockets=[socket.socket(fileno=int(descriptor))])


if __name__ == "__main__":
    main()
