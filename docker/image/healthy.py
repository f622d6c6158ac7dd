"""Whether an address answers 200: ``healthy.py URL``; the exit code says it."""

from __future__ import annotations

import http.client
import sys
import urllib.request

_SECONDS = 4.0


def healthy(address: str) -> bool:
    """Ask once, without a proxy."""
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    try:
        with ask(address, timeout=_SECONDS) as answer:
            return bool(answer.status == http.HTTPStatus.OK)
    except (OSError, http.client.HTTPException):
        return False


if __name__ == "__main__":
    sys.exit(0 if healthy(sys.argv[1]) else 1)
