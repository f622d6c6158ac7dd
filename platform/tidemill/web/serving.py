"""A process that serves somebody else's application to its owner alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from tidemill.web.asgi import App
from tidemill.web.bounds import Bounds
from tidemill.web.heads import HeadAsGet
from tidemill.web.here import HereOnly
from tidemill.web.owner_only import OwnerOnly
from tidemill.web.passes import Passes
from tidemill.web.whole_bodies import WholeBodies

if TYPE_CHECKING:
    import uvicorn

__all__ = ["CREDENTIAL_VARIABLE", "HOSTS_VARIABLE", "addressed", "guarded", "server_for"]

CREDENTIAL_VARIABLE = "TIDEMILL_OWNER_CREDENTIAL"
"""``user:password``, in the environment of a guarded service."""

HOSTS_VARIABLE = "TIDEMILL_ALLOWED_HOSTS"
"""Names, divided by commas, that requests may address beside this machine."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MESSAGE_BYTES = 4 << 20


def guarded(
    app: App,
    *,
    open_paths: Collection[str],
    handshake: str | None = None,
    home: Callable[[], str] = lambda: "/",
) -> App:
    """Put the guard in front of an application; the environment says who the owner is.

    Takes the credential out of the environment, so that nothing this process starts has it.

    Parameters
    ----------
    open_paths, handshake, home
        As for :class:`OwnerOnly`.

    Raises
    ------
    KeyError
        If there is no credential: nothing is served without.
    """
    credential = os.environ.pop(CREDENTIAL_VARIABLE)
    if not credential.partition(":")[2]:
        raise KeyError(CREDENTIAL_VARIABLE)
    passes = Passes(credential)
    # A link works once, for GET: what looks at it with HEAD before does not use it up.
    served = HeadAsGet(app)
    owned = OwnerOnly(served, passes=passes, open_paths=open_paths, handshake=handshake, home=home)
    return _here(owned)


def addressed(app: App) -> App:
    """The guard without a pass, for an application that asks for secrets itself: it has users."""
    return _here(HeadAsGet(app))


def _here(app: App) -> App:
    named = (name.strip() for name in os.environ.get(HOSTS_VARIABLE, "").split(","))
    return WholeBodies(HereOnly(app, hosts={*_LOOPBACK, *named} - {""}))


def server_for(
    app: App, *, host: str = "127.0.0.1", port: int = 0, log_level: str = "warning"
) -> uvicorn.Server:
    """A server within :class:`Bounds` that has not started."""
    import uvicorn

    from tidemill.web.connections import connection_within

    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=connection_within(Bounds()),
            ws_max_size=_MESSAGE_BYTES,
            ws_per_message_deflate=False,  # a few bytes could be megabytes
            lifespan="on",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
            log_level=log_level,
        )
    )
