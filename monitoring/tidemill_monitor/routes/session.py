"""The login page and the session's end."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from tidemill.web import cookies_of
from tidemill_monitor.monitor_service import Service, service_of
from tidemill_monitor.problems import Problem
from tidemill_monitor.security.admission import read_form
from tidemill_monitor.security.sessions import COOKIE, LOGIN_COOKIE, same_text

__all__ = ["router"]

_FORM_SECONDS = 3600
router = APIRouter(include_in_schema=False)


@router.get("/login")
async def login_form(
    request: Request,
    next: str = "/",  # noqa: A002 - the parameter's public name
    service: Service = Depends(service_of),  # noqa: B008
) -> Response:
    """The form that asks for a key."""
    return _form(request, service, _local(next), None)


@router.post("/login")
async def login(request: Request, service: Service = Depends(service_of)) -> Response:  # noqa: B008
    """Open a session for the holder of a key."""
    address = request.client.host if request.client else ""
    if wait := service.rates.logins.take(address):
        raise Problem.later(429, "TooManyRequests", "too many failed logins from here", wait)
    form, _ = await read_form(request.receive)
    sent, expected = form.get("csrf_token", ""), cookies_of(request.scope).get(LOGIN_COOKIE, "")
    if not expected or not same_text(sent, expected):
        raise Problem(403, "CsrfRefused", "Forbidden", "open the login page again and log in there")
    target = _local(form.get("next", "/"))
    identity = await service.run(service.keys.identify, form.get("key", "").strip())
    if identity is None or not identity.may("read"):
        reason = "This is no valid key." if identity is None else "This key may not read."
        return _form(request, service, target, reason)
    service.rates.logins.give_back(address)
    token = await service.run(service.sessions.open, identity)
    answer = RedirectResponse(target, 303)
    seconds = int(service.sessions.lifetime.total_seconds())
    _set(answer, COOKIE, token, request, service, seconds)
    answer.delete_cookie(LOGIN_COOKIE, path="/login")
    return answer


@router.post("/logout")
async def logout(request: Request, service: Service = Depends(service_of)) -> Response:  # noqa: B008
    """End the session."""
    token = cookies_of(request.scope).get(COOKIE)
    if token:
        await service.run(service.sessions.end, token)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


def _form(request: Request, service: Service, target: str, error: str | None) -> Response:
    from tidemill_monitor.dashboard import login_page

    token = secrets.token_urlsafe(32)
    page = HTMLResponse(login_page(token, target, error), 401 if error else 200)
    _set(page, LOGIN_COOKIE, token, request, service, _FORM_SECONDS, path="/login")
    return page


def _set(
    response: Response,
    name: str,
    value: str,
    request: Request,
    service: Service,
    seconds: int,
    *,
    path: str = "/",
) -> None:
    wanted = service.settings.secure_cookies
    secure = request.url.scheme == "https" if wanted is None else wanted
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=path,
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def _local(target: str) -> str:
    """A path on this service; anything else is the first page.

    >>> _local("/windows"), _local("//evil.example/"), _local("https://evil.example")
    ('/windows', '/', '/')
    """
    plain = target.isascii() and target.isprintable() and "\\" not in target
    return target if plain and target.startswith("/") and not target.startswith("//") else "/"
