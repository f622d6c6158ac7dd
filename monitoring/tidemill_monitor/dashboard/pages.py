"""The routes of the dashboard: shells that fetch their documents from /v1, and their files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tidemill.monitor_client import CREDENTIALS
from tidemill_monitor.dashboard.assets import Assets
from tidemill_monitor.problems import Problem
from tidemill_monitor.security.scopes import Identity
from tidemill_monitor.security.sessions import csrf_token

__all__ = ["add_dashboard", "login_page"]

_HERE = Path(__file__).parent
_CSRF_HEADER = "X-CSRF-Token"
_FOR_EVER = "max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """A page of the menu: its name for the page, its name for people, its address."""

    section: str
    name: str
    address: str


SECTIONS = (
    MenuEntry("overview", "Overview", "/"),
    MenuEntry("features", "Features", "/features"),
    MenuEntry("performance", "Performance", "/performance"),
    MenuEntry("alerts", "Alerts", "/alerts"),
    MenuEntry("decisions", "Decisions", "/decisions"),
    MenuEntry("models", "Models", "/models"),
)


def add_dashboard(app: FastAPI) -> None:
    """Serve the pages and their files from ``app``.

    A page is a shell: what it shows it asks of ``/v1`` with the reader's session, so there is one
    interface and the pages cannot tell more than it does. Who may see them is the guard's business
    (:mod:`tidemill_monitor.security`).

    Parameters
    ----------
    app : FastAPI
    """
    for entry in SECTIONS:
        app.add_api_route(entry.address, _shell(entry), include_in_schema=False)
    app.add_api_route("/features/{name:path}", _feature, include_in_schema=False)
    app.add_api_route("/windows/{window}", _window, include_in_schema=False)
    app.add_api_route("/static/{name:path}", _file, include_in_schema=False)


def login_page(csrf_token: str, next_path: str, error: str | None) -> str:
    """The sign-in page as HTML.

    Parameters
    ----------
    csrf_token : str
        Goes into the form's field ``csrf_token``.
    next_path : str
        Where to go afterwards; field ``next``.
    error : str or None
        Why the last try failed, for the reader.
    """
    assets = _assets()
    template = _templates().get_template("login.html")
    return template.render(
        title="Sign in",
        sheets=assets.named("login/tokens.css", "login/door.css"),
        csrf_token=csrf_token,
        next_page=next_path,
        problem=error,
        key_file=CREDENTIALS,
    )


def _shell(entry: MenuEntry) -> Callable[[Request], HTMLResponse]:
    def page(request: Request) -> HTMLResponse:
        return _page(request, entry.section, entry.name)

    return page


def _feature(request: Request, name: str) -> Response:
    if not name:
        return RedirectResponse("/features", 308)
    return _page(request, "feature", name, section="features", subject=name)


def _window(request: Request, window: str) -> HTMLResponse:
    return _page(request, "window", "Window", section="performance", subject=window)


def _page(
    request: Request, page: str, title: str, *, section: str = "", subject: str = ""
) -> HTMLResponse:
    identity: Identity = request.state.identity
    assets = _assets()
    text = (
        _templates()
        .get_template("page.html")
        .render(
            title=title,
            page=page,
            section=section or page,
            subject=subject,
            sections=SECTIONS,
            sheets=assets.sheets,
            modules=assets.modules,
            csrf_token=csrf_token(request),
            csrf_header=_CSRF_HEADER,
            may_operate=identity.may("operate"),
        )
    )
    return HTMLResponse(text)


def _file(request: Request) -> Response:
    """A file; its address changes with its content, so caches may keep it for ever."""
    asset = _assets().at(request.url.path)
    if asset is None:
        raise Problem.not_found("file", request.url.path)
    owner = "public" if asset.name.startswith("login/") else "private"
    return Response(
        asset.body,
        media_type=asset.media_type,
        headers={"Cache-Control": f"{owner}, {_FOR_EVER}"},
    )


@cache
def _assets() -> Assets:
    return Assets(_HERE / "static")


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    assets = _assets()
    environment.globals["asset"] = lambda name: assets[name].address
    environment.globals["integrity"] = lambda name: assets[name].integrity
    return environment
