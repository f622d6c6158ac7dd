"""HEAD where there is GET: frameworks that know a route for the one alone refuse the other."""

from __future__ import annotations

import asyncio

from tidemill.web.asgi import App, Message, Receive, Scope, Send

__all__ = ["HeadAsGet"]


class HeadAsGet:
    """ASGI middleware: HEAD is answered as GET, without the body.

    Parameters
    ----------
    app : ASGI application

    Notes
    -----
    Where the body is a stream, the task that makes it is cancelled once the head is sent, as it
    would be at shutdown: nobody waits for the rest, and there may be no end of it.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine is run by one
        cut = False

        async def send_head(message: Message) -> None:
            nonlocal cut
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
            elif message.get("more_body", False) and not cut:
                cut = True
                task.cancel()

        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send_head)
        except asyncio.CancelledError:
            if not cut:
                raise
            task.uncancel()
        finally:
            # What is noted on the way in, the route for one, is read on the way out.
            scope.update(asked, method="HEAD")
