"""Whether an address answers 200: ``healthy.py [--page] [--user NAME] [--password FILE] ADDRESS``.

The exit code says it, and one line why not. ``--page`` asks for a page, which other text is not: a
server without its pages may say so with 200. FILE holds the password, or NAME:PASSWORD where no
NAME is given.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import sys
import urllib.request
from pathlib import Path

_SECONDS = 4.0


def fault(address: str, *, page: bool, basic: str | None = None) -> str | None:
    """Ask once, without a proxy: what is wrong, or None."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.addheaders = [("Accept", "text/html" if page else "*/*")]
    if basic is not None:
        word = base64.b64encode(basic.encode()).decode()
        opener.addheaders.append(("Authorization", f"Basic {word}"))
    ask = opener.open
    try:
        with ask(address, timeout=_SECONDS) as answer:
            status, kind = answer.status, answer.headers.get_content_type()
            answer.read()
    except (OSError, http.client.HTTPException) as exc:
        return f"{address}: {exc}"
    if status != http.HTTPStatus.OK:
        return f"{address}: {status}"
    return f"{address}: {kind}, no page" if page and kind != "text/html" else None


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="healthy.py")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--user")
    parser.add_argument("--password", type=Path, metavar="FILE")
    parser.add_argument("address")
    asked = parser.parse_args(arguments)
    basic = None
    if asked.password is not None:
        word = asked.password.read_text(encoding="utf-8").strip()
        basic = word if asked.user is None else f"{asked.user}:{word}"
    found = fault(asked.address, page=asked.page, basic=basic)
    if found is not None:
        sys.stderr.write(f"{found}\n")
    return int(found is not None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
