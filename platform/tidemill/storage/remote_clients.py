"""What speaks to servers of files, and what it raises in our words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tidemill.errors import DependencyMissing, StorageFailed, TidemillError

__all__ = ["CLIENTS", "file_system", "refusal", "translated"]

CLIENTS = {
    "s3": ("s3fs", "s3"),
    "gs": ("gcsfs", "gs"),
    "abfs": ("adlfs", "azure"),
    "abfss": ("adlfs", "azure"),
    "http": ("aiohttp", "http"),
    "https": ("aiohttp", "http"),
}
"""By the scheme of a URL: the package that reads it, and the extra of tidemill that brings it."""
_QUERY = re.compile(r"(://[^\s'\"?]*)\?[^\s'\"]*")
_USER = re.compile(r"://[^\s'\"]*@")
_SECONDS = 60
"""After so long without a byte a server is taken for dead."""


def file_system(url: str) -> Any:
    """What speaks to the server of a URL; one for all files of a process."""
    import fsspec

    scheme = url.partition("://")[0]
    try:
        kind = fsspec.get_filesystem_class(scheme)
        options = kind._get_kwargs_from_urls(url) | _options(scheme)
        return kind(use_listings_cache=False, **options)
    except ImportError as exc:
        package, extra = CLIENTS[scheme]
        raise DependencyMissing(
            f"{scheme}:// needs the package {package}, which is not installed",
            remedy=f"pip install 'tidemill[{extra}]'",
            package=package,
        ) from exc


def _options(scheme: str) -> Mapping[str, Any]:
    if "http" not in CLIENTS[scheme]:
        return {}
    import aiohttp

    # Bytes as they lie there, and no end of a long stream; proxies, and passwords of ~/.netrc.
    return {
        "headers": {"Accept-Encoding": "identity"},
        "client_kwargs": {
            "auto_decompress": False,
            "timeout": aiohttp.ClientTimeout(sock_connect=_SECONDS, sock_read=_SECONDS),
            "trust_env": True,
        },
    }


@contextmanager
def translated(url: str) -> Iterator[None]:
    """What clients raise, each its own kind, as ``StorageFailed``."""
    try:
        yield
    except TidemillError:
        raise
    except Exception as exc:
        cause = refusal(exc)
        said, remedy = _said(cause), _REMEDIES.get(getattr(cause, "status", None))
        if said in _LED_AWAY.values():
            remedy = "name the address of the file itself; or fetch the file, and name that"
        elif remedy is None:
            denied = isinstance(cause, PermissionError) or "redential" in type(cause).__name__
            ranges = isinstance(cause, ValueError) and "range requests" in str(cause)
            remedy = _LET_IN if denied else _FETCH_IT if ranges else _AGAIN
        # The cause stays behind: its text may have the signed address that a server sent us to.
        raise StorageFailed(f"{url} cannot be read: {said}", remedy=remedy, path=url) from None


def refusal(exc: BaseException) -> BaseException:
    """What happened: of HTTP, fsspec takes all that may for a file that is not there."""
    cause = exc.__cause__
    of_http = isinstance(exc, FileNotFoundError) and type(cause).__module__.startswith("aiohttp")
    absent = cause is None or not of_http or getattr(cause, "status", 0) in (404, 410)
    return exc if cause is None or absent else cause


def _said(exc: BaseException) -> str:
    """One line of an error, without what may be a signature."""
    for kind in type(exc).__mro__:
        if kind.__name__ in _LED_AWAY:
            return _LED_AWAY[kind.__name__]
    status, message = getattr(exc, "status", None), getattr(exc, "message", None)
    if isinstance(status, int):
        return f"the server says {status} {message or ''}".rstrip()
    if isinstance(exc, FileNotFoundError):
        return "there is no such file"
    said = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    told = _USER.sub("://", _QUERY.sub(r"\1", said.strip().partition("\n")[0]))
    return told[:200] or type(exc).__name__


_LED_AWAY = {
    "TooManyRedirects": "its server sends from one address to the next: too many redirects",
    "RedirectClientError": "its server sends to an address that is none of http",
    "InvalidURL": "it, or where its server sends to, is no address of http",
}
"""By the class of the client's error: its own words repeat where a server sends us to."""


_AGAIN = "check that the file is there and its server answers, and run the same command again"
_FETCH_IT = "fetch the file, and name that; or let a server have it that gives ranges of bytes"
_LET_IN = (
    "let the client find credentials that may read it in its environment: of s3:// AWS_PROFILE, or "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; of gs:// GOOGLE_APPLICATION_CREDENTIALS; of "
    "abfs:// AZURE_STORAGE_ACCOUNT_KEY; of https:// a line of ~/.netrc"
)
_REMEDIES: Mapping[int | None, str] = {401: _LET_IN, 403: _LET_IN}
