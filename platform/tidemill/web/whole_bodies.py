"""A request whose body breaks off ends quietly: no half body is worked on, no traceback logged."""

from __future__ import annotations

import asyncio

from tidemill.web.asgi import App, Message, Receive, Scope, Send

__all__ = ["WholeBodies"]


class WholeBodies:
    """ASGI middleware, the outermost: when the client goes before its body is whole, we stop.

    Parameters
    ----------
    app : ASGI application

    Notes
    -----
    The task that serves the request is cancelled, as it would be at shutdown: an exception
    would be an error to every framework that meets it.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine is run by one
        whole = broken = False

        async def receive_whole() -> Message:
            nonlocal whole, broken
            message = await receive()
            if message["type"] == "http.disconnect" and not whole:
                broken = True
                task.cancel()
                await asyncio.get_running_loop().create_future()  # the cancellation ends it
            whole = whole or not message.get("more_body", False)
            return message

        try:
            await self._app(scope, receive_whole, send)
        except asyncio.CancelledError:
            if not broken:
                raise
            task.uncancel()
