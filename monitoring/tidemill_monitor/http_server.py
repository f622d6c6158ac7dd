"""Run the service: uvicorn with the limits that a service of ours needs."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI

from tidemill.web import Bounds
from tidemill.web.connections import connection_within
from tidemill_monitor.app import create_app
from tidemill_monitor.monitor_settings import MonitorSettings
from tidemill_monitor.security import leave_credentials

__all__ = ["serve", "server_of"]

_SWITCH_SECONDS = 0.0005


def server_of(app: FastAPI, settings: MonitorSettings) -> uvicorn.Server:
    """A server that has not started; ``should_exit = True`` ends it."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=10,
            http=connection_within(Bounds()),
            log_level="warning",
        )
    )


def serve(settings: MonitorSettings | None = None) -> None:
    """Serve until a signal ends it; commands in the workspace find address and key from now on."""
    settings = settings or MonitorSettings()
    # Threads that parse and fold hold the interpreter for 5 ms at a time unless told otherwise;
    # one-row predictions should not wait so long for their turn.
    sys.setswitchinterval(_SWITCH_SECONDS)
    app = create_app(settings)
    leave_credentials(settings.root, settings.report_url, app.state.service.keys)
    server_of(app, settings).run()
