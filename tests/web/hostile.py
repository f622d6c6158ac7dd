"""A real Chromium with the owner's sessions, and pages of others in it."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
ATTACK = (Path(__file__).parent / "hostile.js").read_text()
PAGE = "<!doctype html><title>cats</title><body>cats"


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def elsewhere() -> Iterator[int]:
    """A web server that is not ours; its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextlib.contextmanager
def owners_browser() -> Iterator[BrowserContext]:
    """Chromium; every name that ends with .example is this machine (DNS in the attacker's hand)."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--host-resolver-rules=MAP *.example 127.0.0.1"],
        )
        yield browser.new_context()
        browser.close()


def attack(
    context: BrowserContext, target: str, paths: list[tuple[str, str]], port: int
) -> dict[str, list[list[str]]]:
    """Attack a service from a foreign site, another port, a sandbox and a rebound name."""
    own = target.rsplit(":", 1)[1]
    pages = {
        "foreign": f"http://evil.example:{port}/",
        "port": f"http://127.0.0.1:{port}/",
        # The name led elsewhere when the page was loaded, and leads to the service now.
        "rebound": f"http://evil.example:{own}/",
    }
    found = {}
    for name, address in pages.items():
        page = context.new_page()
        if name == "rebound":
            page.route(
                address,
                lambda route: (
                    route.fulfill(body=PAGE, content_type="text/html")
                    if route.request.resource_type == "document"
                    and route.request.method == "GET"
                    and route.request.is_navigation_request()
                    and not route.request.frame.parent_frame
                    else route.continue_()
                ),
            )
        page.goto(address)
        aim = address.rstrip("/") if name == "rebound" else target
        given = {"target": aim, "paths": paths, "token": "guess"}
        found[name] = page.evaluate(ATTACK, given)
        page.close()
    return found
