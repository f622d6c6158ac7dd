"""A small application behind the guard, and real sockets to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from tidemill.web import Bounds, HereOnly, OwnerOnly, Passes, WholeBodies
from tidemill.web.connections import connection_within

CREDENTIAL = "tidemill:0123456789abcdef"


class Echo:
    """Counts what reaches it: that is what must not happen."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.messages: list[Any] = []

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        self.reached.append(f"{scope['method']} {scope['path']}")
        size, more = 0, scope["path"] != "/deaf"
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        if scope["path"] == "/slow":
            await asyncio.sleep(1.0)
        body = str(size).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _websocket(self, scope, receive, send) -> None:
        await receive()
        await send(
            {"type": "websocket.accept", "subprotocol": (scope["subprotocols"] or [None])[0]}
        )
        while (message := await receive())["type"] == "websocket.receive":
            self.messages.append(message.get("text"))
            await send({"type": "websocket.send", "text": "heard"})


@pytest.fixture
def echo() -> Echo:
    """What stands behind."""
    return Echo()


@pytest.fixture
def passes() -> Passes:
    """The guard's."""
    return Passes(CREDENTIAL)


@pytest.fixture
def owned(echo, passes):
    """The application behind the guard."""
    owner = OwnerOnly(echo, passes=passes, open_paths=("/health",), handshake="prefect")
    return HereOnly(owner, hosts=("127.0.0.1", "localhost"))


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """Serves an application in a thread; the port."""
    with contextlib.ExitStack() as stack:

        def start(app: Any, bounds: Bounds | None = None) -> int:
            listener = socket.create_server(("127.0.0.1", 0))
            config = uvicorn.Config(
                WholeBodies(app), http=connection_within(bounds or Bounds()), log_level="warning"
            )
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
            thread.start()

            def stop() -> None:
                server.should_exit = True
                thread.join(10)
                listener.close()

            stack.callback(stop)
            while not server.started:
                time.sleep(0.01)
            return listener.getsockname()[1]

        yield start
