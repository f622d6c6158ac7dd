"""Admission: no route runs for who has no key, and none changes anything for a forged form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, quote

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemill.errors import TidemillError
from tidemill.monitor_client import CREDENTIALS, KEY_VARIABLE
from tidemill.web import cookies_of
from tidemill_monitor.problems import Problem, problem_of, problem_response
from tidemill_monitor.security.api_keys import Keys
from tidemill_monitor.security.rates import Rates
from tidemill_monitor.security.scopes import Identity, Need, required_scope
from tidemill_monitor.security.sessions import COOKIE, Sessions, same_text

__all__ = ["Admission", "read_form"]

_FORM = "application/x-www-form-urlencoded"
_FORM_BYTES = 16 << 10
_TELLS_MORE = "/readyz"  # open to all, and says why to who may read
_WHERE = (
    "`tidemill monitor keys create --scope SCOPE`, in the monitor's workspace, makes a key and "
    f"prints it once; that of the workspace's own commands lies there in {CREDENTIALS}; "
    f"{KEY_VARIABLE} gives commands another"
)
Run = Callable[..., Awaitable[Identity | None]]


class Admission:
    """ASGI middleware: who asks (key or session), whether they may, how often, and CSRF.

    ``scope["state"]["identity"]`` is the :class:`Identity` for the routes behind it.

    Parameters
    ----------
    app : ASGI application
    keys, sessions, rates
    run : callable
        Calls a blocking function in a thread (the store may be slow or away).
    """

    def __init__(
        self, app: ASGIApp, keys: Keys, sessions: Sessions, rates: Rates, run: Run
    ) -> None:
        self._app, self._keys, self._sessions = app, keys, sessions
        self._rates, self._run = rates, run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal: Response | None = None
        try:
            receive = await self._admit(scope, receive)
        except Problem as problem:
            refusal = _refusal(problem, scope)
        except TidemillError as error:
            refusal = problem_response(problem_of(error))
        await (refusal or self._app)(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive) -> Receive:
        need = required_scope(scope["method"], scope["path"])
        headers = Headers(scope=scope)
        if need in ("open", "signed"):
            if scope["path"] == _TELLS_MORE and "authorization" in headers:
                scope.setdefault("state", {})["identity"] = await self._identify(scope)
            return receive
        identity = await self._identify(scope)
        if identity is None:
            raise Problem(
                401,
                "Unauthorized",
                "Unauthorized",
                "send a valid key: Authorization: Bearer tm_...",
                headers={"WWW-Authenticate": "Bearer"},
                remedy=_WHERE,
            )
        _require(identity, need)
        if wait := self._rates.requests.take(identity.id):
            raise Problem.later(429, "TooManyRequests", "this key asks too often", wait)
        if identity.kind == "session" and scope["method"] not in ("GET", "HEAD"):
            receive = await _check_form(headers, receive, identity)
        scope.setdefault("state", {})["identity"] = identity
        return receive

    async def _identify(self, scope: Scope) -> Identity | None:
        given = Headers(scope=scope).get("authorization")
        if given is not None:
            kind, _, text = given.partition(" ")
            if kind.lower() != "bearer":
                return None
            text = text.strip()
            if self._keys.is_fresh(text):
                return self._keys.identify(text)
            return await self._run(self._keys.identify, text)
        token = cookies_of(scope).get(COOKIE)
        return await self._run(self._sessions.identify, token) if token else None


def _require(identity: Identity, need: Need) -> None:
    if not identity.may(need):
        raise Problem(
            403,
            "ScopeMissing",
            "Forbidden",
            f"this key has the scope {identity.scope}, and the request needs {need}",
            scope=identity.scope,
            needed=need,
        )


async def _check_form(headers: Headers, receive: Receive, identity: Identity) -> Receive:
    """Refuse what does not come from a page of this session; the body that was read is put back."""
    token = headers.get("x-csrf-token")
    if token is None and headers.get("content-type", "").startswith(_FORM):
        body, receive = await read_form(receive)
        token = body.get("csrf_token")
    if token is None or not same_text(token, identity.csrf):
        raise _forged("send the session's token as X-CSRF-Token, or as csrf_token in the form")
    return receive


async def read_form(receive: Receive) -> tuple[dict[str, str], Receive]:
    """The fields of a small form, and a ``receive`` that gives the same body again."""
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > _FORM_BYTES:
            raise Problem(413, "BodyTooLarge", "Too large", f"a form has {_FORM_BYTES} bytes")
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        fields = parse_qs(
            body.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=20
        )
    except ValueError as exc:
        raise Problem(400, "FormInvalid", "Not a valid form", "too many fields") from exc
    return {name: values[-1] for name, values in fields.items()}, again


def _forged(detail: str) -> Problem:
    return Problem(403, "CsrfRefused", "Forbidden", detail)


def _refusal(problem: Problem, scope: Scope) -> Response:
    """A person's browser is sent to the login page; everything else gets the problem."""
    accepts = Headers(scope=scope).get("accept", "")
    page = problem.status == 401 and scope["method"] == "GET" and "text/html" in accepts
    if not page or scope["path"].startswith("/v1/"):
        return problem_response(problem)
    return RedirectResponse(f"/login?next={quote(scope['path'])}", 303)
