"""Prefect's server for its owner alone: ``serve_prefect.py HOST PORT``.

A script, run by its path with ``python -P`` or by its name, so that little of tidemill is imported
before the server. ``serve_prefect.py SOCKET_FD PARENT_PID LOCK_FILE`` is the temporary server of
one run, which ends with the process that started it: its socket listens already, and the first
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
from typing import IO, Any

from tidemill.web import guarded, header_of, json_changed, server_for
from tidemill.web.asgi import App, Scope

POLL_SECONDS = 0.5
HEALTH = ("/api/health", "/api/ready")


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


def serve_one_run(descriptor: int, parent: int, lock: Path) -> None:
    """Serve on the socket that was handed over."""
    end_with(parent)
    # Held by this process until it listens; Prefect makes its database before.
    server = server_for(_application(), log_level="error")
    start = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        with locked(lock):
            await start(sockets)

    server.startup = startup  # type: ignore[method-assign]
    server.run(sockets=[socket.socket(fileno=descriptor)])


def _application() -> App:
    from prefect.server.api.server import create_app

    app: App = create_app(final=True)
    if "PREFECT_SERVER_UI_API_URL" not in os.environ:
        app = json_changed(app, "/ui-settings", _api_where_the_page_is)
    return guarded(app, open_paths=HEALTH, handshake="prefect")


def _api_where_the_page_is(document: dict[str, Any], scope: Scope) -> dict[str, Any]:
    """Prefect's pages ask one fixed address, which is another origin under another name or port."""
    host = (header_of(scope, b"host") or b"").decode("latin-1")
    return {**document, "api_url": f"{scope['scheme']}://{host}/api"}


def main() -> None:
    """Serve as the arguments say."""
    if len(sys.argv) == 3:
        server_for(_application(), host=sys.argv[1], port=int(sys.argv[2])).run()
    else:
        descriptor, parent, lock = sys.argv[1:]
        serve_one_run(int(descriptor), int(parent), Path(lock))


if __name__ == "__main__":
    main()
