"""The words of ASGI, and a small answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = [
    "ADMIT",
    "App",
    "Headers",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "answer",
    "json_changed",
    "with_headers",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

ADMIT = "tidemill.admit"
"""In the scope of a websocket: what is to be called once its owner is known."""


async def answer(
    send: Send,
    status: int,
    text: str,
    *,
    headers: Headers = (),
    kind: bytes = b"text/plain; charset=utf-8",
) -> None:
    """Send a whole answer."""
    body = text.encode()
    length = str(len(body)).encode()
    sent = [(b"content-type", kind), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})


def with_headers(send: Send, headers: Headers) -> Send:
    """Send as before, with these headers in every answer that does not set them itself."""

    async def send_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            sent = list(message.get("headers", ()))
            given = {name.lower() for name, _ in sent}
            message["headers"] = [*sent, *(one for one in headers if one[0] not in given)]
        await send(message)

    return send_more


def json_changed(
    app: App, path: str, change: Callable[[dict[str, Any], Scope], dict[str, Any]]
) -> App:
    """Change the JSON document that ``app`` answers GET ``path`` with."""

    async def changed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != path or scope["method"] != "GET":
            await app(scope, receive, send)
            return
        begun: Message = {}
        body = b""

        async def hold(message: Message) -> None:
            nonlocal begun, body
            if message["type"] == "http.response.start":
                begun = message
                return
            body += message.get("body", b"")
            if message.get("more_body", False):
                return
            if begun["status"] == 200:
                body = json.dumps(change(json.loads(body), scope)).encode()
            kept = [one for one in begun["headers"] if one[0].lower() != b"content-length"]
            length = str(len(body)).encode()
            await send({**begun, "headers": [*kept, (b"content-length", length)]})
            await send({"type": "http.response.body", "body": body})

        # Packed, it could not be read here.
        plain = [one for one in scope["headers"] if one[0] != b"accept-encoding"]
        await app({**scope, "headers": plain}, receive, hold)

    return changed
