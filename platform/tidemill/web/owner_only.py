"""A service for its owner alone: what stands in front of those that would serve anybody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection
from html import escape
from urllib.parse import parse_qs

from tidemill.web.asgi import ADMIT, App, Headers, Message, Receive, Scope, Send, answer
from tidemill.web.origins import cookies_of, header_of
from tidemill.web.passes import SESSION_SECONDS, Passes

__all__ = ["OPEN_PATH", "OwnerOnly"]

OPEN_PATH = "/tidemill/open"
"""Where a link leads, and where the page that asks for the password sends it."""

_FORM_BYTES = 4 << 10
_HANDSHAKE_SECONDS = 10.0
_PAGE: Headers = (
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
)
_HTML = b"text/html; charset=utf-8"
_CLOSED = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Closed</title>
<h1>This service answers its owner only</h1>
<p>Open it with the link that <code>tidemill up</code> prints; <code>tidemill links</code>, in the
workspace, makes another one. Or give the service's password:</p>
<form method="post" action="{OPEN_PATH}"><label>Password
<input type="password" name="password" autocomplete="current-password" required></label>
<button>Open</button></form>
<p>The password lies in the workspace, in <code>.tidemill/up/clients.sh</code>: of MLflow as
<code>MLFLOW_TRACKING_PASSWORD</code>, of Prefect behind the colon of
<code>PREFECT_API_AUTH_STRING</code>. Of Prefect in the containers it lies in
<code>docker/secrets/prefect_auth</code>, behind the colon too.</p></html>
"""
_CLOSED_PLAINLY = """this service answers its owner only: send user and password as HTTP Basic.
They lie in the workspace, in .tidemill/up/clients.sh (PREFECT_API_AUTH_STRING of Prefect;
MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD of MLflow), which
`. .tidemill/up/clients.sh` sets in a shell; of Prefect in the containers, in
docker/secrets/prefect_auth. For a browser: `tidemill links`, in the workspace, makes a link.
"""
# No redirect: after a link in another site's page, a browser withholds the new cookie from it.
_OPENED = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Open</title>
<meta http-equiv="refresh" content="0;url={home}"><a href="{home}">Go on</a></html>
"""


class OwnerOnly:
    """ASGI middleware: a pass. It stands behind :class:`HereOnly`.

    Parameters
    ----------
    app : ASGI application
    passes : Passes
    open_paths : collection of str
        What answers GET without a pass: health.
    handshake : str or None
        A websocket's subprotocol whose first message carries the credential (Prefect's); None
        where every websocket needs a pass in its headers.
    home : callable
        The page of the service on which a browser that was let in begins; asked each time, in a
        thread.
    """

    def __init__(
        self,
        app: App,
        *,
        passes: Passes,
        open_paths: Collection[str] = (),
        handshake: str | None = None,
        home: Callable[[], str] = lambda: "/",
    ) -> None:
        self._app, self._passes = app, passes
        self._open_paths = frozenset(open_paths)
        self._handshake, self._home = handshake, home

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or open one websocket."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        safe = scope["method"] in ("GET", "HEAD")
        if safe and scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
        elif scope["path"] == OPEN_PATH:
            await self._open(scope, receive, send)
        elif self._admitted(scope):
            await self._app(scope, receive, send)
        else:
            await _closed(scope, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        admit = scope.get(ADMIT, _no_bound)
        if self._admitted(scope):
            admit()
            await self._app(scope, receive, send)
        elif self._handshake is not None and self._handshake in scope["subprotocols"]:
            # A browser says where it comes from; what does not is a program.
            await self._app(scope, self._authenticating(receive, send, admit), send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _admitted(self, scope: Scope) -> bool:
        given = header_of(scope, b"authorization")
        if given is not None and self._passes.admits(given):
            return True
        cookie = cookies_of(scope).get(self._passes.cookie)
        return cookie is not None and self._passes.holds(cookie)

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            tokens = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
            opened = len(tokens) == 1 and self._passes.take(tokens[0])
        else:
            given = await _password(scope, receive)
            opened = given is not None and self._passes.opens(given)
        if opened:
            page = _OPENED.format(home=escape(await asyncio.to_thread(self._home)))
            headers = (*_PAGE, self._session_cookie(scope))
            await answer(send, 200, page, kind=_HTML, headers=headers)
        else:
            await _closed(scope, send)

    def _session_cookie(self, scope: Scope) -> tuple[bytes, bytes]:
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        text = (
            f"{self._passes.cookie}={self._passes.session()}; Path=/; Max-Age={SESSION_SECONDS}; "
            f"HttpOnly; SameSite=Strict{secure}"
        )
        return b"set-cookie", text.encode()

    def _authenticating(self, receive: Receive, send: Send, admit: Callable[[], None]) -> Receive:
        """Receive as before, but for the first message, which must carry the credential."""
        known = False

        async def receive_known() -> Message:
            nonlocal known
            if known:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), _HANDSHAKE_SECONDS)
            except TimeoutError:
                message = {"type": "websocket.receive", "text": ""}
            if message["type"] != "websocket.receive":
                return message
            known = self._passes.opens(_token(message))
            if known:
                admit()
                return message
            await send({"type": "websocket.close", "code": 1008})
            return {"type": "websocket.disconnect", "code": 1008}

        return receive_known


def _no_bound() -> None:
    """A server that is not ours has bounds of its own."""


async def _closed(scope: Scope, send: Send) -> None:
    accepts = header_of(scope, b"accept") or b""
    if scope["method"] in ("GET", "HEAD", "POST") and b"text/html" in accepts:
        # No scheme that makes a browser ask by itself, and send what it got for ever after.
        challenge = (b"www-authenticate", b'Form realm="tidemill"')
        await answer(send, 401, _CLOSED, kind=_HTML, headers=(*_PAGE, challenge))
    else:
        browser = header_of(scope, b"sec-fetch-mode") is not None
        headers = () if browser else ((b"www-authenticate", b'Basic realm="tidemill"'),)
        await answer(send, 401, _CLOSED_PLAINLY, headers=headers)


async def _password(scope: Scope, receive: Receive) -> str | None:
    """The password of a form; None for anything else than a small form."""
    kind = header_of(scope, b"content-type") or b""
    if scope["method"] != "POST" or not kind.startswith(b"application/x-www-form-urlencoded"):
        return None
    body, more = b"", True
    while more and len(body) <= _FORM_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if more or len(body) > _FORM_BYTES:
        return None
    found = parse_qs(body.decode("latin-1")).get("password", [])
    return found[0].strip() if len(found) == 1 else None


def _token(message: Message) -> str:
    """What the first message of Prefect's handshake carries; empty for any other message."""
    try:
        found = json.loads(message.get("text") or "")
    except (ValueError, RecursionError):
        return ""
    if not isinstance(found, dict) or found.get("type") != "auth":
        return ""
    return str(found.get("token") or "")
