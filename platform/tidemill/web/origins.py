"""What headers tell of a request: its host, whether another site's page sent it, its cookies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

__all__ = ["cookies_of", "header_of", "host_of", "is_foreign"]


def host_of(scope: Mapping[str, Any]) -> str:
    """The host that a request addresses, lower case and without its port.

    Empty if there is not exactly one, or it cannot be read.

    >>> host_of({"headers": [(b"host", b"[::1]:8010")]})
    '::1'
    """
    text = (header_of(scope, b"host") or b"").decode("latin-1").lower()
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
    else:
        name, colon, rest = text.partition(":")
        rest = colon + rest
    return name if not rest or (rest[0] == ":" and rest[1:].isdecimal()) else ""


def is_foreign(scope: Mapping[str, Any]) -> bool:
    """Whether a page of another origin (host or port) makes a browser send this request.

    A link that a person follows is not foreign: it opens a page and changes nothing. Other ports
    of this machine are foreign too, although a browser sends them the same cookies.

    Notes
    -----
    Browsers send ``Origin`` with everything but plain loads, and ``Sec-Fetch-Site`` with those
    (https://www.w3.org/TR/fetch-metadata/). Programs that are no browsers send neither.

    >>> host = (b"host", b"127.0.0.1:4200")
    >>> is_foreign({"headers": [host, (b"origin", b"http://127.0.0.1:4200")]})
    False
    >>> is_foreign({"headers": [host, (b"origin", b"null")]})
    True
    """
    names = [name for name, _ in scope["headers"]]
    if names.count(b"origin") > 1 or names.count(b"sec-fetch-site") > 1:
        return True
    origin = header_of(scope, b"origin")
    if origin is not None and not _same(origin, header_of(scope, b"host") or b""):
        return True
    site = header_of(scope, b"sec-fetch-site")
    return site in (b"cross-site", b"same-site") and not _followed(scope)


def header_of(scope: Mapping[str, Any], name: bytes) -> bytes | None:
    """The one header of this name; None if there is none, or more than one."""
    found = [value for one, value in scope["headers"] if one == name]
    return found[0] if len(found) == 1 else None


def cookies_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """The cookies of a request, by name.

    Browsers send those of every service of this machine to each of them, so one that is not
    written as the standard says costs none of the others.

    >>> cookies_of({"headers": [(b"cookie", b'theirs={"a": 1}; ours=x')]})["ours"]
    'x'
    """
    sent = (value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie")
    pairs = (piece.partition("=") for text in sent for piece in text.split(";"))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _same(origin: bytes, host: bytes) -> bool:
    try:
        found = urlsplit(origin.decode("ascii"))
    except ValueError:
        return False
    plain = found.scheme in ("http", "https") and bool(found.netloc)
    return plain and found.netloc.lower() == host.decode("latin-1").lower()


def _followed(scope: Mapping[str, Any]) -> bool:
    return (
        scope.get("method") in ("GET", "HEAD")
        and header_of(scope, b"sec-fetch-mode") == b"navigate"
        and header_of(scope, b"sec-fetch-dest") == b"document"
    )
